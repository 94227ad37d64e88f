package cmd_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cgisession/scripts/programtest"
)

// program is where TestMain puts the program. It is also first in PATH, since
// scripts call it by its name.
var program string

func TestMain(m *testing.M) {
	os.Exit(programtest.Run(m, func(dir string) []*exec.Cmd {
		program = filepath.Join(dir, "cgisession")
		os.Setenv("PATH", dir+":"+os.Getenv("PATH"))
		return []*exec.Cmd{programtest.Build(program, "urfave_cli_no_docs")}
	}))
}

// full returns how often to do something: seldom with -short, else often.
func full(few, many int) int {
	if testing.Short() {
		return few
	}
	return many
}

// patience is how long a process may take that should end, or say something, on a
// machine that is busy with other things.
const patience = 5 * time.Minute

// visitor is the id of the session that the tests are about.
const visitor = "visitorvisitorvisitorvisitorvi23"

// A request is what a script has of the request that it serves: a directory, in
// which "sessions" holds the sessions, and its environment.
type request struct {
	dir string
	env []string
}

// begin returns a request that has the session of the visitor, with this data,
// and is the only one to have it.
func begin(t *testing.T, data string) request {
	t.Helper()
	r := request{dir: t.TempDir()}
	if got := r.with("CGISESSION_ADOPT_ID="+visitor).give(t, data, "save"); got.code != 0 {
		t.Fatalf("no session to begin with: %+v", got)
	}
	return r.bound(visitor)
}

// with returns the request with one more variable.
func (r request) with(setting string) request {
	return request{r.dir, append(r.env[:len(r.env):len(r.env)], setting)}
}

// bound returns a request in which an earlier call found the session.
func (r request) bound(id string) request { return request{r.dir, []string{"CGISESSION_ID=" + id}} }

// client returns a request of one who sends the session's cookie.
func (r request) client(id string) request {
	return request{r.dir, []string{"HTTP_COOKIE=cgisession_id=" + id}}
}

// file returns the path of the file of the session with this id.
func (r request) file(id string) string {
	return filepath.Join(r.dir, sessionFile("cgisession_id", id))
}

// files returns the sessions' files: those that hold data, and the others.
func (r request) files(t *testing.T) (live, others []string) {
	t.Helper()
	err := filepath.WalkDir(r.dir+"/sessions", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte(`"data":{`)) {
			live = append(live, path)
		} else {
			others = append(others, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return live, others
}

// command returns a command of the request's script. It waits for a lock as long as
// a busy machine may need.
func (r request) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Dir = r.dir
	c.Env = append([]string{"PATH=" + os.Getenv("PATH"), "CGISESSION_DATA_DIR=" + r.dir + "/sessions", "CGISESSION_LOCK_TIMEOUT=2m"}, r.env...)
	return c
}

// ended is how a process ended. Its code is 128 and more for a signal.
type ended struct {
	stdout, stderr string
	code           int
}

// call runs the program with nothing on its standard input.
func (r request) call(t *testing.T, args ...string) ended {
	t.Helper()
	return finish(t, r.command(program, args...))
}

// give runs the program with text on its standard input.
func (r request) give(t *testing.T, text string, args ...string) ended {
	t.Helper()
	c := r.command(program, args...)
	c.Stdin = strings.NewReader(text)
	return finish(t, c)
}

// finish runs the command to its end.
func finish(t *testing.T, c *exec.Cmd) ended {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Start(); err != nil {
		t.Error(err)
		return ended{code: -1}
	}
	return wait(t, c, &stdout, &stderr)
}

// wait waits for a command that was started.
func wait(t *testing.T, c *exec.Cmd, stdout, stderr *bytes.Buffer) ended {
	t.Helper()
	defer hurry(t, c).Stop()
	var exit *exec.ExitError
	if err := c.Wait(); err != nil && !errors.As(err, &exit) {
		t.Errorf("%q: %v", c.Args, err)
	}
	return ended{stdout.String(), stderr.String(), exitCode(c)}
}

// hurry kills the process if it takes too long, unless the timer is stopped.
func hurry(t *testing.T, c *exec.Cmd) *time.Timer {
	return time.AfterFunc(patience, func() {
		t.Errorf("nothing in %v: %q", patience, c.Args)
		c.Process.Kill()
	})
}

// exitCode returns what a shell would have in $?.
func exitCode(c *exec.Cmd) int {
	status := c.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// A talk is with a process that answers on its standard output what it is told
// on its standard input.
type talk struct {
	*exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr *os.File
}

// start starts a command to talk with. It is killed with the test.
func (r request) start(t *testing.T, name string, args ...string) *talk {
	t.Helper()
	c := &talk{Cmd: r.command(name, args...)}
	var stdout io.Reader
	var err error
	if c.stdin, err = c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if stdout, err = c.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	c.stdout = bufio.NewReader(stdout)
	// A file, since what was written to a pipe need not have come through yet.
	if c.stderr, err = os.Create(filepath.Join(t.TempDir(), "stderr")); err != nil {
		t.Fatal(err)
	}
	c.Stderr = c.stderr
	c.WaitDelay = time.Second // for what it leaves in the background
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
		c.stderr.Close()
	})
	return c
}

// said returns what has been written to standard error, by all calls up to now,
// and forgets it.
func (c *talk) said(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(c.stderr.Name())
	if err == nil {
		err = c.stderr.Truncate(0)
	}
	if err == nil {
		_, err = c.stderr.Seek(0, io.SeekStart) // the offset is shared with the process
	}
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// line returns the next line that the process prints, or what there is of it.
func (c *talk) line(t *testing.T) string {
	t.Helper()
	defer hurry(t, c.Cmd).Stop()
	text, _ := c.stdout.ReadString('\n')
	return strings.TrimSuffix(text, "\n")
}

// do has a shell run a command line, and returns what that printed and its code.
func (c *talk) do(t *testing.T, line string) (stdout string, code int) {
	t.Helper()
	if _, err := io.WriteString(c.stdin, line+"\necho \"code $?\"\n"); err != nil {
		t.Fatalf("%v; stderr: %s", err, c.said(t))
	}
	for {
		text := c.line(t)
		if n, err := fmt.Sscanf(text, "code %d", &code); n == 1 && err == nil {
			return stdout, code
		}
		if text == "" {
			t.Fatalf("ended at %q; stderr: %s", line, c.said(t))
		}
		stdout += text + "\n"
	}
}

// end closes the standard input of the process and waits for it.
func (c *talk) end(t *testing.T) int {
	t.Helper()
	c.stdin.Close()
	defer hurry(t, c.Cmd).Stop()
	io.Copy(io.Discard, c.stdout)
	c.Wait()
	return exitCode(c.Cmd)
}

// atOnce calls work n times at once, each with another number, and waits for all.
func atOnce(n int, work func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { work(i) })
	}
	all.Wait()
}

var cookieLine = regexp.MustCompile(`(?m)^Set-Cookie: cgisession_id=([a-z2-7]{32});`)

// newIDs returns the ids in Set-Cookie lines.
func newIDs(text string) (ids []string) {
	for _, found := range cookieLine.FindAllStringSubmatch(text, -1) {
		ids = append(ids, found[1])
	}
	return ids
}
