//go:build redis

package redis

import (
	"context"
	"fmt"
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

// Examine looks at how the servers are set up.
func (s *Store) Examine() []Finding {
	var info string
	var skew time.Duration
	err := s.attempt(func(ctx context.Context, _ int) (err error) {
		if info, err = s.client.Info(ctx).Result(); err != nil {
			return err
		}
		now, err := s.client.Time(ctx).Result()
		skew = time.Until(now)
		return err
	})
	if err != nil {
		return []Finding{{Problem, "server", err.Error()}}
	}
	facts := parseInfo(info)
	findings := []Finding{{Fine, "server", fmt.Sprintf("redis %s answers, version %s", s.where, facts["redis_version"])}}
	say := func(l Level, about, format string, a ...any) {
		findings = append(findings, Finding{l, about, fmt.Sprintf(format, a...)})
	}
	if _, cluster := s.client.(*redis.ClusterClient); !cluster && facts["role"] != "master" {
		say(Problem, "server", "it is a %s, which takes no changes; name the master, or use redis+sentinel://", facts["role"])
	}
	if policy := facts["maxmemory_policy"]; strings.HasPrefix(policy, "allkeys") {
		say(Warning, "memory", "maxmemory-policy %s drops sessions in use, and parts of the index of users; noeviction refuses new ones instead", policy)
	}
	if facts["aof_enabled"] == "0" {
		say(Warning, "persistence", "appendonly is off: a restart of the server goes back to its last snapshot, and log-outs with it")
	}
	if s.opts.Durable && facts["connected_slaves"] == "0" {
		say(Problem, "durable", "--durable wants a replica to confirm each change, and there is none")
	}
	if skew.Abs() > maxSkew {
		say(Warning, "clock", "the server's is %s off this machine's; timeouts go by the server's", skew.Round(time.Second))
	}
	return findings
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
