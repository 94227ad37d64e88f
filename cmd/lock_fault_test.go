package cmd_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

// A file system without locks, one that fails, and signals without end: a first
// visit leaves no file, and a session stays as it is.
func TestLockFails(t *testing.T) {
	needStrace(t)
	for _, row := range []struct {
		errno string
		code  int
	}{{"ENOLCK", 74}, {"EOPNOTSUPP", 74}, {"ENOSYS", 74}, {"EINTR", 75}} {
		t.Run(row.errno, func(t *testing.T) {
			t.Parallel()
			r := begin(t, `{"n":1}`)
			stranger := in(r.Dir)
			for name, got := range map[string]cmdtest.Ended{
				"load":      stranger.failing(t, "flock", row.errno, "load", "--lock-timeout", "50ms"),
				"set":       stranger.failing(t, "flock", row.errno, "set", "a=1", "--lock-timeout", "50ms"),
				"incr":      r.failing(t, "flock", row.errno, "incr", "n", "--lock-timeout", "50ms"),
				"no wait":   r.failing(t, "flock", row.errno, "incr", "n", "--lock-timeout", "0"),
				"lock":      r.failing(t, "flock", row.errno, "lock", "--lock-timeout", "50ms", "true"),
				"run":       stranger.failing(t, "flock", row.errno, "run", "--lock", "--lock-timeout", "50ms", "true"),
				"lock --fd": cmdtest.Finish(t, r.Command("sh", "-c", `exec 9<"$(cgisession lock-path)"; export CGISESSION_LOCK_FD=9; exec strace -f -o trace2 -e inject=flock:error=`+row.errno+` cgisession lock --fd 9 --lock-timeout 50ms`)),
			} {
				if got.Code != row.code || got.Stdout != "" || strings.Count(got.Stderr, "\n") != 1 {
					t.Errorf("%s: %+v; want exit code %d", name, got, row.code)
				}
			}
			live, others := r.files(t)
			if len(live) != 1 || len(others) > 0 && row.errno != "EINTR" { // then another process may have the lock
				t.Errorf("left: %q, %q", live, others)
			}
			if got := r.Call(t, "get", "n"); got.Stdout != "1\n" {
				t.Errorf("then: %+v", got)
			}
		})
	}
}

// failing runs the program with an error for every call of a kind.
func (r request) failing(t *testing.T, call, errno string, args ...string) cmdtest.Ended {
	t.Helper()
	got, _ := r.injected(t, victim{args: args}, call, "error="+errno)
	return got
}

// A lock that is held already, and any call on it that fails: it is never waited for.
func TestHeldLockFails(t *testing.T) {
	needStrace(t)
	for name, args := range map[string][]string{
		"run":  {"run", "--lock", "--lock-timeout", "1m", "true"},
		"lock": {"lock", "--lock-timeout", "1m", "true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := begin(t, `{"n":1}`)
			_, all := r.injected(t, victim{args: args}, "", "")
			failures := 0
			for _, call := range []string{"flock", "fstat", "newfstatat", "openat", "pread64"} {
				for n := 1; n <= count(all.calls, call); n++ {
					got, trace := r.injected(t, victim{args: args}, call, "error=ENOLCK:when="+strconv.Itoa(n))
					ours := slices.ContainsFunc(trace.failed, func(c traced) bool { return handleInArgs.MatchString(c.args) })
					if !ours {
						continue // the Go runtime's, or strace's child
					}
					failures++
					if got.Code == 0 && strings.Contains(trace.failed[0].args, "LOCK_UN") {
						continue // the last thing it does
					}
					if got.Code != 74 || strings.Count(got.Stderr, "\n") != 1 {
						t.Errorf("%s %d: %+v; want exit code 74: %q", call, n, got, trace.failed)
					}
				}
			}
			if failures == 0 {
				t.Error("nothing failed")
			}
			t.Logf("%d failures", failures)
		})
	}
}

// Signals without end are no reason for cleanup to stay: what it cannot lock is busy.
func TestCleanupInterrupted(t *testing.T) {
	needStrace(t)
	r := begin(t, `{"n":1}`)
	r.ageAll(t)
	got := cmdtest.Finish(t, r.Command("strace", "-f", "-qq", "-o", r.Dir+"/trace", "-e", "inject=flock:error=EINTR",
		"timeout", "-s", "KILL", "120", cmdtest.Program, "cleanup", "--timeout", "1s"))
	if got.Code != 0 || !strings.Contains(got.Stdout, "busy 1,") {
		t.Errorf("%+v", got)
	}
}
