package production

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

// strange are servers that the page does not recommend for scripts beside the program, since they make
// arguments of the query string, or do not say where the script is.
var strange = []server{
	{name: "mini_httpd", programs: []string{"mini_httpd"}, start: miniHTTPD},
	{name: "python", programs: []string{"python3"}, start: pythonHTTP},
}

func miniHTTPD(t *testing.T, m *machine, _ bool) []*exec.Cmd {
	host, port, _ := strings.Cut(m.address(), ":")
	return []*exec.Cmd{exec.Command("mini_httpd", "-D", "-h", host, "-p", port, "-d", m.path("/var/www"), "-c", "cgi-bin/**", "-u", "www-data")}
}

// pythonHTTP runs scripts as nobody.
func pythonHTTP(t *testing.T, m *machine, _ bool) []*exec.Cmd {
	host, port, _ := strings.Cut(m.address(), ":")
	c := exec.Command("python3", "-m", "http.server", "--cgi", "--bind", host, port)
	c.Dir = m.path("/var/www")
	return []*exec.Cmd{c}
}

// pages are scripts beside the program. They set all that they need, since some
// servers hand no variables on. /M stands for the machine's directory.
var pages = map[string]string{
	"page.cgi": `#!/bin/sh
PATH=/M/usr/local/bin:/usr/bin:/bin CGISESSION_DATA_DIR=/M/tmp/sessions
export PATH CGISESSION_DATA_DIR
unset CGISESSION_SECRET_FILE CGISESSION_LOG_FILE
printf 'Content-Type: text/plain\n\n'
cgisession secret >/dev/null && cgisession list >/dev/null && cgisession run touch /M/tmp/page >/dev/null && echo fine
`,
	"line.cgi": `#!/M/usr/local/bin/cgisession run --data-dir /M/tmp/sessions sh
printf 'Content-Type: text/plain\n\n'
[ "${CGISESSION_ID-}" ] && echo fine
`,
	"wrap.cgi": `#!/bin/sh
PATH=/M/usr/local/bin:/usr/bin:/bin CGISESSION_DATA_DIR=/M/tmp/sessions
export PATH CGISESSION_DATA_DIR
printf 'Content-Type: text/plain\n\n'
exec cgisession run sh -c '[ "${CGISESSION_ID-}" ] && echo fine'
`,
}

// Whatever the program is called in a directory of scripts, no server makes it do
// what the query string says. A script beside it works, whatever the query string.
func TestServedAsScript(t *testing.T) {
	for _, v := range append(servers[:len(servers):len(servers)], strange...) {
		t.Run(v.name, func(t *testing.T) {
			needs(t, v.programs...)
			m := newMachine(t)
			forAllUsers(t) // python runs scripts as nobody
			m.putScripts(t)
			m.serve(t, v, false)
			mark := m.path("/tmp/mark")
			queries := []string{
				"", "secret", "list", "--help", "run+touch+" + mark, "run%20touch%20" + mark, "%72un+to%75ch+" + mark, "run+--+touch%00x+" + mark,
				"run+sh+-c+touch%20" + mark + "%3B", "run+touch+/M/tmp/page", "run+touch+" + m.path("/tmp/page"), "set+a%3Db", "set+a=b&c",
			}
			for _, query := range queries {
				for _, name := range []string{"cgisession", "copy.cgi", "sym.cgi", "hard.cgi", "sub/sym.cgi", "sym.cgi/extra", "sub/sym.cgi/list"} {
					text := m.fetch(t, name+"?"+query)
					if !refuses(name, query, text) && (!strings.Contains(text, "This program is no CGI script.\n") || len(text) > 200) {
						t.Errorf("%s?%s: %q", name, query, text)
					}
				}
			}
			for _, made := range []string{mark, m.path("/tmp/page"), m.path("/tmp/sessions"), m.path("/tmp/cgisession-33")} {
				if _, err := os.Lstat(made); err == nil {
					t.Errorf("there is now %s", made)
				}
			}
			for _, query := range queries {
				for name := range pages {
					if text := m.fetch(t, name+"?"+query); !refuses(name, query, text) && !strings.HasSuffix(text, "fine\n") {
						t.Errorf("%s?%s: %q", name, query, text)
					}
				}
			}
			if _, err := os.Lstat(mark); err == nil {
				t.Error("a script did what the query string says")
			}
		})
	}
}

// refuses reports whether the server itself refused the request: as the page
// has nginx, it takes what follows a script's name for a part of that, and lighttpd
// wants no NUL.
func refuses(script, query, text string) bool {
	return strings.Contains(script, ".cgi/") && strings.Contains(text, "<h1>404 Not Found</h1>") && strings.Contains(text, "nginx") ||
		strings.Contains(query, "%00") && strings.Contains(text, "<h1>400 Bad Request</h1>")
}

// putScripts makes one directory of scripts for all servers, to some of which it is
// a symbolic link, and puts the program there under several names, beside scripts.
func (m *machine) putScripts(t *testing.T) {
	t.Helper()
	dir, own := m.path("/usr/lib/cgi-bin"), m.path("/usr/local/bin/cgisession")
	for name, text := range pages {
		write(t, dir+"/"+name, strings.ReplaceAll(text, "/M", m.root), 0o755)
	}
	write(t, dir+"/cgisession", read(t, cmdtest.Program), 0o755)
	write(t, dir+"/copy.cgi", read(t, cmdtest.Program), 0o755)
	for _, err := range []error{
		os.Chmod(m.path("/tmp"), 0o777|os.ModeSticky),
		os.Link(own, dir+"/hard.cgi"),
		os.Symlink(own, dir+"/sym.cgi"),
		os.Mkdir(dir+"/sub", 0o755),
		os.Symlink("../sym.cgi", dir+"/sub/sym.cgi"),
		os.RemoveAll(m.path("/var/www/cgi-bin")),
		os.Symlink(dir, m.path("/var/www/cgi-bin")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// fetch returns the body of what the server answers for a script.
func (m *machine) fetch(t *testing.T, script string) string {
	t.Helper()
	answer, err := http.Get("http://" + cmdtest.Address(m.port) + "/cgi-bin/" + script)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
