package storetest

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"cgisession/store"
)

// seen is what operators see of a session, except its size and path.
type seen struct {
	State    store.State
	Version  uint64
	User     string
	Created  bool // whether there is a time
	Accessed bool
}

// seenOf returns what operators see at these handles. Each and Look must agree.
func seenOf(t *testing.T, s store.Backend, handles ...string) map[string]seen {
	t.Helper()
	all, looked := map[string]seen{}, map[string]seen{}
	if err := s.Each(func(s *store.Session, state store.State, _ error) error {
		if slices.Contains(handles, s.Handle) {
			all[s.Handle] = seen{state, s.Version, s.User, s.Created != 0, !s.Accessed.IsZero()}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, h := range handles {
		err := s.Look(h, func(s *store.Session, state store.State, _ error) error {
			looked[h] = seen{state, s.Version, s.User, s.Created != 0, !s.Accessed.IsZero()}
			return nil
		})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
	}
	if !maps.Equal(all, looked) {
		t.Errorf("Each has %+v, Look has %+v", all, looked)
	}
	return all
}

// listed tests the state that operators see of sessions of every kind.
func listed(t *testing.T, b suite) {
	small, maxRead := b.lowered(t)
	limited := b.Open(t, store.Options{MaxSize: maxSize / 2, Timeout: time.Hour, Lifetime: 2 * time.Hour})
	live, idle, old, over := b.begin(t, `{"a":1}`), b.begin(t, `{"a":1}`), b.begin(t, `{"a":1}`), b.begin(t, `{"a":1}`)
	b.Age(t, idle, 90*time.Minute, 90*time.Minute)
	b.Age(t, old, 0, 3*time.Hour)
	first, second, third, last := over, handle(), handle(), handle()
	for _, move := range []struct {
		from, to string
		grace    time.Duration
	}{{first, second, time.Second}, {second, third, 0}, {third, last, never}} {
		if _, err := b.Move(move.from, move.to, move.grace, only(store.Save)); err != nil {
			t.Fatal(err)
		}
	}
	large := b.huge(t, maxRead).stored(t, maxRead+1, 2)
	ended := b.begin(t, `{}`)
	if _, err := b.Update(ended, false, only(store.Remove)); err != nil {
		t.Fatal(err)
	}
	h := handle()
	_, release := hold(t, b.Open(t, store.Options{MaxSize: maxSize}), h, true)
	defer release()
	held := b.begin(t, `{}`)
	heldLock, releaseHeld := hold(t, b.Open(t, store.Options{MaxSize: maxSize}), held, false)
	if _, err := b.Open(t, handed(heldLock)).Update(held, false, only(store.Remove)); err != nil {
		t.Fatal(err)
	}
	defer releaseHeld()

	handles := []string{live, idle, old, first, second, third, last, large, ended, h, held, handle()}
	seenNow := func() map[string]seen {
		is := seenOf(t, limited, handles...)
		for handle, s := range is { // since Age may increase it
			if s.State == store.Idle || s.State == store.Old {
				s.Version = 1
				is[handle] = s
			}
		}
		return is
	}
	wanted := map[string]seen{
		live:  {State: store.Live, Version: 1, Created: true, Accessed: true},
		idle:  {State: store.Idle, Version: 1, Created: true, Accessed: true},
		old:   {State: store.Old, Version: 1, Created: true, Accessed: true},
		first: {State: store.Over},
		third: {State: store.Moved},
		last:  {State: store.Live, Version: 4, Created: true, Accessed: true},
		large: {State: store.Oversize, Version: 2, Created: true, Accessed: true},
		h:     {State: store.Unused, Accessed: true},
	}
	for end := time.Now().Add(patience); stateOf(t, limited, first) == store.Moved && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	if got := seenNow(); !maps.Equal(got, wanted) {
		t.Errorf("listed are %+v; want %+v", got, wanted)
	}
	if got := seenOf(t, small.Backend, idle, old); got[idle].State != store.Live || got[old].State != store.Live {
		t.Errorf("without limits: %+v", got)
	}
}

// stateOf returns the state of what is at the handle.
func stateOf(t *testing.T, s store.Backend, h string) (at store.State) {
	t.Helper()
	if err := s.Look(h, func(_ *store.Session, state store.State, _ error) error {
		at = state
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return at
}

// listedUsers tests that UserHandles leads to all sessions of a user.
func listedUsers(t *testing.T, b suite) {
	user := store.NewID()
	small, maxRead := b.lowered(t)
	of := func(s store.Backend, size int) string {
		h := handle()
		if _, err := s.Update(h, true, func(s *store.Session) (store.Outcome, error) {
			s.User = user
			return set(sized(size))(s)
		}); err != nil {
			t.Fatal(err)
		}
		return h
	}
	live, old, large := of(b, 100), of(b, 100), of(b.huge(t, maxRead), maxRead+1)
	to := handle()
	if _, err := b.Move(old, to, never, nil); err != nil {
		t.Fatal(err)
	}
	found := map[string]seen{}
	if err := small.UserHandles(user, func(h string) error {
		for handle, s := range seenOf(t, small.Backend, h) {
			if s.User == user {
				found[handle] = s
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	one := seen{State: store.Live, Version: 1, User: user, Created: true, Accessed: true}
	big := one
	big.State = store.Oversize
	if want := map[string]seen{live: one, to: one, large: big}; !maps.Equal(found, want) {
		t.Errorf("the user has %+v; want %+v", found, want)
	}
	if _, err := b.Update(old, false, only(store.Remove)); err != nil {
		t.Fatal(err)
	}
	if left := seenOf(t, small.Backend, old, to); len(left) > 0 {
		t.Errorf("after the end there is %+v", left)
	}
}
