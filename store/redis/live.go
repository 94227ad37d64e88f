//go:build redis

package redis

import (
	"cmp"

	"cgisession/store"
)

const (
	// liveAtOnce is how many handles are looked at in one round trip.
	liveAtOnce = 1024

	// liveTime is how much of a call's time Live leaves for what comes after it.
	liveTime = callTime / 2
)

// Live implements [store.Store]. Each round follows all tombstones by one step. Data
// is not read, so a session with damaged data is listed all the same. It looks at all
// handles, however many sessions are enough: a round trip costs more than a handle.
//
// If so many handles took half the time of a call, the error is [store.ErrTooMany].
func (s *Store) Live(handles []string, _ int) ([]string, error) {
	s.budget.begin()
	l := live{s: s, at: make([]string, len(handles))}
	next := make([]step, len(handles))
	for i, handle := range handles {
		next[i] = step{i, handle}
	}
	for hops := 0; len(next) > 0 && hops <= store.MaxHops; hops++ {
		now := next
		next = nil
		for len(now) > 0 {
			n := min(len(now), liveAtOnce)
			moved, err := l.round(now[:n])
			if err != nil {
				return nil, err
			}
			next, now = append(next, moved...), now[n:]
			if left, _ := s.budget.left(); left < liveTime && len(next)+len(now) > 0 {
				return nil, store.ErrTooMany
			}
		}
	}
	return l.at, l.failed
}

// live is the result of Live, as far as it is known.
type live struct {
	s      *Store
	at     []string // for each handle the one of its session now; empty: none
	failed error    // of the first session that is corrupt
}

// A step is the index of a handle in the list, and where to look for its session.
type step struct {
	i      int
	handle string
}

// round asks for sessions in one round trip, and returns where tombstones lead.
func (l *live) round(steps []step) (moved []step, err error) {
	keys := make([]string, len(steps))
	for i, at := range steps {
		keys[i] = l.s.key(at.handle)
	}
	asked, now, err := l.s.ask(keys)
	if err != nil {
		return nil, err
	}
	for i, at := range steps {
		found, state, _ := l.s.stateOf(at.handle, asked[i], now)
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

// End implements [store.Store]. The user is asked for first, to take the handle out of
// the index afterwards; if the session gets another user in between, one handle too many
// stays there until a sweep.
func (s *Store) End(handle string) error {
	s.budget.begin()
	user, err := s.field(handle, "user")
	if err != nil {
		return err
	}
	r, err := s.run(endScript, handle, true)
	if err != nil {
		return err
	}
	if r.status() != statusLive {
		return s.endLeft(handle)
	}
	s.dropUser(user, handle)
	return nil
}

// endLeft ends what moves left at the handle, unless that leads to a session. It
// returns ErrNotFound if that was no session.
func (s *Store) endLeft(handle string) error {
	now, err := s.Live([]string{handle}, 1)
	switch {
	case err != nil:
		return err
	case now[0] != "":
		return store.ErrNotFound
	}
	ended, err := s.endMoved(handle)
	if err == nil && !ended {
		err = store.ErrNotFound
	}
	return err
}
