package storetest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
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

// countsWhatIsListed tests that a deep count has what Each visits, in each state.
func countsWhatIsListed(t *testing.T, b store.Backend) {
	t.Helper()
	want := make(map[store.State]int64)
	err := b.Each(func(_ *store.Session, state store.State, _ error) error { want[state]++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	count, err := b.Count(true)
	if err != nil || !count.Deep {
		t.Fatalf("Count is %+v, %v", count, err)
	}
	maps.DeleteFunc(count.Files, func(_ store.State, n int64) bool { return n == 0 })
	if !maps.Equal(count.Files, want) || want[store.Old] == 0 || want[store.Oversize] == 0 {
		t.Errorf("counted are %v, listed %v", count.Files, want)
	}
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
	countsWhatIsListed(t, limited)
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
	if err := small.UserHandles(user, "", func(h string) error {
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

// swept tests that Sweep removes what is past Options.Timeout, and nothing else.
func swept(t *testing.T, b suite) {
	limited := b.Open(t, store.Options{MaxSize: maxSize, Timeout: time.Hour})
	live, idle, old, to := b.begin(t, `{"a":1}`), b.begin(t, `{"b":1}`), b.begin(t, `{"c":1}`), handle()
	if _, err := b.Move(old, to, never, nil); err != nil {
		t.Fatal(err)
	}
	b.Age(t, idle, 2*time.Hour, 2*time.Hour)
	for _, dry := range []bool{true, false} {
		result, err := limited.Sweep(t.Context(), store.Sweep{DryRun: dry})
		if err != nil || result.Removed < 1 || !result.Done {
			t.Errorf("Sweep, dry %v = %+v, %v", dry, result, err)
		}
		left := seenOf(t, limited, live, idle, old, to)
		if _, ok := left[idle]; ok != dry {
			t.Errorf("after Sweep, dry %v, there is %+v", dry, left)
		}
	}
	b.gone(t, idle)
	b.holds(t, live, 1, `{"a":1}`)
	b.holds(t, old, 1, `{"c":1}`)
	if last, err := limited.LastSweep(); err != nil || !about(last.At, 0) || last.Removed < 1 {
		t.Errorf("LastSweep = %+v, %v", last, err)
	}
}

// examined tests that Examine finds no problem in the store, and nothing at all in
// sound sessions, which it leaves as they are.
func examined(t *testing.T, b suite) {
	_, maxRead := b.lowered(t)
	all := b.huge(t, maxRead) // it can read what other tests left
	h, old, to := b.begin(t, `{"a":1}`), b.begin(t, `{"b":1}`), handle()
	if _, err := b.Move(old, to, never, nil); err != nil {
		t.Fatal(err)
	}
	was := b.holds(t, h, 1, `{"a":1}`)
	for _, how := range []store.Examination{
		{},
		{Deep: true},
		{Deep: true, Repair: true},
	} {
		for _, found := range all.Examine(how) {
			ofMachine := found.About == "space" || found.About == "inodes"
			ofOurs := slices.Contains([]string{"session " + h, "session " + old, "session " + to}, found.About)
			if found.Level == store.Problem && !ofMachine || ofOurs {
				t.Errorf("deep %v, repair %v: %s: %s", how.Deep, how.Repair, found.About, found.Text)
			}
		}
		if s := b.holds(t, h, 1, `{"a":1}`); !s.Accessed.Equal(was.Accessed) {
			t.Errorf("deep %v, repair %v: marks the access", how.Deep, how.Repair)
		}
		b.holds(t, old, 1, `{"b":1}`)
	}
}

// usersMended has the index of users forget a session: Examine mends it with Repair.
func usersMended(t *testing.T, b suite) {
	user, h := store.NewID(), handle()
	if _, err := b.Update(h, true, func(s *store.Session) (store.Outcome, error) {
		s.User = user
		return store.Save, nil
	}); err != nil {
		t.Fatal(err)
	}
	leads := func() bool { return slices.Contains(handlesOf(t, b, user, ""), h) }
	b.ForgetUser(t, user)
	b.Examine(store.Examination{Deep: true})
	if leads() {
		t.Error("the index of users leads to the session, though it was not repaired")
	}
	b.Examine(store.Examination{Deep: true, Repair: true})
	if !leads() {
		t.Error("the index of users does not lead to the session after the repair")
	}
	b.holds(t, h, 1, "{}")
}

// watched tests that each walk through all sessions reports its progress.
func watched(t *testing.T, b suite) {
	const n = 40
	for range n {
		b.begin(t, `{}`)
	}
	var mu sync.Mutex
	var reports []store.Progress
	s := b.Open(t, store.Options{MaxSize: maxSize, Timeout: time.Hour, Progress: func(at store.Progress) {
		mu.Lock()
		defer mu.Unlock()
		reports = append(reports, at)
	}})
	for name, walk := range map[string]func() error{
		"Each": func() error {
			return s.Each(func(*store.Session, store.State, error) error { return nil })
		},
		"Count":      func() error { _, err := s.Count(false); return err },
		"Count deep": func() error { _, err := s.Count(true); return err },
		"Sweep":      func() error { _, err := s.Sweep(context.Background(), store.Sweep{}); return err },
		"Examine":    func() error { s.Examine(store.Examination{Deep: true}); return nil },
	} {
		reports = nil
		if err := walk(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		seen := int64(0)
		for _, at := range reports {
			seen = max(seen, at.Seen)
			if at.Share < 0 || at.Share > 1 {
				t.Errorf("%s: the share of the walk that is over is %v", name, at.Share)
			}
		}
		if len(reports) < 2 || seen < n {
			t.Errorf("%s: %d reports, the last of %d sessions, of %d", name, len(reports), seen, n)
		}
	}
}
