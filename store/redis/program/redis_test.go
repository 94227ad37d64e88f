//go:build redis && linux

// Package redis_test runs the program as a web server would, many processes at
// once, against real servers that fail.
package redis_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
	"cgisession/cmd/scripttest"
	"cgisession/store/redis/redistest"
)

func TestMain(m *testing.M) {
	scripttest.Main(func() int {
		return cmdtest.Run(m.Run, cmdtest.Package("cgisession", "urfave_cli_no_docs redis"))
	}, nil)
}

// on returns a request whose sessions are on this server.
func on(url string, settings ...string) cmdtest.Request {
	return cmdtest.Request{Env: []string{"CGISESSION_TYPE=redis", "CGISESSION_REDIS_URL=" + url}}.With(settings...)
}

// visitorOn returns a request of a script that names the visitor's session.
func visitorOn(url string, settings ...string) cmdtest.Request {
	return on(url, "CGISESSION_ADOPT_ID="+cmdtest.Visitor).With(settings...)
}

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

// TestTotals counts with 8 processes at once, and sets keys with 20.
func TestTotals(t *testing.T) {
	totals(t, visitorOn(redistest.Start(t).URL()), cmdtest.Full(25, 500), cmdtest.Full(5, 100))
}

func totals(t *testing.T, s cmdtest.Request, each, sets int) {
	t.Helper()
	s.Must(t, "load")
	cmdtest.AtOnce(8, func(int) {
		for range each {
			s.Want(t, "incr", "n")
		}
	})
	if got, want := s.Must(t, "get", "n"), strconv.Itoa(8*each); got != want {
		t.Errorf("counted to %s; want %s", got, want)
	}
	cmdtest.AtOnce(20, func(i int) {
		for j := range sets {
			s.Want(t, "set", fmt.Sprintf("k%d.%d=x", i, j))
		}
	})
	if got, want := strings.Count(s.Must(t, "get"), `"k`), 20*sets; got != want {
		t.Errorf("%d keys; want %d", got, want)
	}
}

// TestRoundTrips counts what the program asks of the server, the greeting of a new
// connection aside.
func TestRoundTrips(t *testing.T) {
	server := redistest.Start(t)
	roundTrips(t, []*redistest.Server{server}, visitorOn(server.URL(), "CGISESSION_TIMEOUT=1h"), "hello")
}

// TestClusterRoundTrips counts them in a cluster, whose map is asked for first.
func TestClusterRoundTrips(t *testing.T) {
	nodes := redistest.Cluster(t, 3)
	roundTrips(t, nodes, visitorOn("redis+cluster://"+nodes[0].Addr(), "CGISESSION_TIMEOUT=1h"), "hello", "cluster")
}

func roundTrips(t *testing.T, nodes []*redistest.Server, s cmdtest.Request, aside ...string) {
	t.Helper()
	for _, args := range [][]string{{"set", "n:=1"}, {"load"}, {"get"}, {"incr", "n"}, {"invalidate", "--expire"}, {"set", "n:=1"}} {
		s.Must(t, args...)
		for _, server := range nodes { // so that the server knows the scripts
			if len(nodes) > 1 {
				s.Must(t, append(args, "--adopt-id", "session-of-port-"+strconv.Itoa(server.Port))...)
			}
		}
	}
	for _, tt := range []struct {
		most int
		args []string
	}{{1, []string{"get", "n"}}, {1, []string{"load"}}, {2, []string{"set", "n:=2"}}, {2, []string{"incr", "n"}}, {2, []string{"unset", "n"}}} {
		asked, before := 0, map[string]int{}
		for _, word := range redistest.Monitor(t, nodes, func() { s.Must(t, tt.args...) }) {
			if slices.Contains(aside, word) {
				before[word]++
			} else {
				asked++
			}
		}
		if asked == 0 || asked > tt.most {
			t.Errorf("%s: %d round trips; want %d at most", tt.args[0], asked, tt.most)
		}
		t.Logf("%s: %d, beside %v", tt.args[0], asked, before)
	}
}

// TestManyCookies sends as many cookies that lead nowhere as a variable of the
// environment can hold, and one that leads to a session: they are asked for all
// together, and none by a script.
func TestManyCookies(t *testing.T) {
	server := redistest.Start(t)
	visitorOn(server.URL()).Must(t, "set", "a=1")
	var header strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&header, "cgisession_id=nobody%012d; ", i)
	}
	s := on(server.URL(), "HTTP_COOKIE="+header.String()+"cgisession_id="+cmdtest.Visitor)
	asked := make(map[string]int)
	for _, word := range redistest.Monitor(t, []*redistest.Server{server}, func() {
		got := s.Measure(t, "get", "a")
		if got.Code != 0 || got.Stdout != "\"1\"\n" {
			t.Errorf("%+v", got)
		}
		t.Logf("it took %v", got.Took)
	}) {
		asked[word]++
	}
	if asked["hmget"] != 3001 || asked["evalsha"] != 1 {
		t.Errorf("the server was asked %v", asked)
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

// TestPassword has the password where it may be, and where it may not.
func TestPassword(t *testing.T) {
	server := redistest.Start(t, "--requirepass", "swordfish")
	visitorOn("redis://:swordfish@"+server.Addr()).Must(t, "set", "a=1")
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("swordfish\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := visitorOn(server.URL(), "CGISESSION_REDIS_PASSWORD_FILE="+file)
	if got := s.Must(t, "get", "a"); got != `"1"` {
		t.Errorf("get: %s", got)
	}
	got := s.Call(t, "get", "--redis-url", "redis://:swordfish@"+server.Addr())
	if got.Code != 64 || strings.Contains(got.Stderr, "swordfish") {
		t.Errorf("password on the command line: %+v", got)
	}
	url := "redis://:swordfish@" + server.Addr()
	got = s.With("CGISESSION_REDIS_URL="+url).Call(t, "get", "--redis-url", url)
	if got.Code != 64 || strings.Contains(got.Stderr, "swordfish") {
		t.Errorf("password on the command line and in the variable: %+v", got)
	}
	for _, bad := range []string{"redis://:mack/erel@h:1", "redis://:123/mackerel@h:1", "redis+cluster://:123/mackerel@h:1", "redis://:mack#erel@h:1", "redis://mack?erel@h:1", "http://:mackerel@h:1",
		"redis://:mackerel@h:1?addr=erel", "redis+sentinel://h:1?pasmack=mackerel", "unix://mackerel/s", "redis://:mackerel@h:1/x", "redis://:mack%zzerel@h:1"} {
		got := visitorOn(bad).Call(t, "get")
		if got.Code != 78 || strings.Contains(got.Stderr, "mack") || strings.Contains(got.Stderr, "erel") || strings.Contains(got.Stderr, "123") {
			t.Errorf("%s: %+v; want 78, and not a part of it", bad, got)
		}
	}
	os.Chmod(file, 0o644)
	if got := s.Call(t, "get"); got.Code != 78 || !strings.Contains(got.Stderr, "chmod 600") {
		t.Errorf("password file for all to read: %+v", got)
	}
}

// TestManualApache has Apache read what the manual has for it, and the program know
// each variable.
func TestManualApache(t *testing.T) {
	manual, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(manual), "## More than one machine")
	_, block, _ := strings.Cut(section, "```apache\n")
	block, _, ok := strings.Cut(block, "```")
	if !ok {
		t.Fatal("no block for Apache in the manual")
	}
	help := visitorOn("").Must(t, "get", "--help")
	for line := range strings.Lines(block) {
		if words := strings.Fields(line); len(words) != 3 || !strings.Contains(help, "$"+words[1]) {
			t.Errorf("%q sets no variable of the program's", line)
		}
	}
	apache, err := exec.LookPath("apache2")
	if err != nil {
		apache = "/usr/sbin/apache2"
	}
	const modules = "/usr/lib/apache2/modules/"
	if _, err := os.Stat(modules); err != nil {
		t.Skip("Apache is not installed")
	}
	file := filepath.Join(t.TempDir(), "conf")
	text := "ServerName localhost\nErrorLog /dev/null\nLoadModule mpm_event_module " + modules + "mod_mpm_event.so\nLoadModule authz_core_module " + modules +
		"mod_authz_core.so\nLoadModule env_module " + modules + "mod_env.so\n" + block
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command(apache, "-t", "-f", file).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, said)
	}
}

// TestDoctorCluster has doctor look at every server of a cluster.
func TestDoctorCluster(t *testing.T) {
	nodes := redistest.Cluster(t, 3)
	nodes[1].Do(t, "config", "set", "maxmemory-policy", "allkeys-lru")
	nodes[2].Do(t, "config", "set", "appendonly", "yes")
	s := visitorOn("redis+cluster://" + nodes[0].Addr())
	text := s.Must(t, "doctor")
	for i, server := range nodes {
		for finding, want := range map[string]bool{
			"ok       server ":      true,
			"warning  persistence ": i != 2,
			"warning  memory ":      i == 1,
		} {
			if strings.Contains(text, finding+server.Addr()+": ") != want {
				t.Errorf("of server %d: %s: want %v in\n%s", i, finding, want, text)
			}
		}
	}
	nodes[1].Kill()
	cmdtest.Until(t, "cluster that has lost a part", func() bool {
		return strings.Contains(nodes[0].Do(t, "cluster", "info"), "cluster_state:fail")
	})
	got := s.Call(t, "doctor")
	for _, says := range []string{
		"problem  server " + nodes[0].Addr() + ": cluster_state is fail",
		"problem  server " + nodes[1].Addr() + ": redis " + nodes[1].Addr() + ": store unavailable: connect: connection refused",
	} {
		if got.Code != 1 || !strings.Contains(got.Stdout, says) {
			t.Errorf("doctor: %+v; want 1 and %s", got, says)
		}
	}
}

// TestMemory has operators' verbs go through many large sessions: they keep none of
// the data in memory, and but one where they have to read it.
func TestMemory(t *testing.T) {
	server, s := withSession(t)
	s = s.With("GOMEMLIMIT=24MiB") // so that it is not garbage that is measured
	verbs := [][]string{{"list"}, {"stats"}, {"cleanup", "--timeout", "1h"}, {"doctor", "--deep"}}
	var before []int64
	for _, args := range verbs {
		before = append(before, memory(t, s, args...))
	}
	server.Do(t, "eval", `for i = 1, 100 do
		redis.call('HSET', 'cgisession:{' .. string.format('%064x', i) .. '}', 'version', 1, 'created', 1,
			'accessed', string.format('%.0f', redis.call('TIME')[1] * 1000), 'data', '{"a":"' .. string.rep('x', 1000000) .. '"}')
	end`, "0")
	for i, args := range verbs {
		if more := memory(t, s, args...) - before[i]; more > 20<<10 {
			t.Errorf("%s: 100 MB of data made it %d KiB larger", args[0], more)
		}
	}
	if got := strings.Count(s.Must(t, "list"), " live"); got != 101 {
		t.Errorf("%d sessions; want 101", got)
	}
	for _, args := range verbs {
		server.Do(t, "config", "resetstat")
		s.Must(t, args...)
		if read := server.Calls(t)["hget"] > 0; read != (args[0] == "doctor") {
			t.Errorf("%s: it reads data: %v", args[0], read)
		}
	}
}

// memory returns the most KiB that a call had in memory.
func memory(t *testing.T, r cmdtest.Request, args ...string) int64 {
	t.Helper()
	got := r.Measure(t, args...)
	if got.Code != 0 {
		t.Fatalf("%q: %+v", args, got)
	}
	return got.Memory
}
