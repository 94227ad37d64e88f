// Package scripttest runs the scripts in testdata/script, on whichever store.
package scripttest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"

	"cgisession/cmd/cmdtest"
)

// Main runs the tests of a package, whose scripts may use the commands beside other
// programs, and exits.
func Main(tests func() int, programs map[string]func()) {
	all := make(map[string]func())
	for name, run := range programs {
		all[name] = run
	}
	for name, command := range commands {
		all[name] = func() {
			s, err := stored()
			if err == nil {
				err = command(s)
			}
			if err != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
				os.Exit(2)
			}
		}
	}
	syscall.Umask(0o022) // else the files of scripts may be such as others can write to
	testscript.Main(run(tests), all)
}

type run func() int

func (r run) Run() int { return r() }

// Params are for the scripts in dir, whose sessions are in a store of this name, file
// or redis; the environment says where. The name is a condition: [redis] skip, [file].
// $OPEN is a directory that other users can enter, unlike $WORK.
func Params(dir, store string, environment func(*testscript.Env)) testscript.Params {
	return testscript.Params{
		Dir:                dir,
		RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			if e.Getenv("GORACE") == "" { // else each process sleeps a second at its end
				e.Setenv("GORACE", "atexit_sleep_ms=0")
			}
			e.Setenv("CGISESSION_CONFIG", "none") // tests do not read the file of this machine
			environment(e)
			open, err := os.MkdirTemp("", "open")
			e.Setenv("OPEN", open)
			e.Defer(func() { os.RemoveAll(open) })
			return errors.Join(err, os.Chmod(open, 0o755))
		},
		Condition: func(name string) (bool, error) {
			if dir, ok := strings.CutPrefix(name, "dir:"); ok {
				info, err := os.Stat(dir)
				return err == nil && info.IsDir(), nil
			}
			switch name {
			case "file", "redis":
				return name == store, nil
			case "root":
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"browser": browser,
			"fails":   fails,
		},
	}
}

// browser stores the cookies that the last call set on stdout, and sends all that are stored in
// HTTP_COOKIE from now on.
func browser(ts *testscript.TestScript, _ bool, _ []string) {
	next, set, err := cmdtest.Cookies(ts.Getenv("HTTP_COOKIE"), ts.ReadFile("stdout"))
	ts.Check(err)
	if len(set) == 0 {
		ts.Fatalf("no cookie was set")
	}
	ts.Setenv("HTTP_COOKIE", next)
}

// fails CODE PROGRAM… is exec for a call that must exit with the code. What the program promises
// of each such call is looked at here: nothing on stdout, and on stderr one line under its name,
// or, for a mere no, none.
func fails(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: fails CODE PROGRAM [ARGUMENT...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	exit, ok := err.(*exec.ExitError)
	if !ok {
		ts.Fatalf("no exit code but %v", err)
	}
	if code := strconv.Itoa(exit.ExitCode()); code != args[0] {
		ts.Fatalf("exit code %s, not %s", code, args[0])
	}
	if ts.ReadFile("stdout") != "" {
		ts.Fatalf("something on stdout")
	}
	message := ts.ReadFile("stderr")
	if args[0] == "1" && message == "" {
		return
	}
	if !strings.HasPrefix(message, "cgisession: ") || strings.Index(message, "\n") != len(message)-1 {
		ts.Fatalf("stderr is not one line under the program's name")
	}
}
