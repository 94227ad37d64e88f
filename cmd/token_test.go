package cmd_test

import (
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
)

// A token may come in pieces, and late, also from a descriptor that does not block
// its reader: that is waited for, by poll(2).
func TestTokenInPieces(t *testing.T) {
	needs(t, "perl")
	const nonBlocking = `use Fcntl; fcntl(STDIN, F_SETFL, O_RDONLY | O_NONBLOCK) or die; exec @ARGV`
	r := begin(t, `{"name":"ann"}`).client("")
	for _, args := range [][]string{{cmdtest.Program}, {"perl", "-e", nonBlocking, cmdtest.Program}} {
		args = append(args, "get", "name", "--id-fd", "0")
		c := r.Start(t, args[0], args[1:]...)
		waitForSleep(t, c.Process.Pid)
		_, err := io.WriteString(c.Input, cmdtest.Visitor[:10])
		must(t, err)
		waitForSleep(t, c.Process.Pid)
		_, err = io.WriteString(c.Input, cmdtest.Visitor[10:]+"\n")
		must(t, err)
		must(t, c.Input.Close())
		if got := c.Line(t); got != `"ann"` || c.End(t) != 0 {
			t.Errorf("%q: %q, stderr %q", args, got, c.Said(t))
		}
	}
}

// waitForSleep waits until the process is the program, and sleeps.
func waitForSleep(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(cmdtest.Patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		must(t, err)
		switch {
		case strings.Contains(string(text), "(cgisession) S "):
			return
		case strings.Contains(string(text), ") Z "):
			t.Fatal("it has ended, and did not wait")
		}
	}
	t.Fatal("it does not wait")
}
