//go:build redis && linux

package redis

import (
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"

	"cgisession/store"
	"cgisession/store/redis/redistest"
)

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
	err := s.UserHandles(user, "", func(handle string) error {
		handles = append(handles, handle)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return handles
}
