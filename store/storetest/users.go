package storetest

import (
	"slices"
	"strings"
	"testing"

	"cgisession/store"
)

// under opens a store whose sessions are found by the ids of this cookie; empty: an
// operator's, or that of a program which kept no names.
func (b suite) under(t *testing.T, cookieName string) suite {
	return suite{b.Open(t, store.Options{MaxSize: maxSize, LockTimeout: patience, CookieName: cookieName}), b.Setup}
}

// logIn returns a change that records the user and a note.
func logIn(user, note string) store.Change {
	return func(s *store.Session) (store.Outcome, error) {
		s.User, s.Note = user, note
		return store.Save, nil
	}
}

// of creates a session of the user and returns its handle.
func (b suite) of(t *testing.T, user string) string {
	t.Helper()
	h := handle()
	if _, err := b.Update(h, true, logIn(user, "")); err != nil {
		t.Fatal(err)
	}
	return h
}

// handlesOf returns what UserHandles names, sorted and each once.
func handlesOf(t *testing.T, b store.Operator, user, cookieName string) (handles []string) {
	t.Helper()
	if err := b.UserHandles(user, cookieName, func(h string) error {
		handles = append(handles, h)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(handles)
	return slices.Compact(handles)
}

// listed checks which of the user's sessions UserHandles names for each cookie name.
func (b suite) listed(t *testing.T, when, user string, want map[string][]string) {
	t.Helper()
	for cookieName, handles := range want {
		slices.Sort(handles)
		if got := handlesOf(t, b, user, cookieName); !slices.Equal(got, handles) {
			t.Errorf("%s, under %q: %q; want %q", when, cookieName, got, handles)
		}
	}
}

// usersByName tests that a user's sessions belong to a cookie name, also after a move,
// and after a repair of the index of users.
func usersByName(t *testing.T, b suite) {
	a, other, operator, user := b.under(t, "a"), b.under(t, "b"), b.under(t, ""), store.NewID()
	first, second, third := a.of(t, user), a.of(t, user), other.of(t, user)
	a.of(t, store.NewID())
	all := func() map[string][]string {
		return map[string][]string{
			"a": {first, second}, "b": {third}, "": {first, second, third}, "A": nil, "c": nil,
		}
	}
	operator.listed(t, "at first", user, all())
	a.listed(t, "asked by a request", user, all())
	if s := operator.holds(t, third, 1, "{}"); s.CookieName != "b" || s.User != user {
		t.Errorf("the session is of %q under %q", s.User, s.CookieName)
	}

	_, release := hold(t, b.Open(t, store.Options{MaxSize: maxSize}), third, false)
	a.listed(t, "another name's is locked", user, all())
	release()

	to := handle()
	if s, err := a.Move(first, to, 0, nil); err != nil || s.CookieName != "a" {
		t.Fatalf("Move = %+v, %v", s, err)
	}
	first = to
	to = handle()
	if s, err := other.Move(third, to, 0, only(store.Save)); err != nil || s.CookieName != "b" {
		t.Fatalf("Move = %+v, %v", s, err)
	}
	third = to
	operator.listed(t, "moved", user, all())

	b.ForgetUser(t, user)
	operator.Examine(store.Examination{Repair: true})
	operator.listed(t, "repaired", user, all())

	if _, err := operator.Update(second, false, only(store.Save)); err != nil {
		t.Fatal(err)
	}
	operator.listed(t, "saved by an operator", user, all())
	if _, err := operator.Update(second, false, only(store.Remove)); err != nil {
		t.Fatal(err)
	}
	if err := operator.End(third); err != nil {
		t.Fatal(err)
	}
	operator.listed(t, "ended", user, map[string][]string{"": {first}, "a": {first}, "b": nil})
}

// usersUnnamed tests that a session which was stored without a cookie name counts for
// every name, until a request that knows the name marks its next access.
func usersUnnamed(t *testing.T, b suite) {
	a, old := b.under(t, "a"), b.under(t, "")
	for name, mark := range map[string]func(h string) (string, error){
		"Read": func(h string) (string, error) {
			_, err := a.Read(h, store.Touch)
			return h, err
		},
		"Keep": func(h string) (string, error) {
			_, err := a.Update(h, false, only(store.Keep))
			return h, err
		},
		"Save": func(h string) (string, error) {
			s, err := a.Update(h, false, only(store.Save))
			if err == nil && s.CookieName != "a" {
				t.Errorf("Save stored the name %q", s.CookieName)
			}
			return h, err
		},
		"Move": func(h string) (string, error) {
			to := handle()
			_, err := a.Move(h, to, 0, nil)
			return to, err
		},
	} {
		user := store.NewID()
		h := old.of(t, user)
		every := map[string][]string{"a": {h}, "b": {h}, "": {h}}
		old.listed(t, "before "+name, user, every)
		for _, how := range []store.Reading{store.Peek, store.Snapshot} {
			if _, err := a.Read(h, how); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := old.Read(h, store.Touch); err != nil {
			t.Fatal(err)
		}
		old.listed(t, "unmarked before "+name, user, every)
		h, err := mark(h)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		one := map[string][]string{"a": {h}, "b": nil, "": {h}}
		old.listed(t, "after "+name, user, one)
		if _, err := old.Read(h, store.Touch); err != nil {
			t.Fatal(err)
		}
		old.Examine(store.Examination{Repair: true})
		old.listed(t, "repaired after "+name, user, one)
		if _, err := old.Update(h, false, only(store.Remove)); err != nil {
			t.Fatal(err)
		}
		old.listed(t, "ended after "+name, user, map[string][]string{"a": nil, "b": nil, "": nil})
	}
}

// usersOversize tests that the longest names and note are read of a session whose data
// are not.
func usersOversize(t *testing.T, b suite) {
	small, maxRead := b.lowered(t)
	user, note := store.NewID()+strings.Repeat("\x01", 224), strings.Repeat("\x02", 200)
	cookieName := strings.Repeat("n", 4000)
	h := handle()
	large := b.Open(t, store.Options{MaxSize: 6 * maxRead, LockTimeout: patience, CookieName: cookieName})
	if _, err := large.Update(h, true, func(s *store.Session) (store.Outcome, error) {
		s.User, s.Note = user, note
		return set(sized(5 * maxRead))(s) // more than a file that is read as a whole may have
	}); err != nil {
		t.Fatal(err)
	}
	if err := small.Look(h, func(s *store.Session, state store.State, _ error) error {
		if state != store.Oversize || s.User != user || s.Note != note || s.CookieName != cookieName {
			t.Errorf("%s of %q under a name of %d bytes, noted %q", state, s.User, len(s.CookieName), s.Note)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	small.listed(t, "oversize", user, map[string][]string{cookieName: {h}, "": {h}, "n": nil})
}

// notes tests that the note stays with the session until the next log-in, and belongs
// to a user.
func notes(t *testing.T, b suite) {
	a, h := b.under(t, "a"), handle()
	noted := func(when, user, note string) {
		t.Helper()
		for _, how := range everyReading {
			if s, err := a.Read(h, how); err != nil || s.User != user || s.Note != note {
				t.Fatalf("%s: %+v, %v; want the note %q", when, s, err, note)
			}
		}
		if err := a.Look(h, func(s *store.Session, _ store.State, _ error) error {
			if s.User != user || s.Note != note {
				t.Errorf("%s, Look: %q", when, s.Note)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	const odd = "\"Zo\u00eb\" \n\x1b\ufffd\\"
	step := func(when string, change store.Change, user, note string) {
		t.Helper()
		if _, err := a.Update(h, true, change); err != nil {
			t.Fatal(err)
		}
		noted(when, user, note)
	}
	step("without a user", logIn("", odd), "", "")
	step("logged in", logIn("ann", odd), "ann", odd)
	step("saved", set(`{"a":1}`), "ann", odd)
	step("wiped", only(store.Wipe), "ann", odd)
	for _, change := range []store.Change{nil, only(store.Save)} {
		to := handle()
		if _, err := a.Move(h, to, never, change); err != nil {
			t.Fatal(err)
		}
		h = to
		noted("moved", "ann", odd)
	}
	step("logged in again", logIn("ann", ""), "ann", "")
}
