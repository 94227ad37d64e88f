//go:build redis && linux

package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"cgisession/store"
	"cgisession/store/redis/redistest"
)

// beforeEach does something before each command that is sent alone.
type beforeEach func(cmd redis.Cmder) error

func (beforeEach) DialHook(next redis.DialHook) redis.DialHook { return next }

func (do beforeEach) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if err := do(cmd); err != nil {
			cmd.SetErr(err)
			return err
		}
		return next(ctx, cmd)
	}
}

func (beforeEach) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// TestCallTime has a server that answers slowly, and one that does not at all. All
// that is done in one call of the program shares the time of one call; and who
// works on many sessions does not wait anew for each.
func TestCallTime(t *testing.T) {
	url := redistest.Start(t).URL()
	for _, tt := range []struct {
		name string
		once bool
		most int64 // requests; in the time of one call there are half as many
		slow func(redis.Cmder) error
	}{
		{"slow", true, 16, func(redis.Cmder) error { time.Sleep(250 * time.Millisecond); return nil }},
		{"silent", false, 28, func(redis.Cmder) error { time.Sleep(150 * time.Millisecond); return io.EOF }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := Open(Config{URL: url, Prefix: "p:", Once: tt.once}, cutOptions)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			var asked atomic.Int64
			s.client.AddHook(beforeEach(func(cmd redis.Cmder) error {
				asked.Add(1)
				return tt.slow(cmd)
			}))
			var last error
			for range 60 {
				_, last = s.Read(store.Handle("a", store.NewID()), store.Peek)
			}
			if !errors.Is(last, store.ErrUnavailable) {
				t.Errorf("the last of 60 reads: %v; want %v", last, store.ErrUnavailable)
			}
			if n := asked.Load(); n > tt.most {
				t.Errorf("60 reads asked %d times; want %d at most", n, tt.most)
			}
		})
	}
}

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

// TestCountAddsUp has a session in each state that the store has: they add up.
func TestCountAddsUp(t *testing.T) {
	server := redistest.Start(t)
	opts := cutOptions
	opts.Timeout, opts.Lifetime = time.Hour, 2*time.Hour
	s := cutStore(t, server.URL(), nil, opts)
	now := time.Now()
	handleOf := func(i int) string { return fmt.Sprintf("%064x", i) }
	at := func(i int) string { return "p:{" + handleOf(i) + "}" }
	session := func(i int, accessed, created time.Duration) {
		server.Do(t, "hset", at(i), "version", "1", "data", "{}", "accessed", strconv.FormatInt(now.Add(-accessed).UnixMilli(), 10),
			"created", strconv.FormatInt(now.Add(-created).Unix(), 10))
	}
	session(1, 0, 0)
	session(2, 90*time.Minute, 90*time.Minute)
	session(3, 0, 3*time.Hour)
	server.Do(t, "hset", at(4), "moved", "x", "until", strconv.FormatInt(now.Add(time.Hour).UnixMilli(), 10))
	server.Do(t, "hset", at(5), "moved", "x", "until", "1")
	server.Do(t, "hset", at(6), "lock", "x")
	server.Do(t, "set", at(7), "x")
	session(8, 0, 0)
	server.Do(t, "hset", at(8), "data", `{"a":"`+strings.Repeat("x", opts.MaxRead())+`"}`)
	session(9, 0, 0)
	server.Do(t, "hset", at(9), "pending", "x", "from", handleOf(1))
	// And what is not listed: no grace, a copy too old or of nothing, the lock on what ended.
	server.Do(t, "hset", at(10), "moved", "x", "until", "0")
	session(11, 2*time.Minute, 0)
	server.Do(t, "hset", at(11), "pending", "x", "from", handleOf(1))
	session(12, 0, 0)
	server.Do(t, "hset", at(12), "pending", "x", "from", handleOf(99))
	server.Do(t, "hset", at(13), "lock", "x", "ended", "1")
	count, err := s.Count()
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range []store.State{store.Live, store.Idle, store.Old, store.Moving, store.Moved, store.Over, store.Unused, store.Corrupt, store.Oversize} {
		if n := count.Files[state]; n != 1 {
			t.Errorf("%d are %s; want 1", n, state)
		}
	}
	if _, told := count.Files[store.Unsafe]; told || len(count.Files) != 9 {
		t.Errorf("states that the store has not: %v", count.Files)
	}
}

// TestMendRace has a session come into being just while the index of users loses
// what leads to no session.
func TestMendRace(t *testing.T) {
	server := redistest.Start(t)
	whole, s := cutStore(t, server.URL(), nil, cutOptions), cutStore(t, server.URL(), nil, cutOptions)
	h, none := store.Handle("a", store.NewID()), store.Handle("b", store.NewID())
	for _, handle := range []string{h, none} {
		if err := whole.addUser("ann", handle); err != nil {
			t.Fatal(err)
		}
	}
	s.client.AddHook(beforeEach(func(cmd redis.Cmder) error {
		if cmd.Name() != "srem" {
			return nil
		}
		_, err := whole.Update(h, true, func(s *store.Session) (store.Outcome, error) {
			s.User = "ann"
			return store.Save, nil
		})
		return err
	}))
	if sum, _ := sweepAll(t, s, store.Sweep{}); !sum.Done {
		t.Fatalf("the sweep: %+v", sum)
	}
	if got := handlesOf(t, whole, "ann"); !slices.Equal(got, []string{h}) {
		t.Errorf("the user has %q; want %q", got, h)
	}
}

func handlesOf(t *testing.T, s *Store, user string) (handles []string) {
	t.Helper()
	err := s.UserHandles(user, func(handle string) error {
		handles = append(handles, handle)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return handles
}

// TestLockLostOnce tells once of a lock that was lost, however often that is found.
func TestLockLostOnce(t *testing.T) {
	server := redistest.Start(t)
	logged, opts := 0, cutOptions
	opts.Log = func(event, _ string) {
		if event == "lock lost" {
			logged++
		}
	}
	s, h := cutStore(t, server.URL(), nil, opts), store.Handle("a", store.NewID())
	if _, err := s.Update(h, true, setTo("{}")); err != nil {
		t.Fatal(err)
	}
	lock, err := s.Hold(h, false)
	if err != nil {
		t.Fatal(err)
	}
	server.Do(t, "hset", "p:{"+h+"}", "leased", "0")
	if _, err := cutStore(t, server.URL(), nil, cutOptions).Update(h, false, setTo(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	_, failed := s.Update(h, false, setTo(`{"b":1}`))
	for _, err := range []error{failed, lock.Lease.Renew(), lock.Lease.Release()} {
		if !errors.Is(err, store.ErrLockLost) {
			t.Errorf("%v; want %v", err, store.ErrLockLost)
		}
	}
	if logged != 1 {
		t.Errorf("logged %d times", logged)
	}
}

// TestStaleCreates has a token of a lock that was lost, of a session that has ended
// since: it brings nothing back, there or elsewhere.
func TestStaleCreates(t *testing.T) {
	url := redistest.Start(t).URL()
	whole, h := cutStore(t, url, nil, cutOptions), store.Handle("a", store.NewID())
	if _, err := whole.Update(h, true, setTo("{}")); err != nil {
		t.Fatal(err)
	}
	opts := cutOptions
	opts.LockToken = randomHex(16) + h
	if err := whole.remove(&store.Session{Handle: h, Version: 1}); err != nil {
		t.Fatal(err)
	}
	for _, handle := range []string{h, store.Handle("b", store.NewID())} {
		s := cutStore(t, url, nil, opts)
		if found, err := s.Update(handle, true, setTo(`{"a":1}`)); !errors.Is(err, store.ErrLockLost) {
			t.Errorf("Update = %+v, %v; want %v", found, err, store.ErrLockLost)
		}
		if _, err := s.Hold(handle, true); !errors.Is(err, store.ErrLockLost) {
			t.Errorf("Hold: %v; want %v", err, store.ErrLockLost)
		}
		found := store.Session{Handle: handle, Data: store.Empty}
		if err := s.save(&found, &store.Session{Handle: handle}, newID(), false); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("save, once more was found out: %v; want %v", err, store.ErrNotFound)
		}
		if !s.LockLost() {
			t.Error("LockLost does not know")
		}
		if found, err := whole.Read(handle, store.Peek); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a session came back: %+v, %v", found, err)
		}
	}
}

// TestFindWhole finds a whole handle without going through all keys.
func TestFindWhole(t *testing.T) {
	server := redistest.Start(t)
	s, h := cutStore(t, server.URL(), nil, cutOptions), store.Handle("a", store.NewID())
	if _, err := s.Find(h); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Find of nothing: %v", err)
	}
	if _, err := s.Update(h, true, setTo("{}")); err != nil {
		t.Fatal(err)
	}
	if found, err := s.Find(h); found != h || err != nil {
		t.Errorf("Find = %s, %v; want %s", found, err, h)
	}
	if n := server.Calls(t)["scan"]; n != 0 {
		t.Errorf("SCAN was called %d times", n)
	}
	if found, err := s.Find(h[:8]); found != h || err != nil {
		t.Errorf("Find of 8 digits = %s, %v; want %s", found, err, h)
	}
}
