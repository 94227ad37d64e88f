//go:build redis && linux

package redis

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"cgisession/store"
	"cgisession/store/redis/redistest"
)

// full makes the server's memory full, or gives it room again.
func full(t *testing.T, server *redistest.Server, is bool) {
	t.Helper()
	server.Do(t, "config", "set", "maxmemory", map[bool]string{true: "1", false: "0"}[is])
}

// TestFullWithinMove has the server become full between the steps of a move: once the
// session is at its new key, the move is made, and the session lasts.
func TestFullWithinMove(t *testing.T) {
	server := redistest.Start(t)
	whole := cutStore(t, server.URL(), nil, cutOptions)
	for name, grace := range map[string]time.Duration{"with a grace": time.Hour, "without": 0} {
		full(t, server, false)
		from, to := store.Handle("a", store.NewID()), store.Handle("b", store.NewID())
		if _, err := whole.Update(from, true, setTo(`{"a":1}`)); err != nil {
			t.Fatal(err)
		}
		s := cutStore(t, server.URL(), nil, cutOptions)
		s.client.AddHook(beforeEach(func(cmd redis.Cmder) error {
			if args := cmd.Args(); len(args) > 1 && args[1] == leaveScript().Hash() {
				full(t, server, true)
			}
			return nil
		}))
		if err := leaveScript().Load(t.Context(), whole.client).Err(); err != nil {
			t.Fatal(err)
		}
		if moved, err := s.Move(from, to, grace, nil); err != nil || moved.Handle != to {
			t.Errorf("%s: Move = %+v, %v", name, moved, err)
		}
		if got := server.Do(t, "pttl", "p:{"+to+"}"); got != "-1" {
			t.Errorf("%s: the session ends in %s ms", name, got)
		}
		if found, err := whole.Read(to, store.Touch); err != nil || string(found.Data) != `{"a":1}` {
			t.Errorf("%s: %+v, %v", name, found, err)
		}
	}
}

// TestFullLock has a lock that was taken while there was room: it is renewed, and
// released. No lock is taken on a session to come, nor in the place of an old id.
func TestFullLock(t *testing.T) {
	server := redistest.Start(t)
	whole, s := cutStore(t, server.URL(), nil, cutOptions), cutStore(t, server.URL(), nil, cutOptions)
	h, old := store.Handle("a", store.NewID()), store.Handle("a", store.NewID())
	for _, handle := range []string{h, old} {
		if _, err := whole.Update(handle, true, setTo("{}")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := whole.Move(old, store.Handle("b", old), 0, nil); err != nil {
		t.Fatal(err)
	}
	lock, err := s.Hold(h, false)
	if err != nil {
		t.Fatal(err)
	}
	full(t, server, true)
	server.Do(t, "pexpire", "p:{"+h+"}", "60000")
	if err := lock.Lease.Renew(); err != nil {
		t.Errorf("Renew: %v", err)
	}
	if err := lock.Lease.Release(); err != nil {
		t.Errorf("Release: %v", err)
	}
	for name, handle := range map[string]string{"to come": store.Handle("a", store.NewID()), "an old id": old} {
		if _, err := cutStore(t, server.URL(), nil, cutOptions).Hold(handle, true); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("Hold of %s: %v; want %v", name, err, store.ErrUnavailable)
		}
		if _, err := whole.Update(handle, true, setTo("{}")); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("a session at %s: %v; want %v", name, err, store.ErrUnavailable)
		}
	}
}

// TestFullTwice sends what ends a session twice, as after an answer that was lost: a
// full server does not refuse that.
func TestFullTwice(t *testing.T) {
	server := redistest.Start(t)
	s := cutStore(t, server.URL(), nil, cutOptions)
	h := store.Handle("a", store.NewID())
	was, err := s.Update(h, true, setTo(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	full(t, server, true)
	for range 2 {
		if err := s.remove(was); err != nil {
			t.Errorf("remove: %v", err)
		}
	}
	if err := s.End(h); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("End: %v", err)
	}
}

// TestFullWipe deletes data on a full server, and stores nothing larger in its place.
func TestFullWipe(t *testing.T) {
	server := redistest.Start(t)
	s := cutStore(t, server.URL(), nil, cutOptions)
	h := store.Handle("a", store.NewID())
	if _, err := s.Update(h, true, setTo(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	full(t, server, true)
	wipe := func(data string) store.Change {
		return func(s *store.Session) (store.Outcome, error) {
			s.Data = store.Data(data)
			return store.Wipe, nil
		}
	}
	if _, err := s.Update(h, false, wipe(`{"a":12}`)); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Wipe that leaves more: %v; want %v", err, store.ErrUnavailable)
	}
	for range 2 {
		if found, err := s.Update(h, false, wipe("{}")); err != nil || string(found.Data) != "{}" {
			t.Errorf("Wipe: %+v, %v", found, err)
		}
	}
	if found, err := s.Read(h, store.Peek); err != nil || string(found.Data) != "{}" || found.Version != 3 {
		t.Errorf("then: %+v, %v", found, err)
	}
}
