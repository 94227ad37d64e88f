// Package shells tests what the program gives to shells: the text for eval in
// every shell and locale, and the names of variables.
package shells

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

func TestMain(m *testing.M) {
	os.Exit(cmdtest.Run(m.Run, cmdtest.Script("../../scripts/build")))
}

// shells are the command lines of the shells.
var shells = []string{"dash", "bash", "bash --posix", "busybox ash", "mksh", "ksh93", "zsh", "yash", "posh"}

// onEachShell runs a test for each shell that is here, all at once.
func onEachShell(t *testing.T, test func(t *testing.T, shell []string)) {
	for _, name := range shells {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shell := strings.Fields(name)
			if _, err := exec.LookPath(shell[0]); err != nil {
				t.Skip(err)
			}
			test(t, shell)
		})
	}
}

// A place is a directory in which shells run with an environment of their own.
type place struct {
	dir string
	env []string
}

func newPlace(t *testing.T, env ...string) place {
	return place{t.TempDir(), append(env, "PATH="+os.Getenv("PATH"))}
}

// run runs a script in the shell, and returns what it printed on stdout and on
// stderr. However the shell ends, it is the caller that looks at what it did.
func (p place) run(t *testing.T, shell []string, script string, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, err strings.Builder
	c := exec.Command(shell[0], append(append(shell[1:len(shell):len(shell)], "-c", script, "sh"), args...)...)
	c.Dir, c.Env, c.Stdout, c.Stderr = p.dir, p.env, &out, &err
	if e := c.Run(); c.ProcessState == nil {
		t.Fatal(e)
	}
	return out.String(), err.String()
}

// wantNothingRun fails the test if the client's text has run: all that it would
// do is to make a file.
func (p place) wantNothingRun(t *testing.T) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(p.dir, canary+"*"))
	if err != nil || len(found) > 0 {
		t.Errorf("the client's text has run: %v, %v", found, err)
	}
}

// canary begins the name of each file that the client's text would make.
const canary = "RUN"

func (p place) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (p place) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(text)
}
