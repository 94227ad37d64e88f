package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cgisession/store"
)

// changedMeanwhile changes, moves or ends the session while a change of it runs. An
// optimistic store calls that change again with what is stored by then.
func changedMeanwhile(t *testing.T, b suite) {
	if !b.Repeats() {
		t.Skip("the lock keeps others out")
	}
	for name, tt := range map[string]struct {
		meanwhile func(h, to string) error
		err       error
	}{
		"changed": {func(h, _ string) error {
			_, err := b.Update(h, false, set(`{"n":10}`))
			return err
		}, nil},
		"moved": {func(h, to string) error {
			_, err := b.Move(h, to, never, set(`{"n":10}`))
			return err
		}, nil},
		"moved away": {func(h, to string) error {
			_, err := b.Move(h, to, 0, nil)
			return err
		}, store.ErrNotFound},
		"ended": {func(h, _ string) error {
			_, err := b.Update(h, false, only(store.Remove))
			return err
		}, store.ErrNotFound},
	} {
		h, to := b.begin(t, `{"n":1}`), handle()
		tries := 0
		s, err := b.Update(h, false, func(s *store.Session) (store.Outcome, error) {
			if tries++; tries == 1 {
				if err := tt.meanwhile(h, to); err != nil {
					t.Errorf("%s meanwhile: %v", name, err)
				}
			}
			return increment(s)
		})
		switch {
		case !errors.Is(err, tt.err):
			t.Errorf("%s meanwhile: %v; want %v", name, err, tt.err)
		case err == nil && (tries != 2 || string(s.Data) != `{"n":11}`):
			t.Errorf("%s meanwhile: %s after %d tries; want 11 after 2", name, s.Data, tries)
		case err == nil:
			b.holds(t, s.Handle, 3, `{"n":11}`)
		}
	}
}

// increment is a change that adds 1 to the member n.
func increment(s *store.Session) (store.Outcome, error) {
	n := 0
	if v, ok, err := s.Data.Get("n"); err != nil {
		return store.Keep, err
	} else if ok {
		if n, err = strconv.Atoi(v.Text()); err != nil {
			return store.Keep, err
		}
	}
	data, err := s.Data.Set("n", store.Value(strconv.Itoa(n+1)))
	s.Data = data
	return store.Save, err
}

// together runs n calls of run at once, half of them on each of two stores.
func together(t *testing.T, b suite, n int, run func(i int, s store.Backend)) {
	t.Helper()
	stores := []store.Backend{b.Backend, b.Open(t, store.Options{MaxSize: maxSize, LockTimeout: patience})}
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			run(i, stores[i%2])
		})
	}
	close(start)
	wg.Wait()
}

// counter has several goroutines count in one session, through two stores. No count is lost.
func counter(t *testing.T, b suite) {
	const workers, each = 16, 25
	h := b.begin(t, `{}`)
	together(t, b, workers, func(i int, s store.Backend) {
		for range each {
			if _, err := s.Update(h, i%3 == 0, increment); err != nil {
				t.Error(err)
			}
		}
	})
	b.holds(t, h, 1+workers*each, fmt.Sprintf(`{"n":%d}`, workers*each))
}

// counterOfMoving moves the session while others count through its first handle.
func counterOfMoving(t *testing.T, b suite) {
	const workers, each = 8, 25
	h := b.begin(t, `{}`)
	last := h
	together(t, b, workers+1, func(i int, s store.Backend) {
		if i == workers {
			for range 6 {
				to := handle()
				if _, err := s.Move(last, to, never, nil); err != nil {
					t.Error(err)
				}
				last = to
			}
			return
		}
		for range each {
			if _, err := s.Update(h, false, increment); err != nil {
				t.Error(err)
			}
		}
	})
	b.holds(t, last, 1+workers*each, fmt.Sprintf(`{"n":%d}`, workers*each))
}

// moversAtOnce has several callers move a session from the same handle: one of them
// does, and the others leave nothing behind.
func moversAtOnce(t *testing.T, b suite) {
	const movers, times = 4, 25
	for range times {
		from := b.begin(t, `{"a":1}`)
		to := make([]string, movers)
		moved := make([]error, movers)
		together(t, b, movers, func(i int, s store.Backend) {
			to[i] = handle()
			_, moved[i] = s.Move(from, to[i], never, keep(fmt.Sprint("key ", i)))
		})
		winner := slices.Index(moved, nil)
		if winner < 0 {
			t.Fatalf("every move failed: %v", moved)
		}
		for i, err := range moved {
			if i != winner && !errors.Is(err, store.ErrMoved) {
				t.Errorf("another move: %v; want %v", err, store.ErrMoved)
			}
			if i != winner {
				b.gone(t, to[i])
			}
		}
		if s := b.holds(t, from, 2, `{"a":1}`); s.Handle != to[winner] || keysOf(s) != fmt.Sprintf("[key %d]", winner) {
			t.Errorf("by the old handle: %+v; want %s", s, to[winner])
		}
	}
}

// moversToOne has several callers move sessions of their own to one handle: one of them
// does, and the others keep what they had.
func moversToOne(t *testing.T, b suite) {
	const movers, times = 4, 25
	for range times {
		to := handle()
		from := make([]string, movers)
		for i := range from {
			from[i] = b.begin(t, fmt.Sprintf(`{"n":%d}`, i))
		}
		moved := make([]error, movers)
		together(t, b, movers, func(i int, s store.Backend) {
			_, moved[i] = s.Move(from[i], to, never*time.Duration(i%2), nil)
		})
		won := 0
		for i, err := range moved {
			data := fmt.Sprintf(`{"n":%d}`, i)
			switch {
			case err == nil:
				won++
				b.holds(t, to, 1, data)
			case !errors.Is(err, store.ErrTaken):
				t.Errorf("mover %d: %v; want %v", i, err, store.ErrTaken)
			default:
				b.holds(t, from[i], 1, data)
			}
		}
		if won != 1 {
			t.Fatalf("%d sessions moved to one handle", won)
		}
	}
}

// createRace has many callers create one session: it is created once.
func createRace(t *testing.T, b suite) {
	const workers = 8
	for range 25 {
		h := handle()
		versions := make([]uint64, workers)
		together(t, b, workers, func(i int, st store.Backend) {
			s, err := st.Update(h, true, increment)
			if err != nil {
				t.Error(err)
				return
			}
			versions[i] = s.Version
		})
		seen := map[uint64]bool{}
		for _, v := range versions {
			if v < 1 || v > workers || seen[v] {
				t.Fatalf("created as versions %d; want each of 1 to %d once", versions, workers)
			}
			seen[v] = true
		}
		b.holds(t, h, workers, fmt.Sprintf(`{"n":%d}`, workers))
	}
}

// createRaceOfFailing has callers that create the session and then fail or change
// nothing: what others stored meanwhile stays.
func createRaceOfFailing(t *testing.T, b suite) {
	const workers = 8
	failed := errors.New("failed")
	for range 100 {
		h := handle()
		together(t, b, workers, func(i int, s store.Backend) {
			var err error
			switch {
			case i < 4:
				_, err = s.Update(h, true, func(*store.Session) (store.Outcome, error) { return store.Save, failed })
				if errors.Is(err, failed) {
					err = nil
				}
			case i == 4:
				_, err = s.Update(h, true, only(store.Keep))
			case i == 5:
				_, err = s.Update(h, true, func(s *store.Session) (store.Outcome, error) {
					if s.Version == 0 {
						return store.Remove, nil
					}
					return store.Keep, nil
				})
			default:
				_, err = s.Update(h, true, increment)
			}
			if err != nil {
				t.Error(err)
			}
		})
		b.holds(t, h, 2, `{"n":2}`)
	}
}

// snapshotsOfWriter reads without the lock while the session changes its size
// from save to save.
func snapshotsOfWriter(t *testing.T, b suite) {
	const saves = 300
	text := func(n int) string { return fmt.Sprintf(`{"n":%d,"a":"%s"}`, n, strings.Repeat("x", n*37%900)) }
	h := b.begin(t, text(1))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 2; n <= saves; n++ {
			if _, err := b.Update(h, false, set(text(n))); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	last := uint64(1)
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		s, err := b.Read(h, store.Snapshot)
		if err != nil {
			t.Fatal(err)
		}
		if s.Version < last {
			t.Fatalf("version %d after %d", s.Version, last)
		}
		if want := text(int(s.Version)); string(s.Data) != want {
			t.Fatalf("version %d is %s; want %s", s.Version, s.Data, want)
		}
		last = s.Version
	}
	if last != saves {
		t.Errorf("the last snapshot is version %d; want %d", last, saves)
	}
}
