package storetest

import (
	"errors"
	"testing"
	"time"

	"cgisession/store"
)

// lowered returns a store of the same sessions that takes half as much data, and can
// read no more than maxRead.
func (b suite) lowered(t *testing.T) (small suite, maxRead int) {
	opts := store.Options{MaxSize: maxSize / 2, LockTimeout: patience}
	return suite{b.Open(t, opts), b.Setup}, opts.MaxRead()
}

// huge returns a store of the same sessions that takes more than the lowered can read.
func (b suite) huge(t *testing.T, maxRead int) suite {
	return suite{b.Open(t, store.Options{MaxSize: 2 * maxRead, LockTimeout: patience}), b.Setup}
}

// stored makes a session with so much data, saved a few times, so that a back end
// has it in each of its places.
func (b suite) stored(t *testing.T, size, saves int) string {
	t.Helper()
	h := b.begin(t, sized(size))
	for range saves - 1 {
		if _, err := b.Update(h, false, set(sized(size))); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// maxSizeLowered has sessions over MaxSize that can be read: all goes on with them, but
// for changes that leave too much.
func maxSizeLowered(t *testing.T, b suite) {
	small, maxRead := b.lowered(t)
	large := b.huge(t, maxRead)
	for _, size := range []int{maxSize/2 + 1, maxSize, maxRead} {
		for saves := range 4 {
			h := large.stored(t, size, saves+1)
			version := uint64(saves + 1)
			for name, how := range everyReading {
				if s, err := small.Read(h, how); err != nil || string(s.Data) != sized(size) {
					t.Fatalf("%s of %d bytes after %d saves: %v", name, size, saves, err)
				}
			}
			if _, err := small.Update(h, false, only(store.Keep)); err != nil {
				t.Errorf("Keep of %d bytes: %v", size, err)
			}
			for _, data := range []string{sized(size + 1), sized(size - 1), sized(maxSize/2 + 1)} {
				if data == sized(size) || len(data) <= maxSize/2 {
					continue
				}
				if _, err := small.Update(h, false, set(data)); !errors.Is(err, store.ErrTooLarge) {
					t.Errorf("from %d to %d bytes: %v; want %v", size, len(data), err, store.ErrTooLarge)
				}
				small.holds(t, h, version, sized(size))
			}
			if s, err := small.Update(h, false, func(s *store.Session) (store.Outcome, error) {
				s.User = "ann"
				return store.Save, nil
			}); err != nil || s.Version != version+1 {
				t.Errorf("a change that leaves %d bytes as they are: %+v, %v", size, s, err)
			}
			to := handle()
			if s, err := small.Move(h, to, never, nil); err != nil || s.Version != version+1 {
				t.Errorf("Move of %d bytes: %+v, %v", size, s, err)
			}
			if _, err := small.Move(to, handle(), never, set(sized(maxSize/2+2))); !errors.Is(err, store.ErrTooLarge) {
				t.Errorf("Move that leaves too much: %v; want %v", err, store.ErrTooLarge)
			}
			if s, err := small.Update(to, false, set(sized(maxSize/2))); err != nil || s.Version != version+2 {
				t.Errorf("from %d to %d bytes: %+v, %v", size, maxSize/2, s, err)
			}
			small.holds(t, to, version+2, sized(maxSize/2))
		}
	}
}

// oversize has sessions that are too large to be read: they can be ended, and their
// data deleted, and nothing else.
func oversize(t *testing.T, b suite) {
	small, maxRead := b.lowered(t)
	large := b.huge(t, maxRead)
	for _, size := range []int{maxRead + 1, 2 * maxRead} {
		for saves := range 4 {
			version := uint64(saves + 1)
			h := large.stored(t, size, saves+1)
			for name, how := range everyReading {
				if s, err := small.Read(h, how); !errors.Is(err, store.ErrTooLarge) {
					t.Fatalf("%s of %d bytes after %d saves: %v, %v; want %v", name, size, saves, s, err, store.ErrTooLarge)
				}
			}
			for name, change := range map[string]store.Change{
				"Keep": only(store.Keep), "Save": set(`{}`),
				"error": func(*store.Session) (store.Outcome, error) { return store.Keep, errors.New("of the change") },
			} {
				if _, err := small.Update(h, true, change); !errors.Is(err, store.ErrTooLarge) {
					t.Errorf("%s of %d bytes: %v; want %v", name, size, err, store.ErrTooLarge)
				}
			}
			if _, err := small.Move(h, handle(), never, nil); !errors.Is(err, store.ErrTooLarge) {
				t.Errorf("Move of %d bytes: %v; want %v", size, err, store.ErrTooLarge)
			}
			large.holds(t, h, version, sized(size))
			if at, err := small.Live([]string{h}, 1); err != nil || at[0] != h {
				t.Errorf("Live of %d bytes = %q, %v", size, at, err)
			}
			if s, err := small.Update(h, false, func(s *store.Session) (store.Outcome, error) {
				s.Data = store.Empty
				return store.Wipe, nil
			}); err != nil || s.Version != version+1 {
				t.Fatalf("Wipe of %d bytes after %d saves: %+v, %v", size, saves, s, err)
			}
			small.holds(t, h, version+1, "{}")
			if _, err := small.Update(h, false, set(`{"a":1}`)); err != nil {
				t.Fatal(err)
			}
			small.holds(t, h, version+2, `{"a":1}`)

			for name, end := range map[string]func(h string) error{
				"Remove": func(h string) error { _, err := small.Update(h, false, only(store.Remove)); return err },
				"End":    small.End,
			} {
				h := large.stored(t, size, saves+1)
				if err := end(h); err != nil {
					t.Errorf("%s of %d bytes: %v", name, size, err)
				}
				large.gone(t, h)
			}
		}
	}
	h := large.stored(t, maxRead+1, 1)
	b.Age(t, h, 2*time.Hour, 2*time.Hour)
	limited := b.Open(t, store.Options{MaxSize: maxSize / 2, LockTimeout: patience, Timeout: time.Hour})
	if _, err := limited.Read(h, store.Peek); !errors.Is(err, store.ErrInvalidated) {
		t.Errorf("Read past the timeout: %v; want %v", err, store.ErrInvalidated)
	}
	if _, err := limited.Update(h, true, mustNotBeCalled(t)); !errors.Is(err, store.ErrInvalidated) {
		t.Errorf("Update past the timeout: %v; want %v", err, store.ErrInvalidated)
	}
	large.gone(t, h)
}
