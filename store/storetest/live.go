package storetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"cgisession/store"
)

// live asks for sessions of all kinds at once, among many handles that lead
// nowhere.
func live(t *testing.T, b suite) {
	here := b.begin(t, `{"a":1}`)
	old, older, now := b.begin(t, `{"a":2}`), handle(), handle()
	moved := b.begin(t, `{"a":3}`)
	for _, move := range []struct {
		from, to string
		grace    time.Duration
	}{{old, older, never}, {older, now, never}, {moved, handle(), 0}} {
		if _, err := b.Move(move.from, move.to, move.grace, nil); err != nil {
			t.Fatal(err)
		}
	}
	ended := b.begin(t, `{"a":4}`)
	if _, err := b.Update(ended, false, only(store.Remove)); err != nil {
		t.Fatal(err)
	}
	idle := b.begin(t, `{"a":5}`)
	b.Age(t, idle, 2*time.Hour, 2*time.Hour)

	asked := []string{here, old, older, now, moved, ended, idle}
	want := []string{here, now, now, now, "", "", ""}
	for range 3000 {
		asked, want = append(asked, handle()), append(want, "")
	}
	asked, want = append(asked, here), append(want, here)
	before := time.Now()
	at, err := b.Open(t, store.Options{MaxSize: maxSize, Timeout: time.Hour}).Live(asked, len(asked))
	if err != nil || !slices.Equal(at, want) {
		t.Errorf("Live = %q, %v; want %q", shown(at), err, shown(want))
	}
	if s := b.holds(t, here, 1, `{"a":1}`); s.Accessed.After(before) {
		t.Error("Live marks the access")
	}
	if at, err := b.Live([]string{idle}, 1); err != nil || at[0] != idle {
		t.Errorf("without a timeout: %q, %v", at, err)
	}
	if at, err := b.Live(nil, 1); err != nil || len(at) != 0 {
		t.Errorf("of none: %q, %v", at, err)
	}

	// Where two are enough, two are found, and nothing that is not there.
	at, err = b.Live(asked[:4], 2)
	if err != nil || at[0] != here || at[1] != now || at[2] != "" && at[2] != now {
		t.Errorf("Live up to two = %q, %v", at, err)
	}
}

// shown returns the first few of many.
func shown(at []string) []string { return at[:min(len(at), 10)] }

// liveOfHeld looks at a session that is locked.
func liveOfHeld(t *testing.T, b suite) {
	h, other := b.begin(t, `{"a":1}`), b.begin(t, `{"b":1}`)
	lock, release := hold(t, b.Open(t, store.Options{MaxSize: maxSize}), h, false)
	defer release()
	for name, s := range map[string]store.Backend{
		"another":    b.Open(t, store.Options{MaxSize: maxSize}),
		"the holder": b.Open(t, handed(lock)),
	} {
		if at, err := s.Live([]string{h, other}, 2); err != nil || at[0] != h || at[1] != other {
			t.Errorf("%s: Live = %q, %v", name, at, err)
		}
	}
}

// end ends sessions, and nothing else.
func end(t *testing.T, b suite) {
	h, other := b.begin(t, `{"a":1}`), b.begin(t, `{"b":1}`)
	if err := b.End(h); err != nil {
		t.Errorf("End: %v", err)
	}
	b.gone(t, h)
	for name, handle := range map[string]string{"again": h, "of none": handle()} {
		if err := b.End(handle); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("End %s: %v; want %v", name, err, store.ErrNotFound)
		}
	}
	if s, err := b.Update(h, true, set(`{"a":2}`)); err != nil || s.Version != 1 {
		t.Errorf("created again: %+v, %v", s, err)
	}
	to := handle()
	if _, err := b.Move(h, to, never, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.End(h); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("End by an old handle: %v; want %v", err, store.ErrNotFound)
	}
	b.holds(t, h, 1, `{"a":2}`)
	b.holds(t, to, 1, `{"a":2}`)
	b.holds(t, other, 1, `{"b":1}`)
}

// endOfHeld ends a session whose lock another has: at once, and for the holder
// too.
func endOfHeld(t *testing.T, b suite) {
	h, own := b.begin(t, `{"a":1}`), b.begin(t, `{"b":1}`)
	lock, release := hold(t, b.Open(t, store.Options{MaxSize: maxSize}), h, false)
	ownLock, releaseOwn := hold(t, b.Open(t, store.Options{MaxSize: maxSize}), own, false)
	defer releaseOwn()
	if err := b.Open(t, handed(ownLock)).End(h); err != nil {
		t.Errorf("End: %v", err)
	}
	holder := b.Open(t, handed(lock))
	if s, err := holder.Update(h, false, mustNotBeCalled(t)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Update by the holder = %+v, %v; want %v", s, err, store.ErrNotFound)
	}
	if !holder.LockLost() {
		t.Error("the holder is not told that the session has ended")
	}
	if s, err := b.Read(own, store.Snapshot); err != nil || string(s.Data) != `{"b":1}` {
		t.Errorf("the other's own session: %+v, %v", s, err)
	}
	if lock.Lease == nil {
		release()
	}
	b.gone(t, h)
}
