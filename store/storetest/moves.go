package storetest

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"cgisession/store"
)

// move moves a session without a grace. The old handle is free at once.
func move(t *testing.T, b suite) {
	h, to := b.begin(t, `{"a":1}`), handle()
	s, err := b.Move(h, to, 0, nil)
	if err != nil || s.Handle != to || s.Version != 1 || string(s.Data) != `{"a":1}` {
		t.Fatalf("Move = %+v, %v", s, err)
	}
	b.gone(t, h)
	if s := b.holds(t, to, 1, `{"a":1}`); s.Handle != to {
		t.Errorf("handle %s; want %s", s.Handle, to)
	}
	if s, err := b.Update(to, false, set(`{"a":2}`)); err != nil || s.Version != 2 || s.Handle != to {
		t.Fatalf("Update after Move = %+v, %v", s, err)
	}
	// The old handle is free for another session.
	if s, err := b.Update(h, true, set(`{"b":1}`)); err != nil || s.Version != 1 || s.Handle != h {
		t.Fatalf("created at the old handle: %+v, %v", s, err)
	}
	b.holds(t, to, 2, `{"a":2}`)
}

// moveChange changes a session in the step that moves it.
func moveChange(t *testing.T, b suite) {
	failed := errors.New("failed")
	for _, grace := range []time.Duration{0, never, math.MaxInt64} {
		for _, tt := range []struct {
			outcome store.Outcome
			data    string
			err     error
			version uint64
		}{
			{store.Keep, `{"a":2}`, nil, 0},
			{store.Save, `{"a":2}`, nil, 1},
			{store.Wipe, `{"a":2}`, nil, 1},
			{store.Save, `{"a":2}`, failed, 0},
			{store.Save, sized(maxSize + 1), store.ErrTooLarge, 0},
		} {
			h, to := b.begin(t, `{"a":1}`), handle()
			b.Age(t, h, time.Hour, time.Hour)
			was, err := b.Read(h, store.Peek)
			if err != nil {
				t.Fatal(err)
			}
			s, err := b.Move(h, to, grace, func(s *store.Session) (store.Outcome, error) {
				if s.Version != was.Version || string(s.Data) != `{"a":1}` {
					t.Errorf("change is shown %+v", s)
				}
				s.Data = store.Data(tt.data)
				if tt.err == failed {
					return tt.outcome, failed
				}
				return tt.outcome, nil
			})
			if !errors.Is(err, tt.err) {
				t.Fatalf("outcome %d: %v; want %v", tt.outcome, err, tt.err)
			}
			if tt.err != nil {
				b.gone(t, to)
				if s := b.holds(t, h, was.Version, `{"a":1}`); tt.err == failed && !s.Accessed.Equal(was.Accessed) {
					t.Error("a move that failed marked the access")
				}
				continue
			}
			data := tt.data
			if tt.outcome == store.Keep {
				data = `{"a":1}`
			}
			if s.Handle != to || s.Version != was.Version+tt.version || !s.Accessed.Equal(was.Accessed) {
				t.Errorf("outcome %d: %+v; want version %d", tt.outcome, s, was.Version+tt.version)
			}
			b.holds(t, to, was.Version+tt.version, data)
			if grace == 0 {
				b.gone(t, h)
			} else {
				b.holds(t, h, was.Version+tt.version, data)
			}
		}
	}
}

// moveToTaken moves a session to handles that are in use. It stays where it was, as does
// what is there.
func moveToTaken(t *testing.T, b suite) {
	for _, grace := range []time.Duration{0, never} {
		from := b.begin(t, `{"a":1}`)
		stored, old, now, locked := b.begin(t, `{"b":1}`), b.begin(t, `{"c":1}`), handle(), handle()
		if _, err := b.Move(old, now, never, nil); err != nil {
			t.Fatal(err)
		}
		other := b.Open(t, store.Options{MaxSize: maxSize, LockTimeout: patience})
		held, err := other.Hold(locked, true)
		if err != nil {
			t.Fatal(err)
		}
		for name, to := range map[string]string{
			"a session": stored, "a tombstone": old, "what a tombstone leads to": now, "itself": from, "a lock": locked,
		} {
			if s, err := b.Move(from, to, grace, set(`{"a":2}`)); !errors.Is(err, store.ErrTaken) {
				t.Errorf("to the handle of %s: %+v, %v; want %v", name, s, err, store.ErrTaken)
			}
		}
		if held.Lease != nil {
			held.Lease.Release()
		}
		b.holds(t, from, 1, `{"a":1}`)
		b.holds(t, stored, 1, `{"b":1}`)
		b.holds(t, old, 1, `{"c":1}`)
		if s := b.holds(t, now, 1, `{"c":1}`); s.Handle != now {
			t.Errorf("the tombstone's session is at %s; want %s", s.Handle, now)
		}
	}
}

// moveOfExpired has a session end by its timeout during the grace of its old handle: by
// either handle it is past its limits, and then gone.
func moveOfExpired(t *testing.T, b suite) {
	limited := b.Open(t, store.Options{MaxSize: maxSize, LockTimeout: patience, Timeout: time.Hour})
	h, to := b.begin(t, `{"a":1}`), handle()
	b.Age(t, h, 50*time.Minute, 50*time.Minute)
	if _, err := limited.Move(h, to, never, nil); err != nil {
		t.Fatal(err)
	}
	b.Age(t, to, 70*time.Minute, 70*time.Minute)
	if _, err := limited.Read(h, store.Peek); !errors.Is(err, store.ErrInvalidated) {
		t.Errorf("expired during grace, by the old handle: %v; want %v", err, store.ErrInvalidated)
	}
	if _, err := limited.Update(h, false, mustNotBeCalled(t)); !errors.Is(err, store.ErrInvalidated) {
		t.Errorf("expired during grace, by the old handle: %v; want %v", err, store.ErrInvalidated)
	}
	b.gone(t, to)
	b.gone(t, h)
}

// grace uses a session by its new handle and by the old one, in turn. Both reach the same
// session, and every call returns the new handle.
func grace(t *testing.T, b suite) {
	h, to := b.begin(t, `{"a":1}`), handle()
	s, err := b.Move(h, to, never, nil)
	if err != nil || s.Handle != to || s.Version != 1 || string(s.Data) != `{"a":1}` {
		t.Fatalf("Move = %+v, %v", s, err)
	}
	version := uint64(1)
	for range 3 {
		for _, via := range []string{h, to} {
			for name, how := range everyReading {
				s, err := b.Read(via, how)
				if err != nil || s.Handle != to || s.Version != version {
					t.Fatalf("%s = %+v, %v; want version %d of %s", name, s, err, version, to)
				}
			}
			version++
			data := fmt.Sprintf(`{"a":%d}`, version)
			s, err := b.Update(via, via == h, set(data))
			if err != nil || s.Handle != to || s.Version != version {
				t.Fatalf("Update = %+v, %v; want version %d of %s", s, err, version, to)
			}
			b.holds(t, to, version, data)
		}
	}
}

// graceChain moves a session several times. All its handles lead to it, but only the
// last one can move it.
func graceChain(t *testing.T, b suite) {
	handles := []string{b.begin(t, `{"a":1}`)}
	version := uint64(1)
	for i := range 6 {
		from, to := handles[i], handle()
		for _, old := range handles[:i] {
			grace := never * time.Duration(i%2)
			if s, err := b.Move(old, to, grace, mustNotBeCalled(t)); !errors.Is(err, store.ErrMoved) {
				t.Fatalf("move %d by an old handle: %+v, %v; want %v", i, s, err, store.ErrMoved)
			}
		}
		b.gone(t, to)
		if s, err := b.Move(from, to, never, nil); err != nil || s.Handle != to {
			t.Fatalf("move %d: %+v, %v; want %s", i, s, err, to)
		}
		handles = append(handles, to)
		for _, h := range handles {
			version++
			data := fmt.Sprintf(`{"a":%d}`, version)
			if s, err := b.Update(h, false, set(data)); err != nil || s.Handle != to || s.Version != version {
				t.Fatalf("after move %d: %+v, %v; want version %d of %s", i, s, err, version, to)
			}
			if s, err := b.Read(h, store.Snapshot); err != nil || s.Handle != to || string(s.Data) != data {
				t.Fatalf("after move %d: %+v, %v; want %s", i, s, err, data)
			}
		}
	}
}

// graceEnds has the shortest grace there is. The old handle works for at least that
// long, but not for ever; then it is free.
func graceEnds(t *testing.T, b suite) {
	const grace = time.Second
	h, to := b.begin(t, `{"a":1}`), handle()
	moving := time.Now()
	if _, err := b.Move(h, to, grace, nil); err != nil {
		t.Fatal(err)
	}
	for {
		s, err := b.Read(h, store.Peek)
		elapsed := time.Since(moving)
		if errors.Is(err, store.ErrNotFound) {
			if elapsed < grace {
				t.Errorf("the old handle ended after %v; want %v at least", elapsed, grace)
			}
			break
		}
		if err != nil || s.Handle != to {
			t.Fatalf("during grace: %+v, %v", s, err)
		}
		if elapsed > patience {
			t.Fatalf("the old handle still works %v after a grace of %v", elapsed, grace)
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.gone(t, h)
	b.holds(t, to, 1, `{"a":1}`)
	if s, err := b.Update(h, true, set(`{"b":1}`)); err != nil || s.Version != 1 || s.Handle != h {
		t.Errorf("created at the old handle after grace: %+v, %v", s, err)
	}
	b.holds(t, h, 1, `{"b":1}`)
	b.holds(t, to, 1, `{"a":1}`)
}

// graceThenNone ends a grace early: once the session moved without a grace, no old
// handle leads to it.
func graceThenNone(t *testing.T, b suite) {
	first, second, third := b.begin(t, `{"a":1}`), handle(), handle()
	if _, err := b.Move(first, second, never, nil); err != nil {
		t.Fatal(err)
	}
	if s, err := b.Move(second, third, 0, nil); err != nil || s.Handle != third {
		t.Fatalf("Move = %+v, %v", s, err)
	}
	b.holds(t, third, 1, `{"a":1}`)
	b.gone(t, first)
	b.gone(t, second)
}

// graceRemove ends a session by each of its two handles: both are free then.
func graceRemove(t *testing.T, b suite) {
	for _, byOld := range []bool{true, false} {
		h, to := b.begin(t, `{"a":1}`), handle()
		if _, err := b.Move(h, to, never, nil); err != nil {
			t.Fatal(err)
		}
		via := to
		if byOld {
			via = h
		}
		if _, err := b.Update(via, false, only(store.Remove)); err != nil {
			t.Fatal(err)
		}
		b.gone(t, h)
		b.gone(t, to)
		// Creating a session at the old handle does not bring the new one back.
		if s, err := b.Update(h, true, set(`{}`)); err == nil && s.Handle != h {
			t.Errorf("created %+v", s)
		}
		b.gone(t, to)
	}
}

// removeChain ends a session by each of its handles. Operators see nothing of it from
// that handle on.
func removeChain(t *testing.T, b suite) {
	for by := range 4 {
		handles := []string{b.begin(t, `{"a":1}`), handle(), handle(), handle()}
		for i, from := range handles[:3] {
			if _, err := b.Move(from, handles[i+1], never, nil); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.Update(handles[by], false, only(store.Remove)); err != nil {
			t.Fatal(err)
		}
		if left := seenOf(t, b.Backend, handles[by:]...); len(left) > 0 {
			t.Errorf("ended by handle %d: there is %+v", by, left)
		}
		for _, h := range handles {
			b.gone(t, h)
		}
	}
}

// removeOld removes the old handles of a session that has ended.
func removeOld(t *testing.T, b suite) {
	first, second, third := b.begin(t, `{"a":1}`), handle(), handle()
	if _, err := b.Move(first, second, never, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Move(second, third, never, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.End(third); err != nil {
		t.Fatal(err)
	}
	if left := seenOf(t, b.Backend, first, second, third); len(left) != 2 {
		t.Errorf("after End there is %+v; want the two old handles", left)
	}
	s, err := b.Update(first, false, only(store.Remove))
	if !errors.Is(err, store.ErrNotFound) || s == nil || s.Handle != third {
		t.Errorf("Remove by an old handle = %+v, %v; want not found, and that it led to %s", s, err, third)
	}
	if err := b.End(first); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("End of an old handle: %v", err)
	}
	if left := seenOf(t, b.Backend, first, second, third); len(left) > 0 {
		t.Errorf("after the end of the old handle there is %+v", left)
	}
}
