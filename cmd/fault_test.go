package cmd_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Faults are injected into a real process by strace(1), one system call at a
// time: the Nth call of a kind is answered with an error, or by SIGKILL.

// A victim is a call that changes a session, and what may be stored afterwards.
type victim struct {
	name  string
	args  []string
	stdin string
	after string // the data, once it is done; "" if the session ended
}

const before = `{"n":1,"old":"` // and so on, up to the size that is wanted

func victims() []victim {
	return []victim{
		{"set", []string{"set", "n:=2"}, "", `{"n":2,"old":"%s"}`},
		{"save", []string{"save"}, `{"new":true}`, `{"new":true}`},
		{"delete", []string{"delete"}, "", `{}`},
		{"regenerate", []string{"regenerate"}, "", `{"n":1,"old":"%s"}`},
		{"regenerate with grace", []string{"regenerate", "--grace", "1h", "--user", "ann"}, "", `{"n":1,"old":"%s"}`},
		{"invalidate", []string{"invalidate"}, "", ""},
		{"cleanup", []string{"cleanup", "--timeout", "1h"}, "", ""},
	}
}

// faultyCalls are the system calls by which the program acts on files.
var faultyCalls = []string{
	"openat", "pwrite64", "ftruncate", "fdatasync", "fsync", "renameat", "renameat2", "unlinkat", "flock", "utimensat", "mkdirat", "pread64", "fstat", "newfstatat",
}

// maxCalls bounds how often a call is looked for in one process.
const maxCalls = 40

// sizes are those of a session that has one page, and of one that is synced at
// each save.
func sizes() map[string]string {
	return map[string]string{"one page": "x", "many pages": strings.Repeat("y", 9000)}
}

func TestKilledAtEverySystemCall(t *testing.T) {
	needStrace(t)
	forEachVictim(t, func(t *testing.T, v victim, filling string) {
		kills := 0
		for _, call := range faultyCalls {
			for n := 1; n <= maxCalls; n++ {
				r := prepareVictim(t, v, filling)
				got := r.injected(t, v, call, fmt.Sprintf("signal=KILL:when=%d", n))
				if got.code != 128+9 {
					break // there is no Nth call of the kind
				}
				kills++
				where := fmt.Sprintf("killed at %s %d", call, n)
				r.checkState(t, where, v, filling, true)
				r.checkNextRun(t, where)
			}
		}
		if kills == 0 {
			t.Error("nothing was killed")
		}
		t.Logf("%d kills", kills)
	})
}

func TestErrorAtEverySystemCall(t *testing.T) {
	needStrace(t)
	forEachVictim(t, func(t *testing.T, v victim, filling string) {
		failures := 0
		for _, errno := range errnos(filling) {
			for _, call := range faultyCalls {
				for n := 1; n <= maxCalls; n++ {
					r := prepareVictim(t, v, filling)
					got, happened := r.failed(t, v, call, errno, n)
					if !happened {
						break
					}
					where := fmt.Sprintf("%s at %s %d", errno, call, n)
					if got.code != 0 {
						failures++
						checkFailure(t, where, got)
					}
					if errno == "EINTR" && got.code != 0 {
						t.Errorf("%s: an interruption is no failure: %+v", where, got)
					}
					// What delete could not wipe, it has deleted all the same.
					r.checkState(t, where, v, filling, got.code == 0 || v.after == "" || strings.Contains(got.stderr, "not yet the older record"))
					r.checkNextRun(t, where)
				}
			}
		}
		if failures == 0 {
			t.Error("nothing failed")
		}
		t.Logf("%d failures", failures)
	})
}

// errnos are the errors to inject: all of them where that is wanted, and for the
// large session those that a longer way may meet.
func errnos(filling string) []string {
	all := []string{"EIO", "EINTR", "ENOSPC", "EROFS", "EDQUOT", "ENOLCK", "EMFILE"}
	switch {
	case full(0, 1) == 0:
		return all[:2]
	case len(filling) > 1:
		return all[:4]
	}
	return all
}

// forEachVictim runs a test for each victim and each size.
func forEachVictim(t *testing.T, test func(*testing.T, victim, string)) {
	for _, v := range victims() {
		for name, filling := range sizes() {
			t.Run(v.name+", "+name, func(t *testing.T) {
				t.Parallel()
				test(t, v, filling)
			})
		}
	}
}

func needStrace(t *testing.T) {
	t.Helper()
	if err := exec.Command("strace", "-qq", "-o", os.DevNull, "true").Run(); err != nil {
		t.Skipf("strace does not work here: %v", err)
	}
}

// prepareVictim makes a session with two records in its file, for what reads
// them to choose from.
func prepareVictim(t *testing.T, v victim, filling string) request {
	t.Helper()
	r := begin(t, `{"n":0,"old":"`+filling+`"}`)
	if got := r.call(t, "incr", "n"); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	if v.name == "cleanup" {
		long := time.Now().Add(-2 * time.Hour)
		if err := os.Chtimes(r.file(visitor), long, long); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// injected runs the victim under strace with a fault.
func (r request) injected(t *testing.T, v victim, call, fault string) ended {
	t.Helper()
	args := []string{"-f", "-qq", "-o", r.dir + "/trace", "-e", "trace=" + call, "-e", "inject=" + call + ":" + fault, program}
	c := r.command("strace", append(args, v.args...)...)
	c.Stdin = strings.NewReader(v.stdin)
	return finish(t, c)
}

// failed runs the victim with an error at the Nth call of a kind, and reports
// whether there was one.
func (r request) failed(t *testing.T, v victim, call, errno string, n int) (ended, bool) {
	t.Helper()
	got := r.injected(t, v, call, fmt.Sprintf("error=%s:when=%d", errno, n))
	trace, err := os.ReadFile(r.dir + "/trace")
	if err != nil {
		t.Fatal(err)
	}
	return got, bytes.Contains(trace, []byte("(INJECTED)"))
}

// checkFailure checks what a failure says: one line, nothing on stdout, an exit
// code of its kind.
func checkFailure(t *testing.T, where string, got ended) {
	t.Helper()
	if got.stdout != "" && !strings.HasPrefix(got.stdout, "seen ") {
		t.Errorf("%s: stdout %q", where, got.stdout)
	}
	if strings.Count(got.stderr, "\n") != 1 || !strings.HasPrefix(got.stderr, "cgisession: ") {
		t.Errorf("%s: stderr %q", where, got.stderr)
	}
	if got.code != 74 && got.code != 69 {
		t.Errorf("%s: exit code %d, %s", where, got.code, got.stderr)
	}
}

// checkState checks that what is stored is what was there before or, if done is
// set, perhaps what the victim would have made of it.
func (r request) checkState(t *testing.T, where string, v victim, filling string, done bool) {
	t.Helper()
	old := before + filling + `"}`
	allowed := []string{old}
	if after := strings.ReplaceAll(v.after, "%s", filling); done && v.after != "" {
		allowed = append(allowed, after)
	}
	var stored []string
	live, _ := r.files(t)
	for _, path := range live {
		handle := filepath.Base(path)
		got := r.call(t, "show", handle, "--data")
		_, data, found := strings.Cut(strings.TrimSuffix(got.stdout, "}\n"), `"data":`)
		if got.code != 0 || !found {
			t.Errorf("%s: %s cannot be read: %+v", where, handle, got)
		}
		stored = append(stored, data)
	}
	if v.after == "" && done {
		stored = slices.DeleteFunc(stored, func(data string) bool { return data == "{}" || data == old })
		if len(stored) > 0 {
			t.Errorf("%s: stored %.80q", where, stored)
		}
		return
	}
	if len(stored) != 1 || !slices.Contains(allowed, stored[0]) {
		t.Errorf("%s: stored %.80q, not one of %.80q", where, stored, allowed)
	}
}

// checkNextRun checks that the next request works, and that what the victim may
// have left behind is swept away.
func (r request) checkNextRun(t *testing.T, where string) {
	t.Helper()
	next := request{r.dir, []string{"CGISESSION_ADOPT_ID=nextnextnextnextnext"}}
	if got := next.call(t, "set", "works=yes"); got.code != 0 {
		t.Errorf("%s: the next run fails: %+v", where, got)
	}
	r.ageAll(t)
	if got := next.call(t, "cleanup", "--timeout", "1h"); got.code != 0 {
		t.Errorf("%s: cleanup fails: %+v", where, got)
	}
	live, others := r.files(t)
	for _, path := range append(live, others...) {
		if !isTombstone(t, path) && filepath.Base(path) != ".cleanup" {
			t.Errorf("%s: %s is left", where, path)
		}
	}
}

// ageAll makes every file two hours old.
func (r request) ageAll(t *testing.T) {
	t.Helper()
	long := time.Now().Add(-2 * time.Hour)
	live, others := r.files(t)
	for _, path := range append(live, others...) {
		if err := os.Chtimes(path, long, long); err != nil {
			t.Fatal(err)
		}
	}
}

// isTombstone reports whether the file leads to a session's new place, and its
// time is still to come.
func isTombstone(t *testing.T, path string) bool {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(text, []byte(`"moved"`)) && !bytes.Contains(text, []byte(filepath.Base(path)))
}
