package cmd_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cgisession/cmd/cmdtest"
)

// Standard error as the log, by whatever name, is not waited for either, be it a
// pipe, a socket or a terminal; a pipe or a socket also not if another process
// fills it just after a look found room in it.
func TestLogStuckStderr(t *testing.T) {
	r := begin(t, `{}`).client(nobody)
	for kind, make := range map[string]func(t *testing.T) (read, write *os.File){
		"pipe":     pipe,
		"stream":   func(t *testing.T) (_, _ *os.File) { return socketPair(t, unix.SOCK_STREAM) },
		"packet":   func(t *testing.T) (_, _ *os.File) { return socketPair(t, unix.SOCK_SEQPACKET) },
		"terminal": terminal,
	} {
		for _, name := range []string{"-", "/dev/stderr", "/dev/fd/2", "/proc/self/fd/2"} {
			t.Run(kind+strings.ReplaceAll(name, "/", "_"), func(t *testing.T) {
				t.Parallel()
				command := func() (*exec.Cmd, int) {
					_, write := make(t)
					c := r.with("CGISESSION_LOG_FILE="+name).Command(cmdtest.Program, "get", "--default", "0")
					c.Stderr = write
					return c, int(write.Fd())
				}
				c, fd := command()
				fillPipe(t, fd)
				var stdout bytes.Buffer
				c.Stdout = &stdout
				must(t, c.Start())
				if got := cmdtest.Wait(t, c, &stdout, new(bytes.Buffer)); got.Code != 0 || got.Stdout != "0\n" {
					t.Errorf("full: %+v", got)
				}
				if kind == "terminal" {
					return
				}
				needStrace(t)
				c, fd = command()
				got := stoppedAt(t, "poll,ppoll", 1, func(int) { fillPipe(t, fd) }, c)
				if got.Code != 0 || got.Stdout != "0\n" {
					t.Errorf("filled meanwhile: %+v", got)
				}
			})
		}
	}
}

func pipe(t *testing.T) (read, write *os.File) {
	t.Helper()
	read, write, err := os.Pipe()
	must(t, err)
	t.Cleanup(func() { read.Close(); write.Close() })
	return read, write
}

// terminal returns a pseudoterminal (pty(7)).
func terminal(t *testing.T) (read, write *os.File) {
	t.Helper()
	read, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { read.Close() })
	must(t, unix.IoctlSetPointerInt(int(read.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(read.Fd()), unix.TIOCGPTN)
	must(t, err)
	write, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { write.Close() })
	return read, write
}
