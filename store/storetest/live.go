package storetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"cgisession/store"
)

// live looks up sessions of all kinds at once, among many handles without a session.
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

	// If two are enough, it finds at least two and invents none.
	at, err = b.Live(asked[:4], 2)
	if err != nil || at[0] != here || at[1] != now || at[2] != "" && at[2] != now {
		t.Errorf("Live up to two = %q, %v", at, err)
	}
}

// shown returns the first few of many handles.
func shown(at []string) []string { return at[:min(len(at), 10)] }

// end ends a session and leaves others alone.
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
