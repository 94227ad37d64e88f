// Package storetest is the conformance suite: it tests that a store keeps what the
// contract in package store promises. A back end runs it from a test of its own:
//
//	storetest.Run(t, storetest.Setup{Open: ..., Age: ...})
//
// Run lists the tests by name, and the files hold them by concern:
//
//	changes.go    what Read and Update return and store
//	limits.go     Timeout, Lifetime, and sessions larger than MaxSize
//	moves.go      Move, and old handles in their grace
//	oldkeys.go    the keys of old ids
//	live.go       Live and End
//	locks.go      Hold, and what the lock keeps others from
//	operators.go  what operators see
//	users.go      users, under one cookie name or all, and notes
//	races.go      several goroutines and stores on one session
package storetest

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"cgisession/store"
)

// A Setup is how the suite gets at the store under test.
type Setup struct {
	// Open opens a store. All stores of one Setup hold the same sessions.
	Open func(t *testing.T, opts store.Options) store.Backend

	// Age makes the session look as if it was last accessed idle ago and
	// created age ago. It may increase the version.
	Age func(t *testing.T, handle string, idle, age time.Duration)

	// ForgetUser has the index of users lead to none of the user's sessions.
	ForgetUser func(t *testing.T, user string)
}

const (
	// maxSize is the MaxSize of the suite's stores, in bytes of data.
	maxSize = 1000

	// patience bounds waiting for what should happen soon. Past it the test fails.
	patience = 2 * time.Minute

	// never is a grace that does not end during the test.
	never = 24 * time.Hour
)

var everyReading = map[string]store.Reading{"Touch": store.Touch, "Peek": store.Peek, "Snapshot": store.Snapshot}

// Run runs the suite. Each test makes sessions of its own, so other sessions may
// be there before.
func Run(t *testing.T, b Setup) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, suite)
	}{
		// changes.go
		{"Absence", absence},
		{"Create", create},
		{"CreateAbandoned", createAbandoned},
		{"Outcomes", outcomes},
		{"OutcomesOfNew", outcomesOfNew},
		{"FailedChange", failedChange},
		{"DataKeepsText", dataKeepsText},
		{"Accessed", accessed},
		{"Created", created},
		// limits.go
		{"Timeout", timeout},
		{"Lifetime", lifetime},
		{"FutureTimes", futureTimes},
		{"MaxSize", maxSizes},
		{"MaxSizeLowered", maxSizeLowered},
		{"Oversize", oversize},
		// moves.go
		{"Move", move},
		{"MoveChange", moveChange},
		{"MoveToTaken", moveToTaken},
		{"MoveOfExpired", moveOfExpired},
		{"Grace", grace},
		{"GraceChain", graceChain},
		{"GraceEnds", graceEnds},
		{"GraceThenNone", graceThenNone},
		{"GraceRemove", graceRemove},
		{"RemoveChain", removeChain},
		{"RemoveOld", removeOld},
		// oldkeys.go
		{"OldKeys", oldKeys},
		{"OldKeysEnd", oldKeysEnd},
		// live.go
		{"Live", live},
		{"End", end},
		// locks.go
		{"Locked", locked},
		{"Held", held},
		{"HeldThrough", heldThrough},
		{"HeldToCome", heldToCome},
		{"HeldElsewhere", heldElsewhere},
		{"CheckLock", checkLock},
		{"Descriptors", descriptors},
		{"LiveOfHeld", liveOfHeld},
		{"EndOfHeld", endOfHeld},
		// operators.go
		{"Listed", listed},
		{"ListedUsers", listedUsers},
		{"Swept", swept},
		{"Watched", watched},
		{"Examined", examined},
		{"UsersMended", usersMended},
		// users.go
		{"UsersByName", usersByName},
		{"UsersUnnamed", usersUnnamed},
		{"UsersOversize", usersOversize},
		{"Notes", notes},
		// races.go
		{"ChangedMeanwhile", changedMeanwhile},
		{"Counter", counter},
		{"CounterOfMoving", counterOfMoving},
		{"MoversAtOnce", moversAtOnce},
		{"MoversToOne", moversToOne},
		{"CreateRace", createRace},
		{"CreateRaceOfFailing", createRaceOfFailing},
		{"SnapshotsOfWriter", snapshotsOfWriter},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(t, suite{b.Open(t, store.Options{MaxSize: maxSize, LockTimeout: patience}), b})
		})
	}
}

// A suite is a store that waits for locks, and the setup to open others.
type suite struct {
	store.Backend
	Setup
}

// handle returns the handle of a new random id.
func handle() string { return store.Handle("storetest", store.NewID()) }

// set returns a change that stores data.
func set(data string) store.Change {
	return func(s *store.Session) (store.Outcome, error) {
		s.Data = store.Data(data)
		return store.Save, nil
	}
}

// only returns a change with this outcome that leaves the data alone.
func only(outcome store.Outcome) store.Change {
	return func(*store.Session) (store.Outcome, error) { return outcome, nil }
}

// mustNotBeCalled returns a change that fails the test when it is called.
func mustNotBeCalled(t *testing.T) store.Change {
	return func(s *store.Session) (store.Outcome, error) {
		t.Errorf("change was called with %+v", s)
		return store.Keep, nil
	}
}

// begin creates a session with data and returns its handle.
func (b suite) begin(t *testing.T, data string) string {
	t.Helper()
	h := handle()
	s, err := b.Update(h, true, set(data))
	if err != nil {
		t.Fatal(err)
	}
	if s.Version != 1 || s.Handle != h {
		t.Fatalf("created as version %d of %s; want 1 of %s", s.Version, s.Handle, h)
	}
	return h
}

// holds checks that the session has this version and data.
func (b suite) holds(t *testing.T, h string, version uint64, data string) *store.Session {
	t.Helper()
	s, err := b.Read(h, store.Peek)
	if err != nil {
		t.Fatalf("want version %d: %v", version, err)
	}
	if s.Version != version || string(s.Data) != data {
		t.Fatalf("holds version %d %s; want %d %s", s.Version, s.Data, version, data)
	}
	return s
}

// gone checks that no method finds a session at the handle, and that none is made.
func (b suite) gone(t *testing.T, h string) {
	t.Helper()
	check := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("%s: %v; want %v", what, err, store.ErrNotFound)
		}
	}
	for range 2 {
		for name, how := range everyReading {
			_, err := b.Read(h, how)
			check(name, err)
		}
		_, err := b.Update(h, false, mustNotBeCalled(t))
		check("Update", err)
		for _, grace := range []time.Duration{0, never, math.MaxInt64} {
			to := handle()
			_, err = b.Move(h, to, grace, nil)
			check("Move", err)
			_, err = b.Read(to, store.Peek)
			check("the target of Move", err)
		}
	}
}

// sized returns n bytes of data.
func sized(n int) string { return `{"a":"` + strings.Repeat("x", n-8) + `"}` }

// about reports whether at is d ago, up to the time that a test may take.
func about(at time.Time, d time.Duration) bool {
	return (time.Since(at) - d).Abs() < 5*time.Minute
}
