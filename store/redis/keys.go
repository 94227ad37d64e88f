//go:build redis

package redis

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"cgisession/store"
)

// Keys are listed by SCAN, which blocks the server for one step at a time only. A key
// that is there all the time is named at least once, and may be named twice while the
// server resizes its table (Redis command reference, SCAN).

const (
	// scanAtOnce is how many keys the server looks at for one answer.
	scanAtOnce = 1000

	// readAtOnce is how many sessions are asked for in one round trip.
	readAtOnce = 32
)

// A position is how far a walk through the keys has come: the server, and its cursor
// there. A cursor is valid for as long as the server runs; after that, some keys may be
// left out or named again. The zero value is the begin of all.
type position struct {
	node   string
	cursor uint64
}

// eachKey calls visit with the keys that match a pattern, some at a time, on each
// server of a cluster.
func (s *Store) eachKey(pattern string, visit func(keys []string) error) error {
	return s.eachKeyFrom(position{}, pattern, func(keys []string, _ position) error { return visit(keys) })
}

// eachKeyFrom is eachKey from a position on. The servers come in the order of their
// addresses, and those before the position's are left out. visit also gets the position
// where the keys begin.
func (s *Store) eachKeyFrom(from position, pattern string, visit func(keys []string, at position) error) error {
	nodes, err := s.nodes()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		if name < from.node {
			continue
		}
		at := position{node: name}
		if name == from.node {
			at = from
		}
		if err := s.eachKeyOf(nodes[name], at, pattern, visit); err != nil {
			return err
		}
	}
	return nil
}

// nodes returns the servers that have sessions, by their addresses. A server that
// is not in a cluster has the name "", since a fail-over changes its address.
func (s *Store) nodes() (map[string]redis.Cmdable, error) {
	if s.cluster == nil {
		return map[string]redis.Cmdable{"": s.client}, nil
	}
	var mu sync.Mutex
	nodes := make(map[string]redis.Cmdable)
	s.budget.waited()
	err := s.attempt(func(ctx context.Context, _ int) error {
		return s.cluster.ForEachMaster(ctx, func(_ context.Context, c *redis.Client) error {
			mu.Lock()
			defer mu.Unlock()
			nodes[c.Options().Addr] = c
			return nil
		})
	})
	return nodes, err
}

// eachKeyOf is eachKeyFrom on one server. visit gets up to readAtOnce keys at a time.
func (s *Store) eachKeyOf(node redis.Cmdable, at position, pattern string,
	visit func(keys []string, at position) error) error {
	var cursors circle
	for {
		s.budget.waited()
		var keys []string
		var next uint64
		err := s.attempt(func(ctx context.Context, _ int) (err error) {
			keys, next, err = node.Scan(ctx, at.cursor, pattern, scanAtOnce).Result()
			return err
		})
		for len(keys) > 0 && err == nil {
			n := min(len(keys), readAtOnce)
			err = visit(keys[:n], at)
			keys = keys[n:]
		}
		if err != nil || next == 0 {
			return err
		}
		if cursors.closes(next) {
			return s.failed(errNoRedis)
		}
		at.cursor = next
	}
}

// A circle detects cursors that repeat, which would make a walk endless. A server
// that works has none (Brent's algorithm).
type circle struct {
	mark         uint64
	steps, limit int
}

// closes reports whether the cursor was seen before.
func (c *circle) closes(cursor uint64) bool {
	if cursor == c.mark {
		return true
	}
	if c.steps++; c.steps > c.limit {
		c.mark, c.steps, c.limit = cursor, 0, 2*c.limit+1
	}
	return false
}

// handleOf returns the handle of a session's key, and reports whether the key is one:
// another program may have keys that match the pattern.
func (s *Store) handleOf(key string) (string, bool) {
	handle := strings.TrimSuffix(strings.TrimPrefix(key, s.prefix+"{"), "}")
	return handle, store.IsHandle(handle) && key == s.key(handle)
}
