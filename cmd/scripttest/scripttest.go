// Package scripttest has what the scripts in testdata/script are run with, on
// whichever store.
package scripttest

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// Params are for the scripts in dir.
func Params(dir string) testscript.Params {
	return testscript.Params{
		Dir:                dir,
		RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			if e.Getenv("GORACE") == "" { // else each process sleeps a second at its end
				e.Setenv("GORACE", "atexit_sleep_ms=0")
			}
			return nil
		},
		Condition: func(name string) (bool, error) {
			if dir, ok := strings.CutPrefix(name, "dir:"); ok {
				info, err := os.Stat(dir)
				return err == nil && info.IsDir(), nil
			}
			return name == "root" && os.Geteuid() == 0, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"age":     Age,
			"browser": browser,
			"fails":   fails,
		},
	}
}

// Age DURATION FILE… sets the files' modification times back. FILE may be a pattern,
// which must match.
func Age(ts *testscript.TestScript, _ bool, args []string) {
	by, err := time.ParseDuration(args[0])
	ts.Check(err)
	for _, pattern := range args[1:] {
		files, err := filepath.Glob(ts.MkAbs(pattern))
		ts.Check(err)
		if len(files) == 0 {
			ts.Fatalf("no file %s", pattern)
		}
		for _, file := range files {
			then := time.Now().Add(-by)
			ts.Check(os.Chtimes(file, then, then))
		}
	}
}

// browser stores the cookies that the last call set on stdout, and sends all that are stored in
// HTTP_COOKIE from now on.
func browser(ts *testscript.TestScript, _ bool, _ []string) {
	var sent []string
	received := make(map[string]bool)
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		text, ok := strings.CutPrefix(line, "Set-Cookie: ")
		if !ok {
			continue
		}
		c, err := http.ParseSetCookie(strings.TrimSuffix(text, "\n"))
		ts.Check(err)
		received[c.Name] = true
		if c.MaxAge >= 0 {
			sent = append(sent, c.Name+"="+c.Value)
		}
	}
	if len(received) == 0 {
		ts.Fatalf("no cookie was set")
	}
	for pair := range strings.SplitSeq(ts.Getenv("HTTP_COOKIE"), "; ") {
		if name, _, ok := strings.Cut(pair, "="); ok && !received[name] {
			sent = append(sent, pair)
		}
	}
	ts.Setenv("HTTP_COOKIE", strings.Join(sent, "; "))
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
