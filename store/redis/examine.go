//go:build redis

package redis

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Level is how bad a finding is.
type Level int

const (
	Fine Level = iota
	Warning
	Problem
)

// A Finding is something that Examine saw, in words for an operator.
type Finding struct {
	Level       Level
	About, Text string
}

// maxSkew is how far the server's clock may be from this machine's.
const maxSkew = 5 * time.Second

// Examine looks at how the servers are set up: in a cluster, at each of them.
func (s *Store) Examine() []Finding {
	e := examination{s: s}
	if s.node == nil {
		e.server("server", s.where, s.client)
		return e.findings
	}
	members, err := e.members()
	if err != nil {
		e.say(Problem, "server", "%v", err)
		return e.findings
	}
	for _, addr := range members {
		node := s.node(addr)
		e.server("server "+addr, addr, node)
		node.Close()
	}
	return e.findings
}

// examination collects what is found.
type examination struct {
	s        *Store
	findings []Finding
}

func (e *examination) say(l Level, about, format string, a ...any) {
	e.findings = append(e.findings, Finding{l, about, fmt.Sprintf(format, a...)})
}

// server looks at one server.
func (e *examination) server(about, where string, node redis.Cmdable) {
	var info, state string
	var skew time.Duration
	s := e.s.apart() // so that one which does not answer takes no time from others
	s.where = where
	err := s.attempt(func(ctx context.Context, _ int) (err error) {
		if info, err = node.Info(ctx).Result(); err != nil {
			return err
		}
		now, err := node.Time(ctx).Result()
		skew = time.Until(now)
		if err == nil && e.s.node != nil {
			state, err = node.ClusterInfo(ctx).Result()
		}
		return err
	})
	if err != nil {
		e.say(Problem, about, "%v", err)
		return
	}
	facts := parseInfo(info)
	e.say(Fine, about, "redis %s answers, version %s", where, facts["redis_version"])
	switch {
	case e.s.node != nil && parseInfo(state)["cluster_state"] != "ok":
		e.say(Problem, about, "cluster_state is %s: it has %s of 16384 slots in order; see redis-cli --cluster check %s",
			parseInfo(state)["cluster_state"], parseInfo(state)["cluster_slots_ok"], where)
	case e.s.node != nil && facts["role"] == "slave" && facts["master_link_status"] != "up":
		e.say(Problem, about, "it is a replica that has lost its master")
	case e.s.node == nil && facts["role"] != "master":
		e.say(Problem, about, "it is a %s, which takes no changes; name the master, or use redis+sentinel://", facts["role"])
	}
	e.setUp(about, facts, skew)
}

// setUp looks at how a server is configured.
func (e *examination) setUp(about string, facts map[string]string, skew time.Duration) {
	part := func(name string) string { return name + strings.TrimPrefix(about, "server") }
	if policy := facts["maxmemory_policy"]; strings.HasPrefix(policy, "allkeys") {
		e.say(Warning, part("memory"), "maxmemory-policy %s drops sessions in use, and parts of the index of users; noeviction refuses new ones instead", policy)
	}
	if facts["aof_enabled"] == "0" {
		e.say(Warning, part("persistence"), "appendonly is off: a restart of the server goes back to its last snapshot, and log-outs with it")
	}
	if e.s.opts.Durable && facts["role"] == "master" && facts["connected_slaves"] == "0" {
		e.say(Problem, part("durable"), "--durable wants a replica to confirm each change, and there is none")
	}
	if skew.Abs() > maxSkew {
		e.say(Warning, part("clock"), "the server's is %s off this machine's; timeouts go by the server's", skew.Round(time.Second))
	}
}

// members returns the addresses of a cluster's servers, those too that the
// cluster has lost.
func (e *examination) members() ([]string, error) {
	var text string
	err := e.s.attempt(func(ctx context.Context, _ int) (err error) {
		text, err = e.s.client.ClusterNodes(ctx).Result()
		return err
	})
	var members []string
	for line := range strings.Lines(text) {
		words := strings.Fields(line) // ID ADDRESS@PORT,NAME FLAGS …
		if len(words) > 2 && !strings.Contains(words[2], "noaddr") {
			addr, _, _ := strings.Cut(words[1], "@")
			members = append(members, addr)
		}
	}
	slices.Sort(members)
	return members, err
}

// parseInfo reads the answer of INFO, a line of name:value each.
func parseInfo(text string) map[string]string {
	facts := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			facts[name] = value
		}
	}
	return facts
}
