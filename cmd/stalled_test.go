package cmd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
)

// A regenerate with a grace that is stopped right before the two names are
// exchanged, for longer than the grace, as by a suspended machine. Whatever happens
// to the tombstone meanwhile, there is one session, and the new id leads to it.
func TestStalledRegenerate(t *testing.T) {
	cmdtest.Long(t)
	needStrace(t)
	const delay, grace = "5000000", time.Second // in microseconds
	for name, meanwhile := range map[string]func(*testing.T, request, string){
		"cleanup": func(t *testing.T, r request, tombstone string) {
			if got := r.Call(t, "cleanup", "--timeout", "1h"); got.Code != 0 {
				t.Errorf("%+v", got)
			}
		},
		"doctor": func(t *testing.T, r request, tombstone string) {
			r.Call(t, "doctor", "--repair", "--lock-timeout", "0")
		},
		"find -delete": func(t *testing.T, r request, tombstone string) { os.Remove(tombstone) },
	} {
		for how, env := range map[string]string{"by cookie": "HTTP_COOKIE=cgisession_id=" + cmdtest.Visitor, "bound": "CGISESSION_ID=" + cmdtest.Visitor} {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				r := begin(t, `{"n":1}`)
				by := in(r.Dir, env)
				c := by.Start(t, "strace", "-f", "-qq", "-o", r.Dir+"/trace", "-e", "inject=renameat2:delay_enter="+delay+":when=1",
					cmdtest.Program, "regenerate", "--grace", grace.String())
				tombstone := r.waitForTombstone(t)
				over := time.Now().Add(grace + time.Second)
				for time.Now().Before(over) {
					meanwhile(t, r, tombstone)
				}
				line := c.Line(t)
				code := c.End(t)
				ids := cmdtest.NewIDs(line + "\n")
				if code != 0 || len(ids) != 1 {
					t.Fatalf("%q, exit code %d, %s", line, code, c.Said(t))
				}
				if got := r.client(ids[0]).Call(t, "get", "n"); got.Stdout != "1\n" {
					t.Errorf("by the new id: %+v", got)
				}
				if live, _ := r.files(t); len(live) != 1 {
					t.Errorf("%d sessions: %q", len(live), live)
				}
				if got := r.client(cmdtest.Visitor).Call(t, "set", "n:=2"); got.Code != 0 {
					t.Errorf("by the old id: %+v", got)
				}
				if got := r.client(ids[0]).Call(t, "get", "n"); got.Stdout != "1\n" {
					t.Errorf("the old id outlives its grace: %+v", got)
				}
			})
		}
	}
}

// waitForTombstone waits until there is one, and returns its path.
func (r request) waitForTombstone(t *testing.T) string {
	t.Helper()
	for end := time.Now().Add(cmdtest.Patience); time.Now().Before(end); {
		files, _ := filepath.Glob(r.Dir + "/sessions/??/*")
		for _, path := range files {
			if info, err := os.Stat(path); err == nil && info.Mode().Perm() == 0o400 && !strings.HasSuffix(r.file(cmdtest.Visitor), filepath.Base(path)) {
				return path
			}
		}
	}
	t.Fatal("no tombstone")
	return ""
}

// A session that is removed while its tombstone waits is gone, and is no new one.
func TestStalledRegenerateOfRemoved(t *testing.T) {
	needStrace(t)
	r := begin(t, `{"n":1}`)
	c := r.Start(t, "strace", "-f", "-qq", "-o", r.Dir+"/trace", "-e", "inject=renameat2:delay_enter=1000000:when=1",
		cmdtest.Program, "regenerate", "--grace", "1h")
	r.waitForTombstone(t)
	must(t, os.Remove(r.file(cmdtest.Visitor)))
	line := c.Line(t)
	if code := c.End(t); line != "" || code != 10 {
		t.Errorf("%q, exit code %d, %s", line, code, c.Said(t))
	}
	if live, others := r.files(t); len(live)+len(others) > 0 {
		t.Errorf("left: %q, %q", live, others)
	}
}

// A move that fails after the exchange, and was stopped for longer than the grace
// before it could be undone. The client learns of no new id, so the old one leads to
// the session, also if the tombstone was removed meanwhile.
func TestStalledFailedRegenerate(t *testing.T) {
	needStrace(t)
	for name, meanwhile := range map[string]func(*testing.T, request){
		"cleanup":      func(t *testing.T, r request) { r.Call(t, "cleanup", "--timeout", "1h") },
		"find -delete": func(t *testing.T, r request) { os.Remove(r.file(cmdtest.Visitor)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r request
			var line, said string
			var code int
			// strace counts the calls of each thread for itself, and the Go runtime may go
			// on in another one: then the fault does not come, and it is tried again.
			for range 20 {
				r = begin(t, `{"n":1}`)
				c := r.Start(t, "strace", "-f", "-qq", "-o", r.Dir+"/trace",
					"-e", "inject=fsync:delay_enter=4000000:when=5", "-e", "inject=pwrite64:error=EIO:when=2",
					cmdtest.Program, "regenerate", "--grace", "1")
				r.waitForExchange(t)
				for over := time.Now().Add(3 * time.Second); time.Now().Before(over); {
					meanwhile(t, r)
				}
				line = c.Line(t)
				code, said = c.End(t), c.Said(t)
				text, err := os.ReadFile(r.Dir + "/trace")
				must(t, err)
				if strings.Contains(string(text), "(INJECTED)") && strings.Contains(string(text), "(DELAYED)") {
					break
				}
			}
			if line != "" || code != 74 {
				t.Errorf("%q, exit code %d, %s", line, code, said)
			}
			if got := r.client(cmdtest.Visitor).Call(t, "get", "n"); got.Stdout != "1\n" {
				t.Errorf("by the old id: %+v", got)
			}
			if live, _ := r.files(t); len(live) != 1 {
				t.Errorf("%d sessions: %q", len(live), live)
			}
		})
	}
}

// waitForExchange waits until a tombstone stands in the place of the visitor's session.
func (r request) waitForExchange(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(cmdtest.Patience); time.Now().Before(end); {
		if info, err := os.Stat(r.file(cmdtest.Visitor)); err == nil && info.Mode().Perm() == 0o400 {
			return
		}
	}
	t.Fatal("no exchange")
}

// A tombstone that is removed while it is still empty is made again.
func TestStalledTombstone(t *testing.T) {
	needStrace(t)
	r := begin(t, `{"n":1}`)
	c := r.Start(t, "strace", "-f", "-qq", "-o", r.Dir+"/trace", "-e", "inject=flock:delay_enter=1000000:when=2",
		cmdtest.Program, "regenerate", "--grace", "1h")
	removed := false
	for end := time.Now().Add(cmdtest.Patience); time.Now().Before(end) && !removed; {
		files, _ := filepath.Glob(r.Dir + "/sessions/??/*")
		for _, path := range files {
			if info, err := os.Stat(path); err == nil && info.Size() == 0 {
				removed = os.Remove(path) == nil
			}
		}
	}
	line := c.Line(t)
	if code := c.End(t); code != 0 || len(cmdtest.NewIDs(line+"\n")) != 1 || !removed {
		t.Errorf("%q, exit code %d, removed %v, %s", line, code, removed, c.Said(t))
	}
}
