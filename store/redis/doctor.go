//go:build redis

package redis

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"cgisession/store"
)

// Examine implements [store.Operator]. First come the findings about the servers. Only if
// it is deep or a repair does it read the sessions, each with its data.
func (s *Store) Examine(how store.Examination) []store.Finding {
	findings := s.examineServers()
	s.encryption(&findings)
	if how.Deep || how.Repair {
		store.CheckSessions(&findings, store.Sessions{
			Each:  func(visit store.Visit) error { return s.each(true, visit) },
			Look:  s.Look,
			Index: func(found *store.Session) error { return s.addUser(found.User, found.Handle) },
		}, how.Repair)
	}
	return findings
}

// atOnce is how many servers of a cluster are examined at once: one that does not
// answer takes callTime.
const atOnce = 32

// examineServers examines how the servers are set up: in a cluster, each of them.
func (s *Store) examineServers() store.Findings {
	e := examination{s: s}
	if s.cluster == nil {
		e.server("server", s.where, s.client)
		return e.Findings
	}
	members, err := e.members()
	if err != nil {
		e.Say(store.Problem, "server", "%v", err)
		return e.Findings
	}
	all := make([]examination, len(members))
	var group sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i, addr := range members {
		slots <- struct{}{}
		group.Go(func() {
			node := s.cluster.node(addr)
			all[i].s = s
			all[i].server("server "+addr, addr, node)
			node.Close()
			<-slots
		})
	}
	group.Wait()
	for _, one := range all {
		e.Findings = append(e.Findings, one.Findings...)
	}
	return e.Findings
}

// examination collects the findings about one server, or about all.
type examination struct {
	s *Store // with the client of all
	store.Findings
}

// ask asks a server something that its ACL may forbid to this user, which is no fault
// of the server's. Then it returns false, and has added what cannot be examined. s has
// the time for it; shows is what the command's answer is about.
func (e *examination) ask(s *Store, about, command, shows string,
	send func(context.Context) error) (allowed bool, err error) {
	allowed = true
	err = s.attempt(func(ctx context.Context, _ int) error {
		err := send(ctx)
		if err != nil && strings.HasPrefix(err.Error(), "NOPERM") {
			allowed, err = false, nil
		}
		return err
	})
	if err == nil && !allowed {
		e.Say(store.Warning, about, "this user may not ask %s, so nothing is known of %s; "+
			"allow it by +%s, or look there as another user",
			strings.ToUpper(command), shows, strings.ReplaceAll(command, " ", "|"))
	}
	return allowed, err
}

// server examines one server. about begins its findings, where is its address.
func (e *examination) server(about, where string, node redis.Cmdable) {
	s := e.s
	if s.cluster != nil {
		s = s.apart() // a server that does not answer takes no time from the others
		s.where = where
	}
	facts, skew, err := e.facts(s, about, node)
	if err == nil && e.s.cluster != nil {
		err = e.clusterState(s, about, node)
	}
	if err != nil {
		e.Say(store.Problem, about, "%v", err)
		return
	}
	switch {
	case facts == "":
		e.Say(store.Fine, about, "redis %s answers", where)
	default:
		e.Say(store.Fine, about, "redis %s answers, version %s", where, facts.fact("redis_version"))
		e.role(about, facts)
		e.setUp(about, facts)
	}
	if skew.Abs() > store.MaxSkew {
		e.Say(store.Warning, part("clock", about),
			"the server's is %s off this machine's; timeouts go by the server's", skew.Round(time.Second))
	}
}

// facts returns what a server says of itself, empty if that is not allowed, and how
// far its clock is ahead of this machine's; negative: behind. The server read its clock
// between the request and the answer; only a time outside of that is ahead or behind.
func (e *examination) facts(s *Store, about string,
	node redis.Cmdable) (facts said, skew time.Duration, err error) {
	_, err = e.ask(s, about, "info", "its memory, persistence, replicas and role", func(ctx context.Context) error {
		text, err := node.Info(ctx).Result()
		facts = said(text)
		return err
	})
	if err != nil {
		return "", 0, err
	}
	err = s.attempt(func(ctx context.Context, _ int) error {
		asked := time.Now()
		now, err := node.Time(ctx).Result()
		skew = min(now.Sub(asked), 0) + max(time.Until(now), 0)
		return err
	})
	return facts, skew, err
}

// clusterState examines whether a server finds the cluster whole.
func (e *examination) clusterState(s *Store, about string, node redis.Cmdable) error {
	var text string
	ask := func(ctx context.Context) (err error) {
		text, err = node.ClusterInfo(ctx).Result()
		return err
	}
	allowed, err := e.ask(s, about, "cluster info", "the state of the cluster", ask)
	if facts := said(text); err == nil && allowed && facts.fact("cluster_state") != "ok" {
		e.Say(store.Problem, about,
			"cluster_state is %s: it has %s of 16384 slots in order; see redis-cli --cluster check %s",
			facts.fact("cluster_state"), facts.fact("cluster_slots_ok"), s.where)
	}
	return err
}

// role examines whether a server takes changes, or follows one that does.
func (e *examination) role(about string, facts said) {
	switch {
	case e.s.cluster != nil && facts.fact("role") == "slave" && facts.fact("master_link_status") != "up":
		e.Say(store.Problem, about, "it is a replica that has lost its master")
	case e.s.cluster == nil && facts.fact("role") != "master":
		e.Say(store.Problem, about,
			"it is a %s, which takes no changes; name the master, or use redis+sentinel://", facts.fact("role"))
	}
}

// part returns what a finding about one part of a server is about: for "server HOST:PORT"
// the part's name with the same address.
func part(name, about string) string { return name + strings.TrimPrefix(about, "server") }

// setUp examines how a server is configured: whether it may drop sessions in use, or go
// back to an earlier state after a restart, and whether Durable can work.
func (e *examination) setUp(about string, facts said) {
	if policy := facts.fact("maxmemory_policy"); strings.HasPrefix(policy, "allkeys") {
		e.Say(store.Warning, part("memory", about), "maxmemory-policy %s drops sessions in use, "+
			"and parts of the index of users; noeviction refuses new ones instead", policy)
	}
	if facts.fact("aof_enabled") == "0" {
		e.Say(store.Warning, part("persistence", about),
			"appendonly is off: a restart of the server goes back to its last snapshot, and log-outs with it")
	}
	if e.s.opts.Durable && facts.fact("role") == "master" && facts.fact("connected_slaves") == "0" {
		e.Say(store.Problem, part("durable", about),
			"--durable wants a replica to confirm each change, and there is none")
	}
}

// members returns the addresses of a cluster's servers, with those that the cluster
// has lost. If this user may not ask for them, it returns the masters.
func (e *examination) members() ([]string, error) {
	var text string
	ask := func(ctx context.Context) (err error) {
		text, err = e.s.client.ClusterNodes(ctx).Result()
		return err
	}
	allowed, err := e.ask(e.s, "server", "cluster nodes", "replicas and lost servers", ask)
	if err != nil {
		return nil, err
	}
	if !allowed {
		nodes, err := e.s.nodes()
		return slices.Sorted(maps.Keys(nodes)), err
	}
	var members []string
	for line := range strings.Lines(text) {
		words := strings.Fields(line) // ID ADDRESS@PORT,NAME FLAGS …
		if len(words) < 3 || strings.Contains(words[2], "noaddr") {
			continue
		}
		addr, _, _ := strings.Cut(words[1], "@")
		if !isAddress(addr) {
			return nil, e.s.failed(errNoRedis)
		}
		if members = append(members, addr); len(members) > maxServers {
			return nil, e.s.failed(errManyServers)
		}
	}
	slices.Sort(members)
	return members, nil
}

// said is what a server says of itself: lines of name:value, as INFO returns.
type said string

// maxFact is how many bytes of a value are kept, since findings repeat it.
const maxFact = 64

// fact returns the value of a name, empty if there is none.
func (text said) fact(name string) string {
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			value = strings.TrimRight(value, "\r\n")
			return value[:min(len(value), maxFact)]
		}
	}
	return ""
}
