package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"cgisession/store"
)

// absence uses a handle that never had a session.
func absence(t *testing.T, b suite) { b.gone(t, handle()) }

// create tests what the change of a new session gets, and that create leaves a session
// that exists as it is.
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
			t.Errorf("Update with create shows %+v of an existing session", s)
		}
		return store.Keep, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// createAbandoned begins new sessions and stores nothing: none is made.
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

// outcomes tests what is stored after each outcome, and that the session can be changed,
// ended and created again afterwards.
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
		// Several times, since a back end may store records in places that it uses in turn.
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

// outcomesOfNew creates a session with Wipe; it is stored as with Save.
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

// failedChange returns an error from the change, with each outcome: nothing is stored, and
// the access is not marked.
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

// dataKeepsText stores JSON that a decoder would alter, or that looks like a record or a
// format: it is returned byte for byte.
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

// accessed tests which calls mark the access, and that each returns the access before it.
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

// created tests that the time of creation stays the same through every call.
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
