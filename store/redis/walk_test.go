//go:build redis && linux

package redis

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"cgisession/store"
	"cgisession/store/redis/redistest"
)

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
	for _, deep := range []bool{false, true} {
		checkOneOfEach(t, s, deep)
	}
	// Damage in the data is found by reading them.
	server.Do(t, "hset", at(1), "data", "{]")
	if c, err := s.Count(false); err != nil || c.Deep || c.Files[store.Live] != 1 || c.Files[store.Corrupt] != 1 {
		t.Errorf("by fields: %+v, %v", c, err)
	}
	if c, err := s.Count(true); err != nil || !c.Deep || c.Files[store.Live] != 0 || c.Files[store.Corrupt] != 2 {
		t.Errorf("by reading: %+v, %v", c, err)
	}
}

func checkOneOfEach(t *testing.T, s *Store, deep bool) {
	t.Helper()
	count, err := s.Count(deep)
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
