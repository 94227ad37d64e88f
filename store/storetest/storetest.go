// Package storetest tests any store.Backend for what its contract
// promises.
package storetest

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cgisession/store"
)

// A Setup is what the suite has to know of a back end.
type Setup struct {
	// Open opens a store. All stores of one Setup hold the same sessions.
	Open func(t *testing.T, opts store.Options) store.Backend

	// Age makes the session look as if the last access to it was idle ago
	// and its creation age ago. It may count up the version.
	Age func(t *testing.T, handle string, idle, age time.Duration)
}

const (
	// maxSize is what the suite's stores take, in bytes of data.
	maxSize = 1000

	// patience bounds what ought to come about soon, and fails the test.
	patience = 30 * time.Second

	never = 24 * time.Hour
)

var everyReading = map[string]store.Reading{"Touch": store.Touch, "Peek": store.Peek, "Snapshot": store.Snapshot}

// Run tests the back end. Each test has sessions of its own, so that what a
// back end held before does not matter.
func Run(t *testing.T, b Setup) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, suite)
	}{
		{"Absence", absence},
		{"Create", create},
		{"CreateAbandoned", createAbandoned},
		{"Outcomes", outcomes},
		{"OutcomesOfNew", outcomesOfNew},
		{"FailedChange", failedChange},
		{"DataKeepsText", dataKeepsText},
		{"MaxSize", maxSizes},
		{"MaxSizeLowered", maxSizeLowered},
		{"Oversize", oversize},
		{"Listed", listed},
		{"ListedUsers", listedUsers},
		{"Accessed", accessed},
		{"Created", created},
		{"Timeout", timeout},
		{"Lifetime", lifetime},
		{"FutureTimes", futureTimes},
		{"Move", move},
		{"MoveChange", moveChange},
		{"MoveOfExpired", moveOfExpired},
		{"Grace", grace},
		{"GraceChain", graceChain},
		{"GraceEnds", graceEnds},
		{"GraceThenNone", graceThenNone},
		{"GraceRemove", graceRemove},
		{"MoversAtOnce", moversAtOnce},
		{"OldKeys", oldKeys},
		{"OldKeysEnd", oldKeysEnd},
		{"Locked", locked},
		{"ChangedMeanwhile", changedMeanwhile},
		{"Held", held},
		{"HeldThrough", heldThrough},
		{"HeldToCome", heldToCome},
		{"Live", live},
		{"LiveOfHeld", liveOfHeld},
		{"End", end},
		{"EndOfHeld", endOfHeld},
		{"Counter", counter},
		{"CounterOfMoving", counterOfMoving},
		{"CreateRace", createRace},
		{"CreateRaceOfFailing", createRaceOfFailing},
		{"SnapshotsOfWriter", snapshotsOfWriter},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(t, suite{b.Open(t, store.Options{MaxSize: maxSize, LockTimeout: patience}), b})
		})
	}
}

// A suite is a store that waits for locks, and how to open others.
type suite struct {
	store.Backend
	Setup
}

func handle() string { return store.Handle("storetest", store.NewID()) }

// set is a change that stores data.
func set(data string) store.Change {
	return func(s *store.Session) (store.Outcome, error) {
		s.Data = store.Data(data)
		return store.Save, nil
	}
}

// only is a change that comes out as outcome and leaves the data alone.
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

// gone checks that every method finds no session, and makes none.
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
			check("what Move had to make", err)
		}
	}
}

func absence(t *testing.T, b suite) { b.gone(t, handle()) }

func create(t *testing.T, b suite) {
	h := handle()
	before := time.Now()
	s, err := b.Update(h, true, func(s *store.Session) (store.Outcome, error) {
		if s.Handle != h || s.Version != 0 || string(s.Data) != "{}" {
			t.Errorf("a new session is %+v", s)
		}
		if s.Created < before.Unix() || s.Created > time.Now().Unix() {
			t.Errorf("created at %d; it is %d", s.Created, time.Now().Unix())
		}
		s.Data = store.Data(`{"a":1}`)
		return store.Save, nil
	})
	if err != nil || s.Handle != h || s.Version != 1 || string(s.Data) != `{"a":1}` {
		t.Fatalf("Update = %+v, %v", s, err)
	}
	b.holds(t, h, 1, `{"a":1}`)
	_, err = b.Update(h, true, func(s *store.Session) (store.Outcome, error) {
		if s.Version != 1 || string(s.Data) != `{"a":1}` {
			t.Errorf("Update with create shows %+v of a session that is there", s)
		}
		return store.Keep, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// createAbandoned has new sessions that nothing is stored in.
func createAbandoned(t *testing.T, b suite) {
	failed := errors.New("failed")
	for name, change := range map[string]store.Change{
		"Keep":   only(store.Keep),
		"Remove": only(store.Remove),
		"error":  func(*store.Session) (store.Outcome, error) { return store.Save, failed },
	} {
		h := handle()
		s, err := b.Update(h, true, change)
		if name == "error" && !errors.Is(err, failed) || name != "error" && (err != nil || s.Version != 0) {
			t.Errorf("%s: Update = %+v, %v", name, s, err)
		}
		b.gone(t, h)
		if s, err := b.Update(h, true, set(`{}`)); err != nil || s.Version != 1 {
			t.Errorf("%s, then Save: %+v, %v", name, s, err)
		}
	}
}

func outcomes(t *testing.T, b suite) {
	for _, tt := range []struct {
		outcome store.Outcome
		version uint64
		data    string
	}{
		{store.Keep, 2, `{"a":2}`},
		{store.Save, 3, `{"a":3}`},
		{store.Wipe, 3, `{"a":3}`},
	} {
		h := b.begin(t, `{"a":1}`)
		if _, err := b.Update(h, false, set(`{"a":2}`)); err != nil {
			t.Fatal(err)
		}
		s, err := b.Update(h, false, func(s *store.Session) (store.Outcome, error) {
			if s.Version != 2 || string(s.Data) != `{"a":2}` {
				t.Errorf("change is shown %+v", s)
			}
			s.Data = store.Data(`{"a":3}`)
			return tt.outcome, nil
		})
		if err != nil || s.Version != tt.version {
			t.Fatalf("outcome %d: %+v, %v; want version %d", tt.outcome, s, err, tt.version)
		}
		b.holds(t, h, tt.version, tt.data)
		// And again, in each of the places that a back end may use in turn.
		for i := range uint64(5) {
			if s, err := b.Update(h, false, set(`{"a":4}`)); err != nil || s.Version != tt.version+i+1 {
				t.Fatalf("then Save: %+v, %v", s, err)
			}
			b.holds(t, h, tt.version+i+1, `{"a":4}`)
		}
		if _, err := b.Update(h, false, only(store.Remove)); err != nil {
			t.Fatal(err)
		}
		b.gone(t, h)
		if s, err := b.Update(h, true, set(`{}`)); err != nil || s.Version != 1 {
			t.Fatalf("created again: %+v, %v; want version 1", s, err)
		}
	}
}

func outcomesOfNew(t *testing.T, b suite) {
	h := handle()
	s, err := b.Update(h, true, func(s *store.Session) (store.Outcome, error) {
		s.Data = store.Data(`{"a":1}`)
		return store.Wipe, nil
	})
	if err != nil || s.Version != 1 {
		t.Fatalf("Wipe of a new session: %+v, %v", s, err)
	}
	b.holds(t, h, 1, `{"a":1}`)
}

func failedChange(t *testing.T, b suite) {
	h := b.begin(t, `{"a":1}`)
	b.Age(t, h, time.Hour, 2*time.Hour)
	was, err := b.Read(h, store.Peek)
	if err != nil {
		t.Fatal(err)
	}
	failed := errors.New("failed")
	for _, create := range []bool{false, true} {
		for _, outcome := range []store.Outcome{store.Keep, store.Save, store.Wipe, store.Remove} {
			_, err := b.Update(h, create, func(s *store.Session) (store.Outcome, error) {
				s.Data = store.Data(`{"a":2}`)
				return outcome, fmt.Errorf("wrapped: %w", failed)
			})
			if !errors.Is(err, failed) {
				t.Errorf("outcome %d: %v; want %v", outcome, err, failed)
			}
			if s := b.holds(t, h, was.Version, `{"a":1}`); !s.Accessed.Equal(was.Accessed) {
				t.Errorf("outcome %d with an error marked the access", outcome)
			}
		}
	}
}

func dataKeepsText(t *testing.T, b suite) {
	for _, data := range []string{
		`{}`,
		`{"n":[9007199254740993,1e400,0.10,-0,1E+05]}`,
		`{"\u0061\/":"\u00e9 \ud83d\ude00 é < > & \u2028 \" \\ \n"}`,
		`{"crc":"00000000","version":99,"data":{},"moved":"x"}`,
		`{"":{"":[[[]]]},"%s%d":"{\"crc\":\"e300ce95\"}"}`,
	} {
		h := b.begin(t, data)
		b.holds(t, h, 1, data)
		for _, reading := range everyReading {
			if s, err := b.Read(h, reading); err != nil || string(s.Data) != data {
				t.Errorf("Read = %+v, %v; want %s", s, err, data)
			}
		}
	}
}

// sized returns n bytes of data.
func sized(n int) string { return `{"a":"` + strings.Repeat("x", n-8) + `"}` }

func maxSizes(t *testing.T, b suite) {
	h := b.begin(t, sized(maxSize))
	b.holds(t, h, 1, sized(maxSize))
	for _, outcome := range []store.Outcome{store.Save, store.Wipe} {
		_, err := b.Update(h, false, func(s *store.Session) (store.Outcome, error) {
			s.Data = store.Data(sized(maxSize + 1))
			return outcome, nil
		})
		if !errors.Is(err, store.ErrTooLarge) {
			t.Errorf("one byte more: %v; want %v", err, store.ErrTooLarge)
		}
		b.holds(t, h, 1, sized(maxSize))
	}
	// As a shorter and a longer neighbour of what was stored before.
	for version := uint64(2); version < 10; version++ {
		data := sized(maxSize - int(version%3)*400)
		if _, err := b.Update(h, false, set(data)); err != nil {
			t.Fatal(err)
		}
		b.holds(t, h, version, data)
	}
	h = handle()
	if _, err := b.Update(h, true, set(sized(maxSize+1))); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("a new session one byte too large: %v; want %v", err, store.ErrTooLarge)
	}
	b.gone(t, h)
}

// about reports whether at is d ago, give or take what a test may last.
func about(at time.Time, d time.Duration) bool {
	return (time.Since(at) - d).Abs() < 5*time.Minute
}

func accessed(t *testing.T, b suite) {
	h := b.begin(t, `{}`)
	to := handle()
	for _, tt := range []struct {
		name  string
		marks bool
		do    func() (*store.Session, error)
	}{
		{"Peek", false, func() (*store.Session, error) { return b.Read(h, store.Peek) }},
		{"Snapshot", false, func() (*store.Session, error) { return b.Read(h, store.Snapshot) }},
		{"Touch", true, func() (*store.Session, error) { return b.Read(h, store.Touch) }},
		{"Keep", true, func() (*store.Session, error) { return b.Update(h, false, only(store.Keep)) }},
		{"Save", true, func() (*store.Session, error) { return b.Update(h, false, only(store.Save)) }},
		{"Wipe", true, func() (*store.Session, error) { return b.Update(h, false, only(store.Wipe)) }},
		{"Move", true, func() (*store.Session, error) { defer func() { h = to }(); return b.Move(h, to, 0, nil) }},
	} {
		b.Age(t, h, time.Hour, 2*time.Hour)
		was, err := b.Read(h, store.Peek)
		if err != nil || !about(was.Accessed, time.Hour) {
			t.Fatalf("aged by an hour: %+v, %v", was, err)
		}
		s, err := tt.do()
		if err != nil || !s.Accessed.Equal(was.Accessed) {
			t.Errorf("%s returns access %v, %v; want the one before, %v", tt.name, s.Accessed, err, was.Accessed)
		}
		now, err := b.Read(h, store.Peek)
		if err != nil {
			t.Fatal(err)
		}
		if tt.marks && !about(now.Accessed, 0) || !tt.marks && !now.Accessed.Equal(was.Accessed) {
			t.Errorf("%s: accessed %v, then %v", tt.name, was.Accessed, now.Accessed)
		}
	}
}

func created(t *testing.T, b suite) {
	h := b.begin(t, `{}`)
	b.Age(t, h, time.Hour, 2*time.Hour)
	was, err := b.Read(h, store.Peek)
	if err != nil || !about(time.Unix(was.Created, 0), 2*time.Hour) {
		t.Fatalf("aged by two hours: %+v, %v", was, err)
	}
	to := handle()
	for name, do := range map[string]func() (*store.Session, error){
		"Touch": func() (*store.Session, error) { return b.Read(h, store.Touch) },
		"Keep":  func() (*store.Session, error) { return b.Update(h, true, only(store.Keep)) },
		"Save":  func() (*store.Session, error) { return b.Update(h, true, only(store.Save)) },
		"Wipe":  func() (*store.Session, error) { return b.Update(h, true, only(store.Wipe)) },
	} {
		if s, err := do(); err != nil || s.Created != was.Created {
			t.Errorf("%s: created %d, %v; want %d", name, s.Created, err, was.Created)
		}
	}
	if s, err := b.Move(h, to, 0, nil); err != nil || s.Created != was.Created {
		t.Errorf("Move: created %d, %v; want %d", s.Created, err, was.Created)
	}
	if s, err := b.Read(to, store.Peek); err != nil || s.Created != was.Created {
		t.Errorf("then: created %d, %v; want %d", s.Created, err, was.Created)
	}
}

func timeout(t *testing.T, b suite) {
	expiry(t, b, store.Options{MaxSize: maxSize, LockTimeout: patience, Timeout: time.Hour},
		func(h string, d time.Duration) { b.Age(t, h, d, d) })
}

func lifetime(t *testing.T, b suite) {
	expiry(t, b, store.Options{MaxSize: maxSize, LockTimeout: patience, Lifetime: time.Hour},
		func(h string, d time.Duration) { b.Age(t, h, 0, d) })
}

// expiry has a limit of an hour, which age brings a session to.
func expiry(t *testing.T, b suite, opts store.Options, age func(h string, d time.Duration)) {
	limited := suite{b.Open(t, opts), b.Setup}
	h := b.begin(t, `{"a":1}`)
	age(h, 50*time.Minute)
	for name, how := range map[string]store.Reading{"Peek": store.Peek, "Snapshot": store.Snapshot} {
		if _, err := limited.Read(h, how); err != nil {
			t.Errorf("%s within the limit: %v", name, err)
		}
	}
	for range 2 { // the first access does not count for Lifetime
		if _, err := limited.Update(h, false, only(store.Keep)); err != nil {
			t.Errorf("Update within the limit: %v", err)
		}
	}

	for name, end := range map[string]func(h string) error{
		"Update": func(h string) error { _, err := limited.Update(h, false, mustNotBeCalled(t)); return err },
		"create": func(h string) error { _, err := limited.Update(h, true, mustNotBeCalled(t)); return err },
		"Move": func(h string) error {
			to := handle()
			_, err := limited.Move(h, to, 0, nil)
			b.gone(t, to)
			return err
		},
		"Move with grace": func(h string) error {
			to := handle()
			_, err := limited.Move(h, to, never, nil)
			b.gone(t, to)
			return err
		},
	} {
		h := b.begin(t, `{"a":1}`)
		age(h, 70*time.Minute)
		for reading, how := range everyReading {
			if s, err := limited.Read(h, how); !errors.Is(err, store.ErrInvalidated) {
				t.Fatalf("%s past the limit: %+v, %v; want %v", reading, s, err, store.ErrInvalidated)
			}
		}
		if _, err := b.Read(h, store.Peek); err != nil {
			t.Errorf("Read of one past its limit has not left it: %v", err)
		}
		if err := end(h); !errors.Is(err, store.ErrInvalidated) {
			t.Errorf("%s past the limit: %v; want %v", name, err, store.ErrInvalidated)
		}
		b.gone(t, h)
		if s, err := limited.Update(h, true, set(`{}`)); err != nil || s.Version != 1 {
			t.Errorf("created after %s past the limit: %+v, %v", name, s, err)
		}
	}
}

// futureTimes has a session whose times are ahead of the clock: they count as
// now, but the first change stores no such creation.
func futureTimes(t *testing.T, b suite) {
	opts := store.Options{MaxSize: maxSize, LockTimeout: patience, Timeout: time.Hour, Lifetime: time.Hour}
	limited := suite{b.Open(t, opts), b.Setup}
	h := b.begin(t, `{"a":1}`)
	b.Age(t, h, -2*time.Hour, 0)
	for name, how := range map[string]store.Reading{"Peek": store.Peek, "Snapshot": store.Snapshot, "Touch": store.Touch} {
		if _, err := limited.Read(h, how); err != nil {
			t.Errorf("%s of a session with times in the future: %v", name, err)
		}
	}
	if s, err := limited.Read(h, store.Peek); err != nil || !about(s.Accessed, 0) {
		t.Errorf("accessed %v, %v; want now", s.Accessed, err)
	}
}

func move(t *testing.T, b suite) {
	h, to := b.begin(t, `{"a":1}`), handle()
	s, err := b.Move(h, to, 0, nil)
	if err != nil || s.Handle != to || s.Version != 1 || string(s.Data) != `{"a":1}` {
		t.Fatalf("Move = %+v, %v", s, err)
	}
	b.gone(t, h)
	if s := b.holds(t, to, 1, `{"a":1}`); s.Handle != to {
		t.Errorf("handle %s; want %s", s.Handle, to)
	}
	if s, err := b.Update(to, false, set(`{"a":2}`)); err != nil || s.Version != 2 || s.Handle != to {
		t.Fatalf("Update after Move = %+v, %v", s, err)
	}
	// The old handle is free, and what is made there is another session.
	if s, err := b.Update(h, true, set(`{"b":1}`)); err != nil || s.Version != 1 || s.Handle != h {
		t.Fatalf("created at the old handle: %+v, %v", s, err)
	}
	b.holds(t, to, 2, `{"a":2}`)
}

// moveChange changes a session in the same step.
func moveChange(t *testing.T, b suite) {
	failed := errors.New("failed")
	for _, grace := range []time.Duration{0, never, math.MaxInt64} {
		for _, tt := range []struct {
			outcome store.Outcome
			data    string
			err     error
			version uint64
		}{
			{store.Keep, `{"a":2}`, nil, 0},
			{store.Save, `{"a":2}`, nil, 1},
			{store.Wipe, `{"a":2}`, nil, 1},
			{store.Save, `{"a":2}`, failed, 0},
			{store.Save, sized(maxSize + 1), store.ErrTooLarge, 0},
		} {
			h, to := b.begin(t, `{"a":1}`), handle()
			b.Age(t, h, time.Hour, time.Hour)
			was, err := b.Read(h, store.Peek)
			if err != nil {
				t.Fatal(err)
			}
			s, err := b.Move(h, to, grace, func(s *store.Session) (store.Outcome, error) {
				if s.Version != was.Version || string(s.Data) != `{"a":1}` {
					t.Errorf("change is shown %+v", s)
				}
				s.Data = store.Data(tt.data)
				if tt.err == failed {
					return tt.outcome, failed
				}
				return tt.outcome, nil
			})
			if !errors.Is(err, tt.err) {
				t.Fatalf("outcome %d: %v; want %v", tt.outcome, err, tt.err)
			}
			if tt.err != nil {
				b.gone(t, to)
				if s := b.holds(t, h, was.Version, `{"a":1}`); tt.err == failed && !s.Accessed.Equal(was.Accessed) {
					t.Error("a move that failed marked the access")
				}
				continue
			}
			data := tt.data
			if tt.outcome == store.Keep {
				data = `{"a":1}`
			}
			if s.Handle != to || s.Version != was.Version+tt.version || !s.Accessed.Equal(was.Accessed) {
				t.Errorf("outcome %d: %+v; want version %d", tt.outcome, s, was.Version+tt.version)
			}
			b.holds(t, to, was.Version+tt.version, data)
			if grace == 0 {
				b.gone(t, h)
			} else {
				b.holds(t, h, was.Version+tt.version, data)
			}
		}
	}
}

func moveOfExpired(t *testing.T, b suite) {
	limited := b.Open(t, store.Options{MaxSize: maxSize, LockTimeout: patience, Timeout: time.Hour})
	h, to := b.begin(t, `{"a":1}`), handle()
	b.Age(t, h, 50*time.Minute, 50*time.Minute)
	if _, err := limited.Move(h, to, never, nil); err != nil {
		t.Fatal(err)
	}
	b.Age(t, to, 70*time.Minute, 70*time.Minute)
	if _, err := limited.Read(h, store.Peek); !errors.Is(err, store.ErrInvalidated) {
		t.Errorf("expired during grace, by the old handle: %v; want %v", err, store.ErrInvalidated)
	}
	if _, err := limited.Update(h, false, mustNotBeCalled(t)); !errors.Is(err, store.ErrInvalidated) {
		t.Errorf("expired during grace, by the old handle: %v; want %v", err, store.ErrInvalidated)
	}
	b.gone(t, to)
	b.gone(t, h)
}

func grace(t *testing.T, b suite) {
	h, to := b.begin(t, `{"a":1}`), handle()
	s, err := b.Move(h, to, never, nil)
	if err != nil || s.Handle != to || s.Version != 1 || string(s.Data) != `{"a":1}` {
		t.Fatalf("Move = %+v, %v", s, err)
	}
	version := uint64(1)
	for range 3 {
		for _, via := range []string{h, to} {
			for name, how := range everyReading {
				s, err := b.Read(via, how)
				if err != nil || s.Handle != to || s.Version != version {
					t.Fatalf("%s = %+v, %v; want version %d of %s", name, s, err, version, to)
				}
			}
			version++
			data := fmt.Sprintf(`{"a":%d}`, version)
			s, err := b.Update(via, via == h, set(data))
			if err != nil || s.Handle != to || s.Version != version {
				t.Fatalf("Update = %+v, %v; want version %d of %s", s, err, version, to)
			}
			b.holds(t, to, version, data)
		}
	}
}

// graceChain moves a session on and on. All its handles lead to it, and only by
// the last can it be moved.
func graceChain(t *testing.T, b suite) {
	handles := []string{b.begin(t, `{"a":1}`)}
	version := uint64(1)
	for i := range 6 {
		from, to := handles[i], handle()
		for _, old := range handles[:i] {
			if s, err := b.Move(old, to, never*time.Duration(i%2), mustNotBeCalled(t)); !errors.Is(err, store.ErrMoved) {
				t.Fatalf("move %d by an old handle: %+v, %v; want %v", i, s, err, store.ErrMoved)
			}
		}
		b.gone(t, to)
		if s, err := b.Move(from, to, never, nil); err != nil || s.Handle != to {
			t.Fatalf("move %d: %+v, %v; want %s", i, s, err, to)
		}
		handles = append(handles, to)
		for _, h := range handles {
			version++
			data := fmt.Sprintf(`{"a":%d}`, version)
			if s, err := b.Update(h, false, set(data)); err != nil || s.Handle != to || s.Version != version {
				t.Fatalf("after move %d: %+v, %v; want version %d of %s", i, s, err, version, to)
			}
			if s, err := b.Read(h, store.Snapshot); err != nil || s.Handle != to || string(s.Data) != data {
				t.Fatalf("after move %d: %+v, %v; want %s", i, s, err, data)
			}
		}
	}
}

// graceEnds has the shortest grace there is: the old handle works for at least
// as long, and not for good; then it is free.
func graceEnds(t *testing.T, b suite) {
	const grace = time.Second
	h, to := b.begin(t, `{"a":1}`), handle()
	moving := time.Now()
	if _, err := b.Move(h, to, grace, nil); err != nil {
		t.Fatal(err)
	}
	for {
		s, err := b.Read(h, store.Peek)
		elapsed := time.Since(moving)
		if errors.Is(err, store.ErrNotFound) {
			if elapsed < grace {
				t.Errorf("the old handle ended after %v; want %v at least", elapsed, grace)
			}
			break
		}
		if err != nil || s.Handle != to {
			t.Fatalf("during grace: %+v, %v", s, err)
		}
		if elapsed > patience {
			t.Fatalf("the old handle still works %v after a grace of %v", elapsed, grace)
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.gone(t, h)
	b.holds(t, to, 1, `{"a":1}`)
	if s, err := b.Update(h, true, set(`{"b":1}`)); err != nil || s.Version != 1 || s.Handle != h {
		t.Errorf("created at the old handle after grace: %+v, %v", s, err)
	}
	b.holds(t, h, 1, `{"b":1}`)
	b.holds(t, to, 1, `{"a":1}`)
}

// graceThenNone ends a grace early: once the session moved without, no old
// handle leads to it.
func graceThenNone(t *testing.T, b suite) {
	first, second, third := b.begin(t, `{"a":1}`), handle(), handle()
	if _, err := b.Move(first, second, never, nil); err != nil {
		t.Fatal(err)
	}
	if s, err := b.Move(second, third, 0, nil); err != nil || s.Handle != third {
		t.Fatalf("Move = %+v, %v", s, err)
	}
	b.holds(t, third, 1, `{"a":1}`)
	b.gone(t, first)
	b.gone(t, second)
}

func graceRemove(t *testing.T, b suite) {
	for _, byOld := range []bool{true, false} {
		h, to := b.begin(t, `{"a":1}`), handle()
		if _, err := b.Move(h, to, never, nil); err != nil {
			t.Fatal(err)
		}
		via := to
		if byOld {
			via = h
		}
		if _, err := b.Update(via, false, only(store.Remove)); err != nil {
			t.Fatal(err)
		}
		b.gone(t, h)
		b.gone(t, to)
		// Who may create by the old handle does not bring the new one back.
		if s, err := b.Update(h, true, set(`{}`)); err == nil && s.Handle != h {
			t.Errorf("created %+v", s)
		}
		b.gone(t, to)
	}
}

// locked looks at a session from within a change of it.
func locked(t *testing.T, b suite) {
	if b.Repeats() {
		t.Skip("a change is made without the lock; Held is about locks that stay")
	}
	impatient := b.Open(t, store.Options{MaxSize: maxSize})
	h := b.begin(t, `{"a":1}`)
	b.Age(t, h, time.Hour, time.Hour)
	was, err := b.Read(h, store.Peek)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Update(h, false, func(s *store.Session) (store.Outcome, error) {
		to := handle()
		for name, try := range map[string]func() (*store.Session, error){
			"Peek":            func() (*store.Session, error) { return impatient.Read(h, store.Peek) },
			"Touch":           func() (*store.Session, error) { return impatient.Read(h, store.Touch) },
			"Update":          func() (*store.Session, error) { return impatient.Update(h, true, mustNotBeCalled(t)) },
			"Move":            func() (*store.Session, error) { return impatient.Move(h, to, 0, nil) },
			"Move with grace": func() (*store.Session, error) { return impatient.Move(h, to, never, nil) },
		} {
			if s, err := try(); !errors.Is(err, store.ErrLocked) {
				t.Errorf("%s of a locked session = %+v, %v; want %v", name, s, err, store.ErrLocked)
			}
		}
		snapshot, err := impatient.Read(h, store.Snapshot)
		if err != nil || snapshot.Version != was.Version || !snapshot.Accessed.Equal(was.Accessed) {
			t.Errorf("Snapshot of a locked session = %+v, %v; want %+v", snapshot, err, was)
		}
		b.gone(t, to)
		s.Data = store.Data(`{"a":2}`)
		return store.Save, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.holds(t, h, was.Version+1, `{"a":2}`)
	if _, err := impatient.Update(h, false, only(store.Keep)); err != nil {
		t.Errorf("Update after the lock was released: %v", err)
	}
}

// changedMeanwhile has the session changed, moved or ended from within a change of
// it, where that is possible: the change is made again of what is then stored.
func changedMeanwhile(t *testing.T, b suite) {
	if !b.Repeats() {
		t.Skip("no other process comes between")
	}
	for name, tt := range map[string]struct {
		meanwhile func(h, to string) error
		err       error
	}{
		"changed":    {func(h, _ string) error { _, err := b.Update(h, false, set(`{"n":10}`)); return err }, nil},
		"moved":      {func(h, to string) error { _, err := b.Move(h, to, never, set(`{"n":10}`)); return err }, nil},
		"moved away": {func(h, to string) error { _, err := b.Move(h, to, 0, nil); return err }, store.ErrNotFound},
		"ended":      {func(h, _ string) error { _, err := b.Update(h, false, only(store.Remove)); return err }, store.ErrNotFound},
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

// handed returns options that work under the lock.
func handed(lock store.Lock) store.Options {
	opts := store.Options{MaxSize: maxSize, LockTimeout: patience, LockFD: lock.FD}
	if lock.Lease != nil {
		opts.LockToken = lock.Value
	}
	return opts
}

// hold has a store take the lock, and releases it when the test ends.
func hold(t *testing.T, s store.Backend, h string, create bool) (store.Lock, func()) {
	t.Helper()
	lock, err := s.Hold(h, create)
	if err != nil {
		t.Fatal(err)
	}
	release := func() { syscall.Close(lock.FD) }
	if lock.Lease != nil {
		if err := lock.Lease.Renew(); err != nil {
			t.Errorf("Renew: %v", err)
		}
		release = func() {
			if err := lock.Lease.Release(); err != nil {
				t.Errorf("Release: %v", err)
			}
		}
	}
	return lock, release
}

// held keeps others out of a session while its lock is held, and them alone.
func held(t *testing.T, b suite) {
	impatient := b.Open(t, store.Options{MaxSize: maxSize})
	h := b.begin(t, `{"a":1}`)
	lock, release := hold(t, b.Open(t, store.Options{MaxSize: maxSize}), h, false)
	if lock.Name == "" || lock.Value == "" {
		t.Errorf("a lock that cannot be handed on: %+v", lock)
	}
	to := handle()
	for name, try := range map[string]func() (*store.Session, error){
		"Peek":   func() (*store.Session, error) { return impatient.Read(h, store.Peek) },
		"Touch":  func() (*store.Session, error) { return impatient.Read(h, store.Touch) },
		"Update": func() (*store.Session, error) { return impatient.Update(h, true, mustNotBeCalled(t)) },
		"Move":   func() (*store.Session, error) { return impatient.Move(h, to, 0, nil) },
		"Hold":   func() (*store.Session, error) { _, err := impatient.Hold(h, true); return nil, err },
	} {
		if s, err := try(); !errors.Is(err, store.ErrLocked) {
			t.Errorf("%s of a held session = %+v, %v; want %v", name, s, err, store.ErrLocked)
		}
	}
	if s, err := impatient.Read(h, store.Snapshot); err != nil || string(s.Data) != `{"a":1}` {
		t.Errorf("Snapshot of a held session = %+v, %v", s, err)
	}
	holder := b.Open(t, handed(lock))
	if err := holder.CheckLock(); err != nil {
		t.Errorf("CheckLock: %v", err)
	}
	if s, err := holder.Update(h, false, set(`{"a":2}`)); err != nil || s.Version != 2 {
		t.Errorf("Update by the holder = %+v, %v", s, err)
	}
	release()
	if s, err := impatient.Update(h, false, set(`{"a":3}`)); err != nil || s.Version != 3 {
		t.Errorf("Update after the lock = %+v, %v", s, err)
	}
}

// heldThrough has the holder move the session, and end it.
func heldThrough(t *testing.T, b suite) {
	impatient := b.Open(t, store.Options{MaxSize: maxSize})
	h, to := b.begin(t, `{"a":1}`), handle()
	lock, release := hold(t, b.Open(t, store.Options{MaxSize: maxSize}), h, false)
	holder := b.Open(t, handed(lock))
	if _, err := holder.Move(h, to, 0, nil); err != nil {
		t.Fatalf("Move by the holder: %v", err)
	}
	if _, err := impatient.Update(to, false, mustNotBeCalled(t)); !errors.Is(err, store.ErrLocked) {
		t.Errorf("after the move others get %v; want %v", err, store.ErrLocked)
	}
	if _, err := holder.Update(to, false, set(`{"a":2}`)); err != nil {
		t.Errorf("after the move the holder gets %v", err)
	}
	if lock.Lease != nil {
		if err := lock.Lease.Renew(); err != nil {
			t.Errorf("Renew after the move: %v", err)
		}
	}
	if _, err := holder.Update(to, false, only(store.Remove)); err != nil {
		t.Errorf("Remove by the holder: %v", err)
	}
	if _, err := holder.Update(to, false, mustNotBeCalled(t)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("of the session that ended the holder gets %v; want %v", err, store.ErrNotFound)
	}
	if !holder.LockLost() {
		t.Error("the session of the lock has ended, and LockLost does not know")
	}
	release()
	b.gone(t, to)
}

// heldToCome locks a session before there is one.
func heldToCome(t *testing.T, b suite) {
	impatient := b.Open(t, store.Options{MaxSize: maxSize})
	h := handle()
	if _, err := impatient.Hold(h, false); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Hold of no session: %v; want %v", err, store.ErrNotFound)
	}
	lock, release := hold(t, b.Open(t, store.Options{MaxSize: maxSize}), h, true)
	defer release()
	if _, err := impatient.Update(h, true, mustNotBeCalled(t)); !errors.Is(err, store.ErrLocked) {
		t.Errorf("others get %v; want %v", err, store.ErrLocked)
	}
	holder := b.Open(t, handed(lock))
	if s, err := holder.Update(h, true, set(`{"a":1}`)); err != nil || s.Version != 1 {
		t.Errorf("created by the holder: %+v, %v", s, err)
	}
	if _, err := impatient.Read(h, store.Peek); !errors.Is(err, store.ErrLocked) {
		t.Errorf("then others get %v; want %v", err, store.ErrLocked)
	}
}

// increment is a change that adds one to the member n.
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

// together runs n calls of run at once, half on each of two stores.
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

// counterOfMoving moves the session while others count by its first handle.
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

// createRace has many creators of one session: it is created once.
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

// createRaceOfFailing has creators that think better of it: what others stored
// meanwhile stays.
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
