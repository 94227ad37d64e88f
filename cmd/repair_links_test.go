package cmd_test

import (
	"fmt"
	"os"
	"testing"

	"cgisession/cmd/cmdtest"
)

// changingCalls are the system calls between which the files differ, so that a kill at each of
// them leaves every state that there is in between.
var changingCalls = []string{"mkdirat", "flock", "pread64", "pwrite64", "utimensat", "fsync", "renameat2", "unlinkat"}

// A repair of a session that a backup by cp -al shares is killed, or fails, at each system
// call that changes files. The session is there as it was, with its time; until a later repair it may still be
// shared, and then it is refused. The backup never changes.
func TestRepairLinksKilled(t *testing.T) {
	needStrace(t)
	faults := map[string]string{"killed": "signal=KILL", "EIO": "error=EIO", "ENOSPC": "error=ENOSPC"}
	if testing.Short() {
		faults = map[string]string{"killed": "signal=KILL"}
	}
	repair := victim{name: "repair", args: []string{"doctor", "--repair"}, before: kept, done: kept}
	p := prepare(t, repair, "x")
	share := func() (request, string, os.FileInfo) {
		r := p.restore(t)
		age(t, r.file(cmdtest.Visitor))
		backup := r.Dir + "/backup"
		must(t, os.Link(r.file(cmdtest.Visitor), backup))
		info, err := os.Stat(backup)
		must(t, err)
		return r, backup, info
	}
	r, _, _ := share()
	got, trace := r.injected(t, repair, "", "")
	if got.Code != 0 {
		t.Fatalf("%+v", got)
	}
	p.calls = trace.calls
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused, mended := 0, 0
			p.forEachCall(t, changingCalls, func(call string, n int) bool {
				r, backup, before := share()
				got, trace := r.injected(t, repair, call, fmt.Sprintf("%s:when=%d", fault, n))
				if name == "killed" && got.Code != 128+9 || name != "killed" && len(trace.failed) == 0 {
					return false
				}
				where := fmt.Sprintf("%s at %s %d", name, call, n)
				switch got := r.Call(t, "info", "--no-lock"); got.Code {
				case 77:
					refused++
				case 0:
					mended++
				default:
					t.Errorf("%s: %+v", where, got)
				}
				if got := r.Call(t, "doctor", "--repair"); got.Code != 0 {
					t.Errorf("%s, and repaired again: %+v", where, got)
				}
				own, err := os.Stat(r.file(cmdtest.Visitor))
				if err != nil || own.Mode() != 0o600 || !own.ModTime().Equal(before.ModTime()) {
					t.Fatalf("%s: it is %+v, %v", where, own, err)
				}
				r.checkShared(t, where, backup, string(p.text))
				return true
			})
			if refused == 0 || mended == 0 {
				t.Errorf("%d times it is shared afterwards, %d times not", refused, mended)
			}
			t.Logf("%d times it is shared afterwards, %d times not", refused, mended)
		})
	}
}

// checkShared checks that the session and the backup hold the text, and that a save changes the
// session alone.
func (r request) checkShared(t *testing.T, where, backup, text string) {
	t.Helper()
	for _, path := range []string{backup, r.file(cmdtest.Visitor)} {
		if now, err := os.ReadFile(path); err != nil || string(now) != text {
			t.Errorf("%s: %s holds %.99q, %v", where, path, now, err)
		}
	}
	if got := r.Call(t, "incr", "n"); got.Stdout != "2\n" {
		t.Errorf("%s: %+v", where, got)
	}
	if now, err := os.ReadFile(backup); err != nil || string(now) != text {
		t.Errorf("%s: the backup holds %.99q, %v", where, now, err)
	}
}
