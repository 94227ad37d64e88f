//go:build redis

package redis

import (
	"cmp"
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"cgisession/store"
)

const (
	// liveAtOnce is how many handles are looked at in one round trip.
	liveAtOnce = 1024

	// liveTime is how much of a call's time Live leaves for what comes after it.
	liveTime = callTime / 2
)

// Live implements [store.Store]. It goes on from all tombstones at once. Data is
// not read, so a session whose data are damaged is there all the same.
func (s *Store) Live(handles []string, _ int) ([]string, error) {
	s.time.begin()
	l := live{s: s, at: make([]string, len(handles))}
	next := make([]step, len(handles))
	for i, handle := range handles {
		next[i] = step{i, handle}
	}
	for hops := 0; len(next) > 0 && hops <= maxHops; hops++ {
		now := next
		next = nil
		for len(now) > 0 {
			n := min(len(now), liveAtOnce)
			moved, err := l.look(now[:n])
			if err != nil {
				return nil, err
			}
			next, now = append(next, moved...), now[n:]
			if left, _ := s.time.left(); left < liveTime && len(next)+len(now) > 0 {
				return nil, store.ErrTooMany
			}
		}
	}
	return l.at, l.failed
}

// live is what Live has found.
type live struct {
	s      *Store
	at     []string
	failed error
}

// A step is the place of a handle in the list, and where to look for its session.
type step struct {
	i      int
	handle string
}

// look asks for sessions in one round trip, and returns where tombstones lead on.
func (l *live) look(steps []step) (moved []step, err error) {
	keys := make([]string, len(steps))
	for i, at := range steps {
		keys[i] = l.s.key(at.handle)
	}
	asked, now, err := l.s.ask(keys)
	if err != nil {
		return nil, err
	}
	for i, at := range steps {
		found, state, _ := l.s.judge(at.handle, asked[i], now)
		switch {
		case found == nil:
		case state == store.Live, state == store.Oversize:
			l.at[at.i] = at.handle
		case state == store.Moved:
			moved = append(moved, step{at.i, asked[i].text()[movedField]})
		case state == store.Corrupt:
			if err := l.s.corrupt(at.handle, ""); err != store.ErrInvalidated {
				l.failed = cmp.Or(l.failed, err)
			}
		}
	}
	return moved, nil
}

// seen is what is asked of a key, in one go with others.
type seen struct {
	fields *redis.Cmd // seenFields
	size   *redis.IntCmd

	copy     bool // a move made it first, and has not made its second step
	replaced bool // and never will: the session it was made of is not there any more
}

var seenFields = []string{"version", "created", "accessed", "user", "moved", "until", "lock", "leased", "ended", "pending", "from"}

// Where seenFields has what they are called after.
const (
	userField = iota + 3
	movedField
	untilField
	lockField
	leasedField
	endedField
	pendingField
	fromField
)

func (a seen) text() []string { return texts(a.fields, len(seenFields)) }

// ask asks for what is at the keys in one round trip, and for the server's time. If
// there is what a move made first, which is seldom, another tells whether that is the
// session by now.
func (s *Store) ask(keys []string) (asked []seen, now time.Time, err error) {
	err = s.attempt(func(ctx context.Context, _ int) error {
		asked = nil
		var clock *redis.TimeCmd
		s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			clock = p.Time(ctx)
			for _, key := range keys {
				asked = append(asked, seen{fields: hmget(ctx, p, key, seenFields...), size: p.HStrLen(ctx, key, "data")})
			}
			return nil
		})
		now = clock.Val()
		return firstLost(clock, asked)
	})
	if err == nil {
		err = s.askSources(keys, asked)
	}
	return asked, now, err
}

// askSources looks where copies were made of.
func (s *Store) askSources(keys []string, asked []seen) error {
	var at []int
	var sources []string
	for i, a := range asked {
		if f := a.text(); f[pendingField] != "" && isHex(f[fromField], store.HandleSize) {
			at, sources = append(at, i), append(sources, f[fromField])
		}
	}
	if len(at) == 0 {
		return nil
	}
	found, err := s.hashes(sources, "version", "moved")
	for n, i := range at {
		version, moved := found[n][0], found[n][1]
		asked[i].copy = moved == "" || s.key(moved) != keys[i]
		asked[i].replaced = version == ""
	}
	return err
}

// End implements [store.Store].
func (s *Store) End(handle string) error {
	s.time.begin()
	user, err := s.field(handle, "user")
	if err != nil {
		return err
	}
	r, err := s.run(endScript, handle, true)
	if err != nil {
		return err
	}
	if r.state() != "live" {
		return store.ErrNotFound
	}
	s.dropUser(user, handle)
	return nil
}
