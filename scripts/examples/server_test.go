package examples

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

// A server is a web server that runs CGI scripts.
type server struct {
	name    string
	program string // what it needs, beside what the project builds
	scripts string // where the scripts are in its URLs
	// command makes the command that serves the site in the foreground.
	// The scripts get the site's environment.
	command func(t *testing.T, s *site) *exec.Cmd
}

var servers = []server{
	{"lighttpd", "lighttpd", "/cgi-bin/", lighttpd},
	{"busybox", "busybox", "/cgi-bin/", busybox},
	{"net-http-cgi", "go", "/", cgiserver},
}

// lighttpd gives scripts no variable but those that its configuration names.
func lighttpd(t *testing.T, s *site) *exec.Cmd {
	var variables strings.Builder
	for _, v := range s.env {
		name, value, _ := strings.Cut(v, "=")
		fmt.Fprintf(&variables, "%q => %q,\n", name, value)
	}
	conf := filepath.Join(t.TempDir(), "lighttpd.conf")
	text := fmt.Sprintf(`server.modules = ("mod_setenv", "mod_cgi")
server.document-root = %q
server.bind = "127.0.0.1"
server.port = %d
cgi.assign = (".sh" => "", ".pl" => "", ".py" => "")
setenv.add-environment = (
%s)
`, s.root, s.port, variables.String())
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return exec.Command("lighttpd", "-D", "-f", conf)
}

// busybox httpd runs what is in /cgi-bin/, and gives it its own environment. It wants
// Status before any other header line.
func busybox(t *testing.T, s *site) *exec.Cmd {
	command := exec.Command("busybox", "httpd", "-f", "-p", s.address(), "-h", s.root)
	command.Env = append(s.env[:len(s.env):len(s.env)], "CGISESSION_CACHE_CONTROL=off")
	return command
}

func cgiserver(t *testing.T, s *site) *exec.Cmd {
	command := exec.Command("cgiserver", "-addr", s.address(), filepath.Join(s.root, "cgi-bin"))
	command.Env = s.env
	return command
}

// A site is a running server, with the examples and the scripts in testdata.
type site struct {
	root string   // holds cgi-bin
	data string   // the sessions
	env  []string // of the scripts
	port int
	base string // the URL of the scripts, with a slash at its end
}

func (s *site) address() string { return cmdtest.Address(s.port) }

// onEachServer runs the test on each server, with settings for cgisession.
func onEachServer(t *testing.T, settings []string, test func(t *testing.T, s *site)) {
	for _, v := range servers {
		t.Run(v.name, func(t *testing.T) {
			if _, err := exec.LookPath(v.program); err != nil {
				t.Skipf("no %s here", v.program)
			}
			test(t, start(t, v, settings))
		})
	}
}

// start serves a new site until the test ends.
func start(t *testing.T, v server, settings []string) *site {
	s := &site{root: t.TempDir(), data: filepath.Join(t.TempDir(), "sessions")}
	copyScripts(t, filepath.Join(s.root, "cgi-bin"))
	s.env = append([]string{
		"PATH=" + os.Getenv("PATH"),
		"CGISESSION_DATA_DIR=" + s.data, "CGISESSION_CONFIG=none",
		// Hundreds of processes on a small machine: no wait is too long.
		"CGISESSION_LOCK_TIMEOUT=5m",
	}, settings...)
	cmdtest.Serve(t, func(port int) []*exec.Cmd {
		s.port = port
		return []*exec.Cmd{v.command(t, s)}
	})
	s.base = "http://" + s.address() + v.scripts
	return s
}

// copyScripts copies the examples, and the tests' own scripts, with their modes.
func copyScripts(t *testing.T, to string) {
	if err := os.Mkdir(to, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"*.sh", "*.pl", "*.py", "testdata/*"} {
		files, err := filepath.Glob(pattern)
		if err == nil && len(files) == 0 {
			err = errors.New("no file " + pattern)
		}
		if err == nil {
			err = exec.Command("cp", append(files, to)...).Run()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// sessions returns the files of all sessions.
func (s *site) sessions(t *testing.T) []string {
	var files []string
	err := filepath.WalkDir(s.data, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && len(e.Name()) == 64 {
			files = append(files, path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return files
}

// cgisession runs the program as a script of this site would, for the browser
// that has this cookie, and returns what it prints.
func (s *site) cgisession(t *testing.T, cookie string, args ...string) string {
	t.Helper()
	text, _ := cmdtest.Request{Env: s.env}.With("HTTP_COOKIE="+cookie).Want(t, args...)
	return text
}
