package storetest

import (
	"errors"
	"testing"
	"time"

	"cgisession/store"
)

// timeout tests Options.Timeout, which counts from the last access.
func timeout(t *testing.T, b suite) {
	expiry(t, b, store.Options{MaxSize: maxSize, LockTimeout: patience, Timeout: time.Hour},
		func(h string, d time.Duration) { b.Age(t, h, d, d) })
}

// lifetime tests Options.Lifetime, which counts from the creation.
func lifetime(t *testing.T, b suite) {
	expiry(t, b, store.Options{MaxSize: maxSize, LockTimeout: patience, Lifetime: time.Hour},
		func(h string, d time.Duration) { b.Age(t, h, 0, d) })
}

// expiry tests a limit of an hour. The function age makes a session this old by the
// measure that is limited.
func expiry(t *testing.T, b suite, opts store.Options, age func(h string, d time.Duration)) {
	limited := suite{b.Open(t, opts), b.Setup}
	h := b.begin(t, `{"a":1}`)
	age(h, 50*time.Minute)
	for name, how := range map[string]store.Reading{"Peek": store.Peek, "Snapshot": store.Snapshot} {
		if _, err := limited.Read(h, how); err != nil {
			t.Errorf("%s within the limit: %v", name, err)
		}
	}
	for range 2 { // also after an access, which Lifetime does not count from
		if _, err := limited.Update(h, false, only(store.Keep)); err != nil {
			t.Errorf("Update within the limit: %v", err)
		}
	}

	for name, end := range map[string]func(h string) error{
		"Update": func(h string) error { _, err := limited.Update(h, false, mustNotBeCalled(t)); return err },
		"create": func(h string) error { _, err := limited.Update(h, true, mustNotBeCalled(t)); return err },
		"Move": func(h string) error {
			to := handle()
			_, err := limited.Move(h, to, 0, nil)
			b.gone(t, to)
			return err
		},
		"Move with grace": func(h string) error {
			to := handle()
			_, err := limited.Move(h, to, never, nil)
			b.gone(t, to)
			return err
		},
	} {
		h := b.begin(t, `{"a":1}`)
		age(h, 70*time.Minute)
		for reading, how := range everyReading {
			if s, err := limited.Read(h, how); !errors.Is(err, store.ErrInvalidated) {
				t.Fatalf("%s past the limit: %+v, %v; want %v", reading, s, err, store.ErrInvalidated)
			}
		}
		if _, err := b.Read(h, store.Peek); err != nil {
			t.Errorf("Read of one past its limit has not left it: %v", err)
		}
		if err := end(h); !errors.Is(err, store.ErrInvalidated) {
			t.Errorf("%s past the limit: %v; want %v", name, err, store.ErrInvalidated)
		}
		b.gone(t, h)
		if s, err := limited.Update(h, true, set(`{}`)); err != nil || s.Version != 1 {
			t.Errorf("created after %s past the limit: %+v, %v", name, s, err)
		}
	}
}

// futureTimes has a session whose last access is ahead of the clock: it counts as
// now.
func futureTimes(t *testing.T, b suite) {
	opts := store.Options{MaxSize: maxSize, LockTimeout: patience, Timeout: time.Hour, Lifetime: time.Hour}
	limited := suite{b.Open(t, opts), b.Setup}
	h := b.begin(t, `{"a":1}`)
	b.Age(t, h, -2*time.Hour, 0)
	for _, name := range []string{"Peek", "Snapshot", "Touch"} { // Touch last: it sets the access to now
		how := everyReading[name]
		if _, err := limited.Read(h, how); err != nil {
			t.Errorf("%s of a session with times in the future: %v", name, err)
		}
	}
	if s, err := limited.Read(h, store.Peek); err != nil || !about(s.Accessed, 0) {
		t.Errorf("accessed %v, %v; want now", s.Accessed, err)
	}
}

// maxSizes stores data of exactly MaxSize, and one byte more, which is ErrTooLarge and
// leaves the session as it is.
func maxSizes(t *testing.T, b suite) {
	h := b.begin(t, sized(maxSize))
	b.holds(t, h, 1, sized(maxSize))
	for _, outcome := range []store.Outcome{store.Save, store.Wipe} {
		_, err := b.Update(h, false, func(s *store.Session) (store.Outcome, error) {
			s.Data = store.Data(sized(maxSize + 1))
			return outcome, nil
		})
		if !errors.Is(err, store.ErrTooLarge) {
			t.Errorf("one byte more: %v; want %v", err, store.ErrTooLarge)
		}
		b.holds(t, h, 1, sized(maxSize))
	}
	// Shorter and longer than the record before it.
	for version := uint64(2); version < 10; version++ {
		data := sized(maxSize - int(version%3)*400)
		if _, err := b.Update(h, false, set(data)); err != nil {
			t.Fatal(err)
		}
		b.holds(t, h, version, data)
	}
	h = handle()
	if _, err := b.Update(h, true, set(sized(maxSize+1))); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("a new session one byte too large: %v; want %v", err, store.ErrTooLarge)
	}
	b.gone(t, h)
}

// lowered returns a store of the same sessions with half the MaxSize, and how many
// bytes of data it can read.
func (b suite) lowered(t *testing.T) (small suite, maxRead int) {
	opts := store.Options{MaxSize: maxSize / 2, LockTimeout: patience}
	return suite{b.Open(t, opts), b.Setup}, opts.MaxRead()
}

// huge returns a store of the same sessions that accepts twice the data that the
// lowered store can read.
func (b suite) huge(t *testing.T, maxRead int) suite {
	return suite{b.Open(t, store.Options{MaxSize: 2 * maxRead, LockTimeout: patience}), b.Setup}
}

// stored creates a session of size bytes of data and returns its handle. It saves it
// several times, since a back end may store records in places that it uses in turn.
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

// maxSizeLowered has sessions over MaxSize that are small enough to read: everything
// works but changes that leave other data over MaxSize.
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

// oversize has sessions that are too large to read: they can be ended, and their
// data deleted, and nothing else.
func oversize(t *testing.T, b suite) {
	small, maxRead := b.lowered(t)
	large := b.huge(t, maxRead)
	for _, size := range []int{maxRead + 1, 2 * maxRead} {
		for saves := 1; saves <= 4; saves++ {
			h := large.stored(t, size, saves)
			small.refuses(t, h)
			large.holds(t, h, uint64(saves), sized(size))
			small.wipes(t, h, uint64(saves))
			for name, end := range map[string]func(h string) error{
				"Remove": func(h string) error { _, err := small.Update(h, false, only(store.Remove)); return err },
				"End":    small.End,
			} {
				h := large.stored(t, size, saves)
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

// refuses checks that the session is too large for this store to read, change or move,
// but that Live finds it.
func (b suite) refuses(t *testing.T, h string) {
	t.Helper()
	refused := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, store.ErrTooLarge) {
			t.Errorf("%s: %v; want %v", what, err, store.ErrTooLarge)
		}
	}
	for name, how := range everyReading {
		_, err := b.Read(h, how)
		refused(name, err)
	}
	for name, change := range map[string]store.Change{
		"Keep": only(store.Keep), "Save": set(`{}`),
		"error": func(*store.Session) (store.Outcome, error) { return store.Keep, errors.New("of the change") },
	} {
		_, err := b.Update(h, true, change)
		refused(name, err)
	}
	_, err := b.Move(h, handle(), never, nil)
	refused("Move", err)
	if at, err := b.Live([]string{h}, 1); err != nil || at[0] != h {
		t.Errorf("Live = %q, %v", at, err)
	}
}

// wipes deletes the session's data, which this store cannot read, and then uses it.
func (b suite) wipes(t *testing.T, h string, version uint64) {
	t.Helper()
	if s, err := b.Update(h, false, func(s *store.Session) (store.Outcome, error) {
		s.Data = store.Empty
		return store.Wipe, nil
	}); err != nil || s.Version != version+1 {
		t.Fatalf("Wipe of version %d: %+v, %v", version, s, err)
	}
	b.holds(t, h, version+1, "{}")
	if _, err := b.Update(h, false, set(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	b.holds(t, h, version+2, `{"a":1}`)
}
