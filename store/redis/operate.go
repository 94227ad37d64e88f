//go:build redis

package redis

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"cgisession/store"
)

// What an operator sees of the sessions as a whole. Nothing here takes a lock or
// marks an access. Keys are gone through by SCAN, which may name one twice while
// the server makes its table larger or smaller.

const (
	// scanAtOnce is how many keys the server looks at for one answer.
	scanAtOnce = 1000

	// readAtOnce is how many sessions are asked for at once, without their data.
	readAtOnce = 32
)

// A place is how far a walk through the keys has come: to which server, and
// there to which of its cursors. A cursor is good for as long as the server runs.
type place struct {
	node   string
	cursor uint64
}

// eachKey calls visit with the keys that a pattern fits, some at a time, on each
// server of a cluster.
func (s *Store) eachKey(pattern string, visit func(keys []string) error) error {
	return s.eachKeyFrom(place{}, pattern, func(keys []string, _ place) error { return visit(keys) })
}

// eachKeyFrom is eachKey from a place on. With the keys goes where they begin.
func (s *Store) eachKeyFrom(from place, pattern string, visit func(keys []string, at place) error) error {
	nodes, err := s.nodes()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		if name < from.node {
			continue
		}
		at := place{node: name}
		if name == from.node {
			at = from
		}
		if err := s.eachKeyOf(nodes[name], at, pattern, visit); err != nil {
			return err
		}
	}
	return nil
}

// nodes returns the servers that have sessions, by their addresses. One that is
// no cluster's has no name: which it is may change.
func (s *Store) nodes() (map[string]redis.Cmdable, error) {
	cluster, ok := s.client.(*redis.ClusterClient)
	if !ok {
		return map[string]redis.Cmdable{"": s.client}, nil
	}
	var mu sync.Mutex
	nodes := make(map[string]redis.Cmdable)
	s.time.waited()
	err := s.attempt(func(ctx context.Context, _ int) error {
		return cluster.ForEachMaster(ctx, func(_ context.Context, c *redis.Client) error {
			mu.Lock()
			defer mu.Unlock()
			nodes[c.Options().Addr] = c
			return nil
		})
	})
	return nodes, err
}

func (s *Store) eachKeyOf(node redis.Cmdable, at place, pattern string, visit func(keys []string, at place) error) error {
	var seen circle
	for {
		s.time.waited()
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
		if seen.closes(next) {
			return s.failed(errNoRedis)
		}
		at.cursor = next
	}
}

// A circle finds out that cursors go round in one, and so without end, which they
// do at no server that works (Brent's algorithm).
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

// handleOf returns the handle that a key names.
func (s *Store) handleOf(key string) (string, bool) {
	handle := strings.TrimSuffix(strings.TrimPrefix(key, s.prefix+"{"), "}")
	return handle, isHex(handle, store.HandleSize) && key == s.key(handle)
}

// Each implements [store.Operator]. It leaves out the data, unless whole is set.
func (s *Store) Each(visit store.Visit) error {
	return s.eachKey(s.prefix+"{*}", func(keys []string) error {
		return s.look(keys, s.whole, visit)
	})
}

// Look implements [store.Operator].
func (s *Store) Look(handle string, visit store.Visit) error {
	none := true
	err := s.look([]string{s.key(handle)}, true, func(found *store.Session, state store.State, wrong error) error {
		none = false
		return visit(found, state, wrong)
	})
	if err == nil && none {
		err = store.ErrNotFound
	}
	return err
}

// Find implements [store.Operator].
func (s *Store) Find(prefix string) (string, error) {
	if len(prefix) == store.HandleSize {
		return prefix, s.exists(prefix)
	}
	found := ""
	err := s.eachKey(s.prefix+"{"+prefix+"*}", func(keys []string) error {
		for _, key := range keys {
			handle, ok := s.handleOf(key)
			switch {
			case !ok || handle == found:
			case found != "":
				return store.ErrAmbiguous
			default:
				found = handle
			}
		}
		return nil
	})
	if err == nil && found == "" {
		err = store.ErrNotFound
	}
	return found, err
}

// exists returns ErrNotFound where nothing is at the handle.
func (s *Store) exists(handle string) error {
	s.time.begin()
	var n int64
	err := s.attempt(func(ctx context.Context, _ int) (err error) {
		n, err = s.client.Exists(ctx, s.key(handle)).Result()
		return err
	})
	if err == nil && n == 0 {
		err = store.ErrNotFound
	}
	return err
}

// look reads the sessions at the keys, and calls visit with each. Data is in
// memory for one at a time.
func (s *Store) look(keys []string, data bool, visit store.Visit) error {
	return s.lookAtAll(keys, data, func(found *store.Session, state store.State, wrong error) error {
		if state == unlisted {
			return nil
		}
		return visit(found, state, wrong)
	})
}

// lookAtAll is look, and also visits what is unlisted.
func (s *Store) lookAtAll(keys []string, data bool, visit store.Visit) error {
	s.time.waited()
	asked, now, err := s.ask(keys)
	if err != nil {
		return err
	}
	for i, a := range asked {
		handle, ok := s.handleOf(keys[i])
		if !ok {
			continue
		}
		found, state, wrong := s.judge(handle, a, now)
		if found == nil {
			continue
		}
		if data && (state == store.Live || state == store.Idle || state == store.Old) {
			if state, wrong, err = s.lookInto(found, state); err != nil {
				return err
			}
		}
		if err := visit(found, state, wrong); err != nil {
			return err
		}
	}
	return nil
}

// firstLost returns the first error that no server gave for a key of its own.
func firstLost(clock *redis.TimeCmd, asked []seen) error {
	if err := clock.Err(); err != nil {
		return err
	}
	for _, a := range asked {
		size := a.size.Err()
		if size != nil && strings.HasPrefix(size.Error(), "WRONGTYPE") {
			size = nil
		}
		if err := cmp.Or(answered(a.fields, len(seenFields)), size); err != nil {
			return err
		}
	}
	return nil
}

var errForeign = errors.New("it holds no session, but what another program wrote")

// unlisted is the state of what is no operator's business: a tombstone without a
// grace, a copy that came to nothing, the lock on a session that has ended.
const unlisted store.State = ""

// judge says what was seen at a key; nil for nothing.
func (s *Store) judge(handle string, a seen, now time.Time) (*store.Session, store.State, error) {
	found := &store.Session{Handle: handle, Path: s.key(handle)}
	if a.fields.Err() != nil {
		return found, store.Corrupt, errForeign
	}
	f := a.text()
	if f[movedField] != "" {
		return found, tombstone(f[untilField], now), nil
	}
	if strings.Join(f[:lockField], "") == "" && a.size.Val() == 0 {
		return s.judgeLock(found, f)
	}
	var bad [3]error
	var accessed int64
	found.Version, bad[0] = strconv.ParseUint(f[0], 10, 64)
	found.Created, bad[1] = strconv.ParseInt(f[1], 10, 64)
	accessed, bad[2] = strconv.ParseInt(f[2], 10, 64)
	found.Accessed, found.User, found.Size = time.UnixMilli(accessed), f[userField], a.size.Val()
	switch {
	case errors.Join(bad[:]...) != nil || found.Size == 0:
		return found, store.Corrupt, errForeign
	case a.copy && (a.replaced || now.Sub(found.Accessed) > movingTime):
		return found, unlisted, nil
	case a.copy:
		return found, store.Moving, nil
	case s.opts.Timeout > 0 && now.Sub(found.Accessed) > s.opts.Timeout:
		return found, store.Idle, nil
	case s.opts.Lifetime > 0 && now.Unix()-found.Created > int64(s.opts.Lifetime/time.Second):
		return found, store.Old, nil
	case found.Size > int64(s.opts.MaxRead()):
		return found, store.Oversize, s.tooLarge(found)
	}
	return found, store.Live, nil
}

// tombstone returns the state of a tombstone that leads on until then, in ms; 0: it
// had no grace.
func tombstone(text string, now time.Time) store.State {
	switch until, _ := strconv.ParseInt(text, 10, 64); {
	case until == 0:
		return unlisted
	case until <= now.UnixMilli():
		return store.Over
	}
	return store.Moved
}

// judgeLock says what it is that has no more than a lock. That was last used when the
// lock was renewed.
func (s *Store) judgeLock(found *store.Session, f []string) (*store.Session, store.State, error) {
	switch {
	case f[lockField] == "": // gone meanwhile
		return nil, "", nil
	case f[endedField] != "":
		return found, unlisted, nil
	}
	if leased, err := strconv.ParseInt(f[leasedField], 10, 64); err == nil {
		found.Accessed = time.UnixMilli(leased).Add(-leaseTime)
	}
	return found, store.Unused, nil
}

// lookInto reads the data too, and judges the session by it.
func (s *Store) lookInto(found *store.Session, state store.State) (store.State, error, error) {
	s.time.waited()
	text, err := s.field(found.Handle, "data")
	if err != nil {
		return state, nil, err
	}
	if found.Data, err = store.ParseData([]byte(text)); err != nil {
		return store.Corrupt, errForeign, nil
	}
	return state, nil, nil
}

// Count implements [store.Operator].
func (s *Store) Count() (*store.Count, error) {
	c, now := store.NewCount(store.Live, store.Idle, store.Old, store.Moving, store.Moved, store.Over, store.Unused, store.Corrupt, store.Oversize), time.Now()
	err := s.eachKey(s.prefix+"{*}", func(keys []string) error {
		return s.look(keys, false, func(found *store.Session, state store.State, _ error) error {
			c.Add(found, state, now)
			return nil
		})
	})
	return c, err
}
