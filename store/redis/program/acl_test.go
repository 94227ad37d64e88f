//go:build redis && linux

package program

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
	"cgisession/store"
	"cgisession/store/redis/redistest"
)

// page is the page of the manual about Redis.
func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../cmd/manual/cgisession-redis.7.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// rules returns the lines that the manual has for redis-cli: for each server, for
// those of a cluster, for Sentinels.
func rules(t *testing.T) (server, cluster, sentinel string) {
	t.Helper()
	var all []string
	for _, part := range strings.Split(page(t), "```redis\n")[1:] {
		line, _, _ := strings.Cut(part, "\n```")
		all = append(all, line)
	}
	if len(all) != 3 {
		t.Fatalf("the manual has %d rules; want 3", len(all))
	}
	return all[0], all[1], all[2]
}

// allow gives a server rules of the manual.
func allow(t *testing.T, s *redistest.Server, rules ...string) {
	t.Helper()
	enter(t, s, strings.Join(rules, "\n"))
	s.Do(t, "acl", "log", "reset")
	s.Do(t, "config", "resetstat")
}

// enter gives a server, or a Sentinel, lines of the manual, word for word.
func enter(t *testing.T, s *redistest.Server, lines string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		if said := s.Do(t, strings.Fields(line)...); said != "OK" {
			t.Fatalf("%s: %s", line, said)
		}
	}
}

// user is what a URL has for the user of the manual's rules.
const user = "cgisession:PASSWORD@"

// verbs are calls of all verbs that ask a server something, HANDLE being that of a
// session, and FOREIGN of what another program wrote. The session is the site's
// where they do not say otherwise.
var verbs = `
load
get
set a=1 n:=1
get a
get --no-lock
incr n
append list 1
pop list
unset a
info
csrf
cookie
load --no-lock
load --timeout 1h --lifetime 2h
load
edit /bin/cat
lock PROGRAM set b=1
run PROGRAM get
run --lock PROGRAM incr n
run /bin/sh -c echo+{}+|PROGRAM+save
delete
set n:=1
regenerate --user ann --new-id session-of-ann-0001
regenerate --user ann --new-id session-of-ann-0002
load
invalidate --new-id session-after-her-0001
load
invalidate --expire
load
regenerate --grace 1h --new-id session-in-its-grace
get
load --adopt-id session-to-be-destroyed
list
list --user ann
stats
show HANDLE
cleanup --timeout 1h --dry-run
cleanup --timeout 1h
destroy FOREIGN
doctor
doctor --repair
destroy HANDLE
destroy --user ann
load --adopt-id session-that-is-young
`

// everyVerb calls all verbs. Beside the sessions a server has a key that is none, and
// a handle in the index of users that leads nowhere. The flags are of redis-cli.
func everyVerb(t *testing.T, s cmdtest.Request, server *redistest.Server, flags ...string) {
	t.Helper()
	foreign := strings.Repeat("f", store.HandleSize)
	server.Do(t, append(flags, "set", "cgisession:{"+foreign+"}", "x")...)
	server.Do(t, append(flags, "sadd", "cgisession:users:{0}", strings.Repeat("0", store.HandleSize))...)
	for line := range strings.Lines(strings.TrimSpace(verbs)) {
		words := strings.Fields(line)
		for i, word := range words {
			if word == "HANDLE" {
				words[i], _, _ = strings.Cut(s.Must(t, "list"), " ")
			}
			words[i] = strings.NewReplacer("PROGRAM", cmdtest.Program, "FOREIGN", foreign, "+", " ").Replace(words[i])
		}
		s.Must(t, words...)
	}
}

// TestVerbs sees to it that the verbs above are all, but for those that need no
// server or a file.
func TestVerbs(t *testing.T) {
	called := strings.Fields(strings.ReplaceAll(verbs, "+", " "))
	others := []string{"unlock", "lock-path", "config", "secret", "completion", "help", "version"}
	for verb := range cmdtest.Help(t, visitorOn("")) {
		if !slices.Contains(called, verb) && !slices.Contains(others, verb) {
			t.Errorf("%s is not among the verbs", verb)
		}
	}
}

// mustAllow checks that nothing was refused, and that no command is allowed that
// was not called, but for those that go with the others.
func mustAllow(t *testing.T, servers []*redistest.Server, rule string) {
	t.Helper()
	calls := make(map[string]int)
	for _, s := range servers {
		if said := s.Do(t, "acl", "log"); said != "" {
			t.Errorf("refused: %s", said)
		}
		for name, n := range s.Calls(t) {
			calls[name] += n
		}
	}
	for _, word := range strings.Fields(rule) {
		name, ok := strings.CutPrefix(word, "+")
		if ok && calls[name] == 0 && !slices.Contains([]string{"auth", "ping", "hello"}, name) {
			t.Errorf("%s is allowed, and not called", name)
		}
	}
}

// TestACL has a user who may do no more than the manual says, on a socket too, and
// where a replica has to confirm changes.
func TestACL(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "socket")
	server := redistest.Start(t, "--unixsocket", socket, "--enable-debug-command", "local")
	redistest.Replica(t, server)
	rule, _, _ := rules(t)
	server.Do(t, "set", "foreign", "x")
	allow(t, server, rule)
	everyVerb(t, visitorOn("redis://"+user+server.Addr()+"/1", "CGISESSION_DURABLE=1"), server, "-n", "1")
	mustAllow(t, []*redistest.Server{server}, rule)
	everyVerb(t, visitorOn("unix://"+user+socket), server)
	mustRefuse(t, server, rule)
	server.Do(t, "acl", "setuser", "cgisession", "-info")
	mustFind(t, visitorOn("redis://"+user+server.Addr()), "ok       server: redis "+server.Addr()+" answers\n",
		"warning  server: this user may not ask INFO, so nothing is known of its memory, persistence, replicas and role; allow it by +info")
}

// mustFind checks that doctor finds no problem, and says this.
func mustFind(t *testing.T, s cmdtest.Request, findings ...string) {
	t.Helper()
	text := s.Must(t, "doctor")
	for _, finding := range findings {
		if !strings.Contains(text, finding) {
			t.Errorf("doctor: %s; want %s", text, finding)
		}
	}
}

// TestACLCluster is TestACL in a cluster, one of whose slots is on its way.
func TestACLCluster(t *testing.T) {
	nodes := redistest.ClusterWithReplicas(t)
	rule, more, _ := rules(t)
	all := nodes
	for _, s := range nodes {
		replica := *s
		cmdtest.Until(t, "replica of "+s.Addr(), func() bool {
			_, at, _ := strings.Cut(s.Do(t, "role"), "127.0.0.1\n")
			at, _, _ = strings.Cut(at, "\n")
			replica.Port, _ = strconv.Atoi(at)
			return replica.Port > 0
		})
		all = append(all, &replica)
	}
	for _, s := range all {
		allow(t, s, rule, more)
	}
	s := visitorOn("redis+cluster://"+user+nodes[0].Addr(), "CGISESSION_DURABLE=1")
	everyVerb(t, s, nodes[0], "-c")
	const half = "session-that-is-half-moved"
	s.With("CGISESSION_ADOPT_ID="+half).Must(t, "load")
	moveHalf(t, nodes, "cgisession:{"+store.Handle("cgisession_id", half)+"}")
	s.With("CGISESSION_ADOPT_ID="+half).Must(t, "set", "a=1")
	mustAllow(t, all, strings.ReplaceAll(rule, "+select", "")+" "+more)
	for _, s := range all {
		s.Do(t, "acl", "setuser", "cgisession", "-cluster|nodes", "-cluster|info", "-info")
	}
	mustFind(t, s, "warning  server: this user may not ask CLUSTER NODES, so nothing is known of replicas and lost servers; allow it by +cluster|nodes",
		"warning  server "+nodes[2].Addr()+": this user may not ask CLUSTER INFO", "warning  server "+nodes[2].Addr()+": this user may not ask INFO",
		"ok       server "+nodes[2].Addr()+": redis "+nodes[2].Addr()+" answers\n")
}

// moveHalf moves a key, but not yet its slot, to another server.
func moveHalf(t *testing.T, nodes []*redistest.Server, key string) {
	t.Helper()
	slot := nodes[0].Do(t, "cluster", "keyslot", key)
	n, _ := strconv.Atoi(slot)
	from, to := nodes[min(n/5461, 2)], nodes[(min(n/5461, 2)+1)%3]
	to.Do(t, "cluster", "setslot", slot, "importing", from.Do(t, "cluster", "myid"))
	from.Do(t, "cluster", "setslot", slot, "migrating", to.Do(t, "cluster", "myid"))
	from.Do(t, "migrate", "127.0.0.1", strconv.Itoa(to.Port), key, "0", "5000")
}

// TestACLSentinel is TestACL where Sentinel has such a user too.
func TestACLSentinel(t *testing.T) {
	server := redistest.Start(t)
	redistest.Replica(t, server)
	sentinel := redistest.StartSentinel(t, fmt.Sprintf("sentinel monitor sessions 127.0.0.1 %d 1", server.Port))
	rule, _, atSentinel := rules(t)
	allow(t, server, rule)
	enter(t, sentinel, atSentinel)
	url := "redis+sentinel://" + user + sentinel.Addr() + "?username=cgisession&password=PASSWORD&master_name="
	everyVerb(t, visitorOn(url+"sessions", "CGISESSION_DURABLE=1"), server)
	if got := visitorOn(url+"other").Call(t, "get"); got.Code != 69 || !strings.Contains(got.Stderr, "no master has this master_name") {
		t.Errorf("get by another name of a master: %+v", got)
	}
	for _, s := range []*redistest.Server{server, sentinel} {
		if said := s.Do(t, "acl", "log"); said != "" {
			t.Errorf("refused: %s", said)
		}
	}
}

// mustRefuse checks that the user may run no other command, and touch no other key.
func mustRefuse(t *testing.T, server *redistest.Server, rule string) {
	t.Helper()
	site := *server
	site.Flags = []string{"--user", "cgisession", "--pass", "PASSWORD", "--no-auth-warning"}
	for _, command := range []string{
		"flushall", "flushdb", "client kill id 1", "client pause 1", "client list", "config get *", "config set save x", "script flush", "script load x", "script kill",
		"function list", "function flush", "keys *", "swapdb 0 1", "debug sleep 0", "shutdown", "module list", "acl whoami", "acl setuser x", "monitor", "replicaof no one",
		"save", "publish c x", "subscribe c", "dbsize", "randomkey", "cluster nodes", "eval return+redis.call('flushall') 0", "eval return+redis.call('keys','*') 0",
		"eval return+redis.call('config','get','*') 0",
		"hget foreign f", "hset foreign f 1", "del foreign", "exists foreign", "pexpire foreign 1", "sadd foreign x", "eval return+redis.call('hget','foreign','f') 0",
		"eval return+redis.call('del','foreign') 0", "eval return+redis.call('del',KEYS[1]) 1 foreign",
	} {
		words := strings.Fields(command)
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], "+", " ")
		}
		said := site.Do(t, words...)
		if !slices.ContainsFunc([]string{"NOPERM", "can't run this command", "can't access at least one of the keys", "not allowed from script"}, func(no string) bool {
			return strings.Contains(said, no)
		}) {
			t.Errorf("%s: %s", command, said)
		}
	}
	if said := site.Do(t, "scan", "0", "count", "1000"); !strings.Contains(said, "foreign") {
		t.Errorf("SCAN shows no name of another's key, and the manual says so: %s", said)
	}
	if said := server.Do(t, "get", "foreign"); said != "x" {
		t.Errorf("another's key holds %q", said)
	}
	allowed := append(strings.Fields(strings.ReplaceAll(rule, "+", "")), "quit", "reset") // by all
	ask := talk(t, server.Addr())
	for _, name := range commands(t, server) {
		if may := mayRun(t, ask, name); may != slices.Contains(allowed, name) {
			t.Errorf("%s is allowed: %v", name, may)
		}
	}
}

// commands returns all commands that a server has; where a command has others under
// it, those.
func commands(t *testing.T, server *redistest.Server) []string {
	t.Helper()
	all, above := make(map[string]bool), make(map[string]bool)
	for _, category := range strings.Fields(server.Do(t, "acl", "cat")) {
		for _, name := range strings.Fields(server.Do(t, "acl", "cat", category)) {
			all[name] = true
			if command, _, ok := strings.Cut(name, "|"); ok {
				above[command] = true
			}
		}
	}
	maps.DeleteFunc(all, func(name string, _ bool) bool { return above[name] })
	if len(all) < 300 {
		t.Fatalf("only %d commands: %v", len(all), all)
	}
	return slices.Sorted(maps.Keys(all))
}

// mayRun reports whether the user may run a command, with whatever key. ACL DRYRUN
// wants as many arguments as the command takes.
func mayRun(t *testing.T, ask func(command string) string, name string) bool {
	t.Helper()
	command := "acl dryrun cgisession " + strings.ReplaceAll(name, "|", " ")
	for range 8 {
		said := ask(command)
		if !strings.Contains(said, "wrong number of arguments") {
			return !strings.Contains(said, "no permissions to run")
		}
		command += " 1"
	}
	t.Errorf("%s takes no number of arguments", name)
	return false
}
