package cmdtest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A Talk is with a process that answers on its standard output what it is told
// on its standard input.
type Talk struct {
	*exec.Cmd
	Input  io.WriteCloser
	stdout *bufio.Reader
	stderr *os.File
}

// Start starts a command to talk with. It is killed with the test.
func (r Request) Start(t testing.TB, name string, args ...string) *Talk {
	t.Helper()
	c := &Talk{Cmd: r.Command(name, args...)}
	var stdout io.Reader
	var err error
	if c.Input, err = c.StdinPipe(); err != nil {
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

// Said returns what has been written to standard error, by all calls up to now,
// and forgets it.
func (c *Talk) Said(t testing.TB) string {
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

// Line returns the next line that the process prints, or what there is of it.
func (c *Talk) Line(t testing.TB) string {
	t.Helper()
	defer hurry(t, c.Cmd).Stop()
	text, _ := c.stdout.ReadString('\n')
	return strings.TrimSuffix(text, "\n")
}

// Do has a shell run a command line, and returns what that printed and its code.
func (c *Talk) Do(t testing.TB, line string) (stdout string, code int) {
	t.Helper()
	if _, err := io.WriteString(c.Input, line+"\necho \"code $?\"\n"); err != nil {
		t.Fatalf("%v; stderr: %s", err, c.Said(t))
	}
	for {
		text := c.Line(t)
		if n, err := fmt.Sscanf(text, "code %d", &code); n == 1 && err == nil {
			return stdout, code
		}
		if text == "" {
			t.Fatalf("ended at %q; stderr: %s", line, c.Said(t))
		}
		stdout += text + "\n"
	}
}

// End closes the standard input of the process and waits for it.
func (c *Talk) End(t testing.TB) int {
	t.Helper()
	c.Input.Close()
	defer hurry(t, c.Cmd).Stop()
	io.Copy(io.Discard, c.stdout)
	c.Wait()
	return ExitCode(c.Cmd)
}
