package cmd

import (
	"testing"

	"cgisession/store"
)

// A session that another process removes as soon as it is created is gone, and no
// other one is created for it.
func TestRemovedAtOnce(t *testing.T) {
	calls := 0
	_, err := new(call).begin(newClaim(), policy{create: createMissing}, false, func(_ claim, create bool) (*result, error) {
		if calls++; !create {
			t.Error("the session may not be created")
		}
		return nil, store.ErrNotFound
	})
	if err != errGone || calls != 1 {
		t.Errorf("%v after %d calls of the store, want %v after 1", err, calls, errGone)
	}
}

// The locked session may end while a step runs. Then load, which creates a session in
// place of one that is gone, does not do so under a name of the script's, nor under
// another id than the script wanted.
func TestSuccessorOfGone(t *testing.T) {
	for _, row := range []struct {
		origin origin
		want   error
	}{
		{originNone, nil},
		{originClient, nil},
		{originAdopted, errGone},
		{originRequest, nil},
		{originLazy, nil},
	} {
		who := claim{id: "an-id-from-before", origin: row.origin}
		c := call{store: endedLock{}}
		next, err := policy{create: createAnother}.successor(who, c.rule(who))
		if err != row.want || err == nil && next.origin != originFresh {
			t.Errorf("origin %d: %+v, %v; want %v", row.origin, next, err, row.want)
		}
	}
}

// endedLock is a store whose locked session has ended.
type endedLock struct{ store.Backend }

func (endedLock) LockedEnded() bool { return true }
