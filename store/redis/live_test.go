//go:build redis && linux

package redis

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"cgisession/store"
	"cgisession/store/redis/redistest"
)

// movedSession makes a session that is reached by two handles.
func movedSession(t *testing.T, s *Store) (old, now string) {
	t.Helper()
	old, now = store.Handle("n", store.NewID()), store.Handle("n", store.NewID())
	if _, err := s.Update(old, true, setTo(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Move(old, now, time.Hour, nil); err != nil {
		t.Fatal(err)
	}
	return old, now
}

// among returns n handles: the first two, and others that lead nowhere.
func among(n int, first, second string) []string {
	handles := []string{first, second}
	for i := len(handles); i < n; i++ {
		handles = append(handles, store.Handle("n", fmt.Sprintf("nobody%d", i)))
	}
	return handles
}

// TestLiveRoundTrips counts what many handles cost: a round trip for each 1024, and
// one more for all that have moved.
func TestLiveRoundTrips(t *testing.T) {
	url := redistest.Start(t).URL()
	old, now := movedSession(t, cutStore(t, url, nil, cutOptions))
	nobody := store.Handle("n", "nobody")
	for _, tt := range []struct {
		n, want int
		first   string
	}{
		{2, 1, nobody}, {1024, 1, nobody}, {1025, 2, nobody}, {3000, 3, nobody},
		{2, 2, old}, {3000, 4, old},
	} {
		count := &cutter{n: 1 << 30}
		at, err := cutStore(t, url, count, cutOptions).Live(among(tt.n, tt.first, now), 2)
		if err != nil || at[1] != now || (at[0] == now) != (tt.first == old) {
			t.Fatalf("Live = %q, %v", at[:2], err)
		}
		if count.seen != tt.want {
			t.Errorf("%d handles: %d round trips, want %d", tt.n, count.seen, tt.want)
		}
	}
}

// TestLiveTooMany has a server so slow that looking at all handles would leave no
// time for what comes after it. A single answer that is late is no reason to stop.
func TestLiveTooMany(t *testing.T) {
	url := redistest.Start(t).URL()
	old, now := movedSession(t, cutStore(t, url, nil, cutOptions))
	for n, want := range map[int]error{2: nil, 1024: nil, 3000: store.ErrTooMany} {
		s := cutStore(t, url, nil, cutOptions)
		s.client.AddHook(&onPipeline{0, func() { s.budget.spend(callTime/2, nil) }})
		at, err := s.Live(among(n, now, now), 2)
		if err != want || err == nil && at[0] != now {
			t.Errorf("%d handles: %v, want %v", n, err, want)
		}
		if left, _ := s.budget.left(); left < callTime/4 {
			t.Errorf("%d handles: %v are left", n, left)
		}
	}
	s := cutStore(t, url, nil, cutOptions)
	s.client.AddHook(&onPipeline{0, func() { s.budget.spend(callTime/2, nil) }})
	if _, err := s.Live([]string{old, now}, 2); err != store.ErrTooMany {
		t.Errorf("moves that cannot be followed: %v, want %v", err, store.ErrTooMany)
	}
}

// TestLiveCut cuts Live and End at each of their requests. What is reported is so,
// and what fails says that the server did not answer.
func TestLiveCut(t *testing.T) {
	url := redistest.Start(t).URL()
	eachCut(t, url, cutOptions, func(t *testing.T, s *Store, heals bool) {
		whole := cutStore(t, url, nil, cutOptions)
		old, now := movedSession(t, whole)
		at, err := s.Live([]string{old, now}, 2)
		if err == nil && (at[0] != now || at[1] != now) {
			t.Errorf("Live = %q", at)
		}
		if err != nil && (heals || at != nil || !errors.Is(err, store.ErrUnavailable)) {
			t.Errorf("Live = %q, %v", at, err)
		}
		err = s.End(now)
		if err != nil && !errors.Is(err, store.ErrNotFound) && (heals || !errors.Is(err, store.ErrUnavailable)) {
			t.Errorf("End: %v", err)
		}
		if _, left := whole.Read(now, store.Peek); !errors.Is(left, store.ErrNotFound) && !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("after End, which said %v: %v", err, left)
		}
	})
}

// TestEndOld ends an old handle whose session has ended: no key is left.
func TestEndOld(t *testing.T) {
	server := redistest.Start(t)
	s := cutStore(t, server.URL(), nil, cutOptions)
	old, now := movedSession(t, s)
	if err := s.End(now); err != nil {
		t.Fatal(err)
	}
	if err := s.End(old); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("End of the old handle: %v", err)
	}
	if left := server.Do(t, "dbsize"); left != "0" {
		t.Errorf("%s keys are left", left)
	}
}
