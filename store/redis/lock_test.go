//go:build redis && linux

package redis

import (
	"errors"
	"testing"

	"cgisession/store"
	"cgisession/store/redis/redistest"
)

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
		if !s.LockedEnded() {
			t.Error("LockedEnded does not know")
		}
		if found, err := whole.Read(handle, store.Peek); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a session came back: %+v, %v", found, err)
		}
	}
}
