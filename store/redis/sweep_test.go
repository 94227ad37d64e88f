//go:build redis && linux

package redis

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"cgisession/store"
	"cgisession/store/redis/redistest"
)

// fill makes n sessions that were last used so long ago.
func fill(t *testing.T, server *redistest.Server, n int, idle time.Duration) {
	t.Helper()
	server.Do(t, "eval", `for i = 1, ARGV[1] do
		redis.call('HSET', 'p:{' .. string.format('%064x', i) .. '}', 'version', 1, 'created', 1, 'accessed', ARGV[2], 'data', '{}')
	end`, "0", strconv.Itoa(n), strconv.FormatInt(time.Now().Add(-idle).UnixMilli(), 10))
}

// sweepAll sweeps until all is done, and returns the sums and how often it took.
func sweepAll(t *testing.T, s *Store, how store.Sweep) (sum store.Swept, times int) {
	t.Helper()
	for times < 100 && !sum.Done {
		done, err := s.Sweep(context.Background(), how)
		if err != nil {
			t.Fatal(err)
		}
		if done.Seen != done.Removed+done.Busy+done.Kept {
			t.Fatalf("the counts do not add up: %+v", done)
		}
		times++
		sum.Seen += done.Seen
		sum.Removed += done.Removed
		sum.Kept += done.Kept
		sum.Corrupt += done.Corrupt
		sum.Done, sum.Note = done.Done, done.Note
	}
	if !sum.Done {
		t.Fatalf("no end after %d sweeps: %+v", times, sum)
	}
	return sum, times
}

// TestSweepInTurns stops each sweep after no time, and after some sessions: the
// next goes on, and all is seen in the end.
func TestSweepInTurns(t *testing.T) {
	const sessions = 5000
	server := redistest.Start(t)
	opts := cutOptions
	opts.Timeout = time.Hour
	s := cutStore(t, server.URL(), nil, opts)
	fill(t, server, sessions, time.Minute)
	sum, times := sweepAll(t, s, store.Sweep{MaxTime: 1})
	if times < 3 || sum.Seen < sessions || sum.Removed > 0 {
		t.Errorf("%d sweeps without time saw %+v", times, sum)
	}
	if last, err := s.LastSweep(); err != nil || time.Since(last.At) > time.Hour {
		t.Errorf("the last sweep was %+v, %v", last, err)
	}
	opts.Timeout = time.Second
	sum, times = sweepAll(t, cutStore(t, server.URL(), nil, opts), store.Sweep{MaxDelete: 2000})
	if times != 3 || sum.Removed != sessions {
		t.Errorf("%d sweeps of 2000 each removed %+v", times, sum)
	}
	if got := server.Do(t, "dbsize"); got != "1" {
		t.Errorf("%s keys are left; want that of the sweep alone", got)
	}
}

// TestSweepForeign has keys that another program wrote. They go once they are old,
// as far as that is known, and else are given an end.
func TestSweepForeign(t *testing.T) {
	server := redistest.Start(t)
	opts := cutOptions
	opts.Timeout = time.Hour
	s := cutStore(t, server.URL(), nil, opts)
	at := func(i int) string { return fmt.Sprintf("p:{%064x}", i) }
	old, young := "1", strconv.FormatInt(time.Now().UnixMilli(), 10)
	server.Do(t, "hset", at(1), "version", "x", "accessed", old)
	server.Do(t, "hset", at(2), "version", "x", "accessed", young)
	server.Do(t, "set", at(3), "text")
	server.Do(t, "hset", at(4), "version", "1", "created", "1", "accessed", old, "data", "{") // an idle session, as far as is looked
	sum, _ := sweepAll(t, s, store.Sweep{})
	if sum.Seen != 4 || sum.Removed != 2 || sum.Corrupt != 1 || sum.Kept != 2 {
		t.Errorf("the sweep: %+v", sum)
	}
	for i, want := range map[int]bool{1: false, 2: true, 3: true, 4: false} {
		if got := server.Do(t, "exists", at(i)) == "1"; got != want {
			t.Errorf("key %d is there: %v; want %v", i, got, want)
		}
		if left, _ := strconv.Atoi(server.Do(t, "ttl", at(i))); want && (left < 3000 || left > 3600) {
			t.Errorf("key %d ends in %d seconds; want the timeout", i, left)
		}
	}
}
