//go:build redis && linux

// Package redis_test runs the program as a web server would, many processes at
// once, against real servers that fail.
package redis_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cgisession/store/redis/redistest"
)

var program string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "cgisession")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "cgisession")
	build := exec.Command("go", "build", "-buildvcs=false", "-tags", "urfave_cli_no_docs redis", "-o", program, "cgisession")
	if text, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, text)
		return 1
	}
	return m.Run()
}

// full returns how often to do something: seldom, or as often as the variable
// CGISESSION_FULL wants it.
func full(few, many int) int {
	if os.Getenv("CGISESSION_FULL") == "1" {
		return many
	}
	return few
}

// visitor is the id of the session that the tests are about.
const visitor = "visitorvisitorvisitorvisitorvi23"

// A site is a program's environment: where the sessions are.
type site []string

func siteOf(url string, settings ...string) site {
	return append(site{"CGISESSION_TYPE=redis", "CGISESSION_REDIS_URL=" + url, "CGISESSION_ADOPT_ID=" + visitor}, settings...)
}

// ended is how a process ended.
type ended struct {
	stdout, stderr string
	code           int
	took           time.Duration
}

func (s site) call(t testing.TB, args ...string) ended {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c := exec.Command(program, args...)
	c.Env, c.Stdout, c.Stderr = s, &stdout, &stderr
	began := time.Now()
	err := c.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Error(err)
	}
	return ended{stdout.String(), stderr.String(), c.ProcessState.ExitCode(), time.Since(began)}
}

// must is call for what has to go well.
func (s site) must(t testing.TB, args ...string) string {
	t.Helper()
	got := s.call(t, args...)
	if got.code != 0 {
		t.Fatalf("%q: %+v", args, got)
	}
	return strings.TrimSuffix(got.stdout, "\n")
}

func atOnce(n int, work func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { work(i) })
	}
	all.Wait()
}

// TestTotals counts with 8 processes at once, and sets keys with 20.
func TestTotals(t *testing.T) {
	totals(t, siteOf(redistest.Start(t).URL()), full(25, 500), full(5, 100))
}

func totals(t *testing.T, s site, each, sets int) {
	t.Helper()
	s.must(t, "load")
	atOnce(8, func(int) {
		for range each {
			s.must(t, "incr", "n")
		}
	})
	if got, want := s.must(t, "get", "n"), strconv.Itoa(8*each); got != want {
		t.Errorf("counted to %s; want %s", got, want)
	}
	atOnce(20, func(i int) {
		for j := range sets {
			s.must(t, "set", fmt.Sprintf("k%d.%d=x", i, j))
		}
	})
	if got, want := strings.Count(s.must(t, "get"), `"k`), 20*sets; got != want {
		t.Errorf("%d keys; want %d", got, want)
	}
}

// TestRoundTrips counts what is asked of the server, the greeting of a new
// connection aside.
func TestRoundTrips(t *testing.T) {
	server := redistest.Start(t)
	s := siteOf(server.URL(), "CGISESSION_TIMEOUT=1h")
	for _, args := range [][]string{{"set", "n:=1"}, {"load"}, {"get"}, {"incr", "n"}, {"invalidate", "--expire"}, {"set", "n:=1"}} {
		s.must(t, args...) // so that the server knows the scripts
	}
	for _, tt := range []struct {
		most int
		args []string
	}{{1, []string{"get", "n"}}, {1, []string{"load"}}, {2, []string{"set", "n:=2"}}, {2, []string{"incr", "n"}}, {2, []string{"unset", "n"}}} {
		server.Do(t, "config", "resetstat")
		s.must(t, tt.args...)
		asked := 0
		for name, n := range server.Calls(t) {
			switch name {
			case "hello", "config|resetstat", "info", "time", "hset", "hget", "hmget", "hdel", "pexpire", "persist", "client|setinfo":
			default:
				asked += n
			}
		}
		if asked == 0 || asked > tt.most {
			t.Errorf("%s: %d round trips; want %d at most", tt.args[0], asked, tt.most)
		}
	}
}

// TestPackages sees to it that the plain program has none of the client.
func TestPackages(t *testing.T) {
	deps := func(tags string) []string {
		text, err := exec.Command("go", "list", "-deps", "-tags", tags, "cgisession").Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(text))
	}
	plain, with := deps("urfave_cli_no_docs"), deps("urfave_cli_no_docs redis")
	for _, name := range plain {
		if strings.Contains(name, "redis") || name == "crypto/tls" || name == "net/http" || name == "net" {
			t.Errorf("the plain program has package %s", name)
		}
	}
	t.Logf("%d packages, %d with Redis", len(plain), len(with))
	if len(with) <= len(plain) {
		t.Error("the tag redis changes nothing")
	}
}

// failure is a server that does not do what is asked.
type failure struct {
	name string
	// site makes the server, and the session of the visitor, and lets it fail.
	site   func(t *testing.T) site
	stderr string // of set, after "cgisession: set: "
	reads  bool   // get works all the same
}

func withSession(t *testing.T, settings ...string) (*redistest.Server, site) {
	server := redistest.Start(t, settings...)
	s := siteOf(server.URL())
	s.must(t, "set", "a=1")
	return server, s
}

func failures() []failure {
	return []failure{
		{"down", func(t *testing.T) site {
			server, s := withSession(t)
			server.Kill()
			return s
		}, "connect: connection refused", false},
		{"stopped", func(t *testing.T) site {
			server, s := withSession(t)
			server.Signal(syscall.SIGSTOP)
			t.Cleanup(func() { server.Signal(syscall.SIGCONT) })
			return s
		}, "no answer in time", false},
		{"loading", func(t *testing.T) site {
			server, s := withSession(t, "--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024")
			server.Do(t, "eval", `for i = 1, 20000 do redis.call('set', 'k' .. i, i) end`, "0")
			server.Do(t, "save")
			server.Kill()
			server.Launch(t)
			redistest.Wait(t, "server that loads", func() bool {
				return strings.Contains(s.call(t, "get").stderr, "LOADING")
			})
			return s
		}, "LOADING Redis is loading the dataset in memory", false},
		{"replica", func(t *testing.T) site {
			server, _ := withSession(t)
			replica := redistest.Start(t, "--replicaof", "127.0.0.1 "+strconv.Itoa(server.Port))
			redistest.Wait(t, "link to the master", func() bool {
				return strings.Contains(replica.Do(t, "info", "replication"), "master_link_status:up")
			})
			return siteOf(replica.URL())
		}, "READONLY You can't write against a read only replica.*; name the master, or use redis\\+sentinel://", false},
		{"without a password", func(t *testing.T) site {
			return siteOf(redistest.Start(t, "--requirepass", "swordfish").URL())
		}, "NOAUTH Authentication required; set --redis-password-file", false},
		{"with a wrong password", func(t *testing.T) site {
			server := redistest.Start(t, "--requirepass", "swordfish")
			return siteOf("redis://:shark@" + server.Addr())
		}, "WRONGPASS .*; see --redis-password-file and the URL's user", false},
		{"full", func(t *testing.T) site {
			server, s := withSession(t)
			server.Do(t, "config", "set", "maxmemory-policy", "noeviction")
			server.Do(t, "config", "set", "maxmemory", "1mb")
			return s
		}, "OOM command not allowed when used memory > 'maxmemory'.*; give it more memory, or set shorter timeouts", true},
	}
}

// TestFailures has each verb that is tried end with 69, one line and in time.
func TestFailures(t *testing.T) {
	for _, f := range failures() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			s := f.site(t)
			line := regexp.MustCompile(`^cgisession: set: redis 127\.0\.0\.1:\d+: store unavailable: ` + f.stderr + `\n$`)
			got := s.call(t, "set", "b=2")
			if got.code != 69 || got.stdout != "" || !line.MatchString(got.stderr) {
				t.Errorf("set: %+v; want 69 and %s", got, line)
			}
			if got.took > 3*time.Second {
				t.Errorf("set took %v", got.took)
			}
			if strings.Contains(got.stderr, "shark") {
				t.Error("the password is in the message")
			}
			want := 69
			if f.reads {
				want = 0
			}
			if got := s.call(t, "get"); got.code != want {
				t.Errorf("get: %+v; want %d", got, want)
			}
		})
	}
}

// TestRestartedEmpty has a server that lost all: that is no session, and no error.
func TestRestartedEmpty(t *testing.T) {
	server, s := withSession(t)
	server.Kill()
	server.Run(t)
	if got := s.call(t, "get"); got.code != 1 || got.stderr != "" {
		t.Errorf("get: %+v; want 1", got)
	}
	if got := append(s, "CGISESSION_ID="+visitor).call(t, "set", "a=1"); got.code != 10 {
		t.Errorf("set in a request that had a session: %+v; want 10", got)
	}
	s.must(t, "set", "a=1")
}

// TestRestarts counts while the server is stopped and goes on again and again: a
// change whose answer was lost is sent again, and happens once.
func TestRestarts(t *testing.T) {
	server, s := withSession(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range full(6, 30) {
			time.Sleep(150 * time.Millisecond)
			server.Signal(syscall.SIGSTOP)
			time.Sleep(700 * time.Millisecond) // longer than one answer may take
			server.Signal(syscall.SIGCONT)
		}
	}()
	var mu sync.Mutex
	acked := 0
	atOnce(8, func(int) {
		for {
			select {
			case <-done:
				return
			default:
			}
			got := s.call(t, "incr", "n")
			if got.code != 0 {
				t.Errorf("incr: %+v", got)
			}
			mu.Lock()
			acked++
			mu.Unlock()
		}
	})
	if got := s.must(t, "get", "n"); got != strconv.Itoa(acked) {
		t.Errorf("counted to %s by %d calls", got, acked)
	}
	t.Logf("%d calls", acked)
}

// TestPassword has the password where it may be, and where it may not.
func TestPassword(t *testing.T) {
	server := redistest.Start(t, "--requirepass", "swordfish")
	siteOf("redis://:swordfish@"+server.Addr()).must(t, "set", "a=1")
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("swordfish\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := siteOf(server.URL(), "CGISESSION_REDIS_PASSWORD_FILE="+file)
	if got := s.must(t, "get", "a"); got != `"1"` {
		t.Errorf("get: %s", got)
	}
	got := s.call(t, "get", "--redis-url", "redis://:swordfish@"+server.Addr())
	if got.code != 64 || strings.Contains(got.stderr, "swordfish") {
		t.Errorf("password on the command line: %+v", got)
	}
	os.Chmod(file, 0o644)
	if got := s.call(t, "get"); got.code != 78 || !strings.Contains(got.stderr, "chmod 600") {
		t.Errorf("password file for all to read: %+v", got)
	}
}

// TestACL has a user who may do no more than the manual says, on a socket.
func TestACL(t *testing.T) {
	server := redistest.Start(t, "--unixsocket", filepath.Join(t.TempDir(), "socket"))
	manual, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	rules := regexp.MustCompile("`(~cgisession:\\* )?(\\+@[^`]*)`").FindSubmatch(bytes.ReplaceAll(manual, []byte("\n"), []byte(" ")))
	if rules == nil {
		t.Fatal("no ACL in the manual")
	}
	server.Do(t, append([]string{"acl", "setuser", "site", "on", ">swordfish", "~cgisession:*"}, strings.Fields(string(rules[2]))...)...)
	socket := server.Do(t, "config", "get", "unixsocket")
	_, socket, _ = strings.Cut(socket, "\n")
	for _, url := range []string{"redis://site:swordfish@" + server.Addr(), "unix://site:swordfish@" + socket} {
		s := siteOf(url)
		s.must(t, "set", "a=1")
		s.must(t, "lock", program, "incr", "n")
		s.must(t, "regenerate", "--user", "ann")
		for _, args := range [][]string{{"list", "--user", "ann"}, {"stats"}, {"cleanup", "--timeout", "1h"}, {"doctor", "--repair"}, {"destroy", "--user", "ann"}} {
			s.must(t, args...)
		}
	}
}
