package cmd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

// cgiRequest returns a request of a client without a cookie.
func cgiRequest(t *testing.T) request {
	return in(t.TempDir(), "GATEWAY_INTERFACE=CGI/1.1", "REMOTE_ADDR=192.0.2.1")
}

// In a CGI request a call looks at its parent, in one file of /proc, and asks no
// more if that is the script that loaded the session.
func TestRequestReadsOneFile(t *testing.T) {
	needStrace(t)
	r := cgiRequest(t)
	trace := filepath.Join(r.Dir, "trace")
	// run becomes strace, which is the script then, and the parent of the call.
	got := cmdtest.Finish(t, r.Command(cmdtest.Program, "run", "strace", "-f", "-qq", "-o", trace, "-e", "trace=%file", cmdtest.Program, "get"))
	if got.Code != 0 || !strings.HasSuffix(got.Stdout, "\n{}\n") {
		t.Fatalf("%+v", got)
	}
	text, err := os.ReadFile(trace)
	must(t, err)
	found := regexp.MustCompile(`"/proc/[0-9]+/[^"]*"`).FindAllString(string(text), -1)
	if len(found) != 1 || !strings.HasSuffix(found[0], `/stat"`) {
		t.Errorf("files of processes: %q\n%s", found, text)
	}
}

// Without /proc, a process of the script's number in the process group stands for
// the script, if the request looks the same.
func TestRequestWithoutProc(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount over /proc")
	}
	if text, err := exec.Command("unshare", "-m", "mount", "--bind", t.TempDir(), "/proc").CombinedOutput(); err != nil {
		t.Skipf("cannot mount over /proc: %v: %s", err, text)
	}
	const page = `
		eval "$(cgisession load --sh)" >headers
		one=$(cgisession incr n)
		two=$(cgisession incr n | cat)
		echo "$one $two $(cgisession get n)"`
	const leave = `
		eval "$(cgisession load --sh)" >headers
		export -p >left`
	for _, row := range []struct {
		name, script string
		env          []string
		stdout       string
		code         int
	}{
		{name: "page", script: page, stdout: "1 2 2\n"},
		{name: "page in another session", script: "setsid sh -c '" + page + "'", stdout: "1 2 2\n"},
		{name: "page with a port", script: page, env: []string{"REMOTE_PORT=1"}, stdout: "1 2 2\n"},
		{name: "call in another session", script: `eval "$(cgisession load --sh)" >headers; setsid cgisession get`, code: 1},
		{name: "the same with a port", script: `eval "$(cgisession load --sh)" >headers; setsid cgisession get`, env: []string{"REMOTE_PORT=1"}, stdout: "{}\n"},
		{name: "another client", script: `eval "$(cgisession load --sh)" >headers; REMOTE_ADDR=192.0.2.2 cgisession get`, code: 1},
		{name: "a script that has ended", script: "sh -c '" + leave + "'; . ./left; cgisession get", code: 1},
		{name: "page of another client", script: "sh -c '" + leave + "'; . ./left; REMOTE_ADDR=192.0.2.2;" + page, stdout: "1 2 2\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := cgiRequest(t)
			r.Env = append(r.Env, row.env...)
			must(t, os.Mkdir(filepath.Join(r.Dir, "empty"), 0o755))
			got := cmdtest.Finish(t, r.Command("unshare", "-m", "sh", "-c", "mount --bind empty /proc || exit 99\n"+row.script))
			if got.Code != row.code || got.Stdout != row.stdout || got.Stderr != "" {
				t.Errorf("%+v, want exit code %d and %q", got, row.code, row.stdout)
			}
		})
	}
}
