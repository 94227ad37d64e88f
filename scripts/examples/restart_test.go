package examples

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

// A passer is a server that passes its own environment on to scripts, so that one
// that a script starts has what that script exported.
type passer struct {
	name  string
	needs []string
	// script returns a shell script that becomes the server.
	script func(t *testing.T, s *site, socket string) string
	nginx  bool // stands before it
}

var (
	passBusybox  = passer{"busybox", []string{"busybox"}, busyboxScript, false}
	passPython   = passer{"python", []string{"python3", "setpriv"}, pythonScript, false}
	passFcgiwrap = passer{"fcgiwrap", []string{"fcgiwrap", "nginx"}, fcgiwrapScript, true}
)

func busyboxScript(_ *testing.T, s *site, _ string) string {
	return fmt.Sprintf("exec busybox httpd -f -p %s -h '%s'\n", s.address(), s.root)
}

// pythonScript is for Python before 3.15. Called by root it would run scripts as
// nobody, who cannot get at the test's directories.
func pythonScript(t *testing.T, s *site, _ string) string {
	if help, _ := exec.Command("python3", "-m", "http.server", "--help").Output(); !strings.Contains(string(help), "--cgi") {
		t.Skip("this Python runs no CGI scripts")
	}
	keep := ""
	if os.Geteuid() == 0 {
		keep = "setpriv --bounding-set -setuid "
	}
	return fmt.Sprintf("cd '%s' && exec %spython3 -m http.server --cgi --bind 127.0.0.1 %d\n", s.root, keep, s.port)
}

func fcgiwrapScript(_ *testing.T, _ *site, socket string) string {
	return fmt.Sprintf("rm -f '%[1]s' && exec fcgiwrap -s 'unix:%[1]s'\n", socket)
}

// nginxBefore makes the command of the server that stands before fcgiwrap.
func nginxBefore(t *testing.T, s *site, socket string) *exec.Cmd {
	dir := t.TempDir()
	conf := fmt.Sprintf("daemon off; error_log stderr; pid %s/pid; events {}\nhttp {\naccess_log off;\n", dir)
	if os.Geteuid() == 0 {
		conf = "user root root; " + conf
	}
	for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		conf += fmt.Sprintf("%s_temp_path %s/%s;\n", what, dir, what)
	}
	conf += fmt.Sprintf("server {\nlisten %s;\nlocation /cgi-bin/ {\nroot %s;\ninclude /etc/nginx/fastcgi_params;\n"+
		"fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;\nfastcgi_pass unix:%s;\n}\n}\n}\n", s.address(), s.root, socket)
	file := filepath.Join(dir, "nginx.conf")
	writeFile(t, file, conf)
	return exec.Command("nginx", "-e", "stderr", "-p", dir, "-c", file)
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// serveToRestart serves a new site by one server. The page restart.sh ends that
// and starts the next.
func serveToRestart(t *testing.T, first, next passer) *site {
	dir := t.TempDir()
	socket, pidFile := filepath.Join(dir, "socket"), filepath.Join(dir, "pid")
	s := &site{root: t.TempDir(), data: filepath.Join(dir, "sessions")}
	copyScripts(t, filepath.Join(s.root, "cgi-bin"))
	var server *exec.Cmd
	cmdtest.Serve(t, func(port int) []*exec.Cmd {
		s.port = port
		writeFile(t, dir+"/first", first.script(t, s, socket))
		writeFile(t, dir+"/next", next.script(t, s, socket))
		server = exec.Command("sh", dir+"/first")
		server.Env = []string{
			"PATH=" + os.Getenv("PATH"), "CGISESSION_DATA_DIR=" + s.data, "CGISESSION_LOCK_TIMEOUT=5m",
			"CGISESSION_CONFIG=none", "CGISESSION_LOG_FILE=" + dir + "/log", "RESTART=" + dir + "/next", "PID_FILE=" + pidFile,
		}
		if first.nginx {
			return []*exec.Cmd{server, nginxBefore(t, s, socket)}
		}
		return []*exec.Cmd{server}
	})
	writeFile(t, pidFile, strconv.Itoa(server.Process.Pid))
	s.base = "http://" + s.address() + "/cgi-bin/"
	s.waitForStart(t, 0)
	return s
}

// waitForStart waits for the server that was started so many times.
func (s *site) waitForStart(t *testing.T, times int) {
	t.Helper()
	cmdtest.Until(t, fmt.Sprintf("server that was started %d times", times), func() bool {
		p, _ := cmdtest.Curl(s.base + "visit.sh")
		return strings.Contains(p.Body, fmt.Sprintf("starts %d.", times))
	})
}

// A server that a page started has the environment of that page. Its visitors
// are not in the session of the one who called the page, and have their own.
func TestRestart(t *testing.T) {
	for _, row := range []struct{ first, next passer }{
		{passBusybox, passBusybox},
		{passPython, passPython},
		{passFcgiwrap, passFcgiwrap},
		{passBusybox, passPython}, // which does not tell REMOTE_PORT
	} {
		t.Run(row.first.name+" to "+row.next.name, func(t *testing.T) {
			t.Parallel()
			for _, program := range append(row.first.needs, row.next.needs...) {
				if _, err := exec.LookPath(program); err != nil {
					t.Skipf("no %s here", program)
				}
			}
			s := serveToRestart(t, row.first, row.next)
			operator := cmdtest.NewBrowser(t)
			operator.Get(t, s.base+"visit.sh").Want(t, "user nobody, 1 2, seen 1, starts 0.")
			operator.Get(t, s.base+"visit.sh").Want(t, "user nobody, 3 4, seen 1, starts 0.")
			operator.Get(t, s.base+"restart.sh")
			s.waitForStart(t, 1)
			taken := map[string]bool{operator.Cookie(t): true}
			b := s.strangers(t, taken, 1)

			// The page of one of them starts the server once more. The first page's
			// variables are still there.
			b.Get(t, s.base+"restart.sh")
			s.waitForStart(t, 2)
			s.strangers(t, taken, 2)

			// The ones who called the pages begin new sessions, for their cookie may as
			// well be the server's.
			for _, b := range []*cmdtest.Browser{operator, b} {
				b.Get(t, s.base+"visit.sh").Want(t, "starts 2.")
				b.Get(t, s.base+"visit.sh").Want(t, "seen 1, starts 2.")
			}
		})
	}
}

// strangers visits the site without cookies, with another site's, and with those
// of an earlier visit. None may get a session that is taken. It returns the last
// browser.
func (s *site) strangers(t *testing.T, taken map[string]bool, starts int) *cmdtest.Browser {
	t.Helper()
	var b *cmdtest.Browser
	for _, options := range [][]string{nil, {"--header", "Cookie: theme=dark"}, nil} {
		b = cmdtest.NewBrowser(t)
		first := b.Get(t, s.base+"visit.sh", options...)
		first.Want(t, fmt.Sprintf("user nobody, 1 2, seen 1, starts %d.", starts))
		if len(first.Cookies()) != 1 || taken[b.Cookie(t)] {
			t.Errorf("no cookie of its own:\n%s", first.Head)
		}
		taken[b.Cookie(t)] = true
		second := b.Get(t, s.base+"visit.sh")
		second.Want(t, fmt.Sprintf("user nobody, 3 4, seen 1, starts %d.", starts))
		if len(second.Cookies()) != 0 {
			t.Errorf("another cookie on the second visit:\n%s", second.Head)
		}
	}
	if exec.Command("perl", "-MJSON::PP", "-e", "1").Run() == nil {
		program := cmdtest.NewBrowser(t) // of load --json
		program.Get(t, s.base+"counter.pl").Want(t, "Visit 1.")
		program.Get(t, s.base+"counter.pl").Want(t, "Visit 2.")
	}
	return b
}
