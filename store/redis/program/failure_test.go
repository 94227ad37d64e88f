//go:build redis && linux

package program

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
	"cgisession/store/redis/redistest"
)

// inTime is how long a call may take when the server does not answer.
const inTime = 3 * time.Second

// promptly makes a call that must take no longer than inTime, at least once: the
// machine may be busy with other things.
func promptly(t *testing.T, r cmdtest.Request, args ...string) (got cmdtest.Measured) {
	t.Helper()
	for end := time.Now().Add(cmdtest.Patience); time.Now().Before(end); {
		if got = r.Measure(t, args...); got.Took <= inTime {
			return got
		}
	}
	t.Errorf("%q took %v each time", args, got.Took)
	return got
}

// failure is a server that does not do what is asked.
type failure struct {
	name string
	// site makes the server, and the session of the visitor, and lets it fail.
	site   func(t *testing.T) cmdtest.Request
	stderr string // of set, after "cgisession: set: "
	reads  bool   // get works all the same
}

func withSession(t *testing.T, settings ...string) (*redistest.Server, cmdtest.Request) {
	server := redistest.Start(t, settings...)
	s := visitorOn(server.URL())
	s.Must(t, "set", "a=1")
	return server, s
}

func failures() []failure {
	return []failure{
		{"down", func(t *testing.T) cmdtest.Request {
			server, s := withSession(t)
			server.Kill()
			return s
		}, "connect: connection refused", false},
		{"stopped", func(t *testing.T) cmdtest.Request {
			server, s := withSession(t)
			server.Signal(syscall.SIGSTOP)
			t.Cleanup(func() { server.Signal(syscall.SIGCONT) })
			return s
		}, "no answer in time", false},
		{"loading", func(t *testing.T) cmdtest.Request {
			server, s := withSession(t, "--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024")
			server.Do(t, "eval", `for i = 1, 20000 do redis.call('set', 'k' .. i, i) end`, "0")
			server.Do(t, "save")
			server.Kill()
			server.Launch(t)
			cmdtest.Until(t, "server that loads", func() bool {
				return strings.Contains(s.Call(t, "get").Stderr, "LOADING")
			})
			return s
		}, "LOADING Redis is loading the dataset in memory", false},
		{"replica", func(t *testing.T) cmdtest.Request {
			server, _ := withSession(t)
			replica := redistest.Start(t, "--replicaof", "127.0.0.1 "+strconv.Itoa(server.Port))
			cmdtest.Until(t, "link to the master", func() bool {
				return strings.Contains(replica.Do(t, "info", "replication"), "master_link_status:up")
			})
			return visitorOn(replica.URL())
		}, "READONLY You can't write against a read only replica.*; name the master, or use redis\\+sentinel://", false},
		{"without a password", func(t *testing.T) cmdtest.Request {
			return visitorOn(redistest.Start(t, "--requirepass", "swordfish").URL())
		}, "NOAUTH Authentication required; set --redis-password-file", false},
		{"with a wrong password", func(t *testing.T) cmdtest.Request {
			server := redistest.Start(t, "--requirepass", "swordfish")
			return visitorOn("redis://:shark@" + server.Addr())
		}, "WRONGPASS .*; see --redis-password-file and the URL's user", false},
		{"full", func(t *testing.T) cmdtest.Request {
			server, s := withSession(t)
			server.Do(t, "config", "set", "maxmemory-policy", "noeviction")
			server.Do(t, "config", "set", "maxmemory", "1mb")
			return s
		}, "OOM command not allowed when used memory > 'maxmemory'.*; give it more memory, or set shorter timeouts", true},
		{"cannot save", func(t *testing.T) cmdtest.Request {
			server, s := withSession(t)
			if err := os.Mkdir(filepath.Join(server.Dir, "dump.rdb"), 0o700); err != nil {
				t.Fatal(err)
			}
			server.Do(t, "config", "set", "save", "3600 1000000")
			server.Do(t, "bgsave")
			cmdtest.Until(t, "failure to save", func() bool {
				return strings.Contains(server.Do(t, "info", "persistence"), "rdb_last_bgsave_status:err")
			})
			return s
		}, "MISCONF .*; see the server's log; it cannot write its files", true},
	}
}

// TestFailures has each verb that is tried end with 69, one line and in time.
func TestFailures(t *testing.T) {
	for _, f := range failures() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			s := f.site(t)
			line := regexp.MustCompile(`^cgisession: set: redis 127\.0\.0\.1:\d+: store unavailable: ` + f.stderr + `\n$`)
			got := promptly(t, s, "set", "b=2")
			if got.Code != 69 || got.Stdout != "" || !line.MatchString(got.Stderr) {
				t.Errorf("set: %+v; want 69 and %s", got, line)
			}
			if strings.Contains(got.Stderr, "shark") {
				t.Error("the password is in the message")
			}
			want := 69
			if f.reads {
				want = 0
			}
			if f.name == "stopped" || f.name == "down" {
				for _, verb := range []string{"regenerate", "list", "destroy --user ann", "cleanup --timeout 1h"} {
					if got := promptly(t, s, strings.Fields(verb)...); got.Code != 69 {
						t.Errorf("%s: %+v; want 69", verb, got)
					}
				}
			}
			for _, verb := range []string{"get", "load"} {
				got := s.Call(t, verb, "--log-file", "-")
				if got.Code != want || f.reads != strings.Contains(got.Stderr, "access not marked") {
					t.Errorf("%s: %+v; want %d", verb, got, want)
				}
			}
		})
	}
}

// TestRestartedEmpty has a server that lost all: that is no session, and no error.
func TestRestartedEmpty(t *testing.T) {
	server, s := withSession(t)
	server.Kill()
	server.Run(t)
	if got := s.Call(t, "get"); got.Code != 1 || got.Stderr != "" {
		t.Errorf("get: %+v; want 1", got)
	}
	if got := s.With("CGISESSION_ID="+cmdtest.Visitor).Call(t, "set", "a=1"); got.Code != 10 {
		t.Errorf("set in a request that had a session: %+v; want 10", got)
	}
	s.Must(t, "set", "a=1")
}

// TestRestarts counts while the server is stopped and goes on again and again: a
// change whose answer was lost is sent again, and happens once.
func TestRestarts(t *testing.T) {
	server, s := withSession(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range cmdtest.Full(6, 30) {
			time.Sleep(150 * time.Millisecond)
			server.Signal(syscall.SIGSTOP)
			time.Sleep(700 * time.Millisecond) // longer than one answer may take
			server.Signal(syscall.SIGCONT)
		}
	}()
	var mu sync.Mutex
	acked := 0
	cmdtest.AtOnce(8, func(int) {
		for {
			select {
			case <-done:
				return
			default:
			}
			got := s.Call(t, "incr", "n")
			if got.Code != 0 {
				t.Errorf("incr: %+v", got)
			}
			mu.Lock()
			acked++
			mu.Unlock()
		}
	})
	if got := s.Must(t, "get", "n"); got != strconv.Itoa(acked) {
		t.Errorf("counted to %s by %d calls", got, acked)
	}
	t.Logf("%d calls", acked)
}
