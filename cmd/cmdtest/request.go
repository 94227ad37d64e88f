package cmdtest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Visitor is the id of the session that most tests are about.
const Visitor = "visitorvisitorvisitorvisitorvi23"

// A Request is what a script has of the request that it serves.
type Request struct {
	// Dir is where the script runs. "sessions" in it holds the sessions, unless Env
	// says otherwise. Empty: the tests' own directory, and Env says where they are.
	Dir string
	// Env is the environment, "NAME=value" each; the last of a name counts. Beside it
	// there is PATH, a time to wait for locks that is enough on a busy machine, and no
	// configuration file.
	Env []string
}

// With returns the request with more variables.
func (r Request) With(settings ...string) Request {
	return Request{r.Dir, append(r.Env[:len(r.Env):len(r.Env)], settings...)}
}

// Command returns a command of the request's script.
func (r Request) Command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Dir = r.Dir
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "CGISESSION_LOCK_TIMEOUT=2m", "CGISESSION_CACHE_CONTROL=off",
		"CGISESSION_CONFIG=none"}
	if r.Dir != "" {
		c.Env = append(c.Env, "CGISESSION_DATA_DIR="+r.Dir+"/sessions")
	}
	c.Env = append(c.Env, r.Env...)
	return c
}

// Ended is how a process ended. Its code is 128 and more for a signal.
type Ended struct {
	Stdout, Stderr string
	Code           int
}

// Call runs the program with nothing on its standard input.
func (r Request) Call(t testing.TB, args ...string) Ended {
	t.Helper()
	return Finish(t, r.Command(Program, args...))
}

// Give runs the program with text on its standard input.
func (r Request) Give(t testing.TB, text string, args ...string) Ended {
	t.Helper()
	c := r.Command(Program, args...)
	c.Stdin = strings.NewReader(text)
	return Finish(t, c)
}

// Want is Call for what has to go well, on any goroutine. It returns what the
// program printed, without the last line feed, and whether it went well.
func (r Request) Want(t testing.TB, args ...string) (string, bool) {
	t.Helper()
	got := r.Call(t, args...)
	if got.Code != 0 {
		t.Errorf("%q: %+v", args, got)
	}
	return strings.TrimSuffix(got.Stdout, "\n"), got.Code == 0
}

// Must is Want for what nothing can go on without.
func (r Request) Must(t testing.TB, args ...string) string {
	t.Helper()
	text, ok := r.Want(t, args...)
	if !ok {
		t.FailNow()
	}
	return text
}

// Measured is how a process ended, and what that took.
type Measured struct {
	Ended
	Took   time.Duration
	Memory int64 // the most that was in memory, in KiB
}

// Measure is Call, measured.
func (r Request) Measure(t testing.TB, args ...string) Measured {
	t.Helper()
	c := r.Command(Program, args...)
	began := time.Now()
	got := Finish(t, c)
	return Measured{got, time.Since(began), int64(c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)}
}

// Finish runs the command to its end.
func Finish(t testing.TB, c *exec.Cmd) Ended {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Start(); err != nil {
		t.Error(err)
		return Ended{Code: -1}
	}
	return Wait(t, c, &stdout, &stderr)
}

// Wait waits for a command that was started.
func Wait(t testing.TB, c *exec.Cmd, stdout, stderr *bytes.Buffer) Ended {
	t.Helper()
	defer hurry(t, c).Stop()
	var exit *exec.ExitError
	if err := c.Wait(); err != nil && !errors.As(err, &exit) {
		t.Errorf("%q: %v", c.Args, err)
	}
	return Ended{stdout.String(), stderr.String(), ExitCode(c)}
}

// hurry kills the process if it takes too long, unless the timer is stopped.
func hurry(t testing.TB, c *exec.Cmd) *time.Timer {
	return time.AfterFunc(Patience, func() {
		t.Errorf("nothing in %v: %q", Patience, c.Args)
		c.Process.Kill()
	})
}

// ExitCode returns what a shell would have in $?.
func ExitCode(c *exec.Cmd) int {
	status := c.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
