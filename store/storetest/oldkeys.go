package storetest

import (
	"fmt"
	"testing"
	"time"

	"cgisession/store"
)

// keep returns the change of a move that adds a key of an old id.
func keep(key string) store.Change {
	return func(s *store.Session) (store.Outcome, error) {
		s.OldKeys = append(s.OldKeys, store.OldKey{Key: key})
		return store.Save, nil
	}
}

// keysOf returns the old keys of a session as a text to compare, "[KEY KEY …]".
func keysOf(s *store.Session) string {
	keys := []string{}
	for _, old := range s.OldKeys {
		keys = append(keys, old.Key)
	}
	return fmt.Sprint(keys)
}

// oldKeys has a session keep the keys of its last eight old ids through every kind of
// change, until it is moved without a grace.
func oldKeys(t *testing.T, b suite) {
	const most = 8
	h := b.begin(t, `{"a":1}`)
	var want []string
	check := func(what, via string) {
		t.Helper()
		for name, how := range everyReading {
			s, err := b.Read(via, how)
			if err != nil || keysOf(s) != fmt.Sprint(want) {
				t.Fatalf("%s, %s: %+v, %v; want the keys %s", what, name, s, err, want)
			}
			for _, old := range s.OldKeys {
				end := time.Now().Add(never).Unix()
				if old.Until < end-int64(patience/time.Second) || old.Until > end+2 {
					t.Fatalf("%s, %s: a key ends at %d; want %d", what, name, old.Until, end)
				}
			}
		}
	}
	first, to := h, ""
	for i := range most + 3 {
		key := fmt.Sprintf(`key "%d"`, i)
		want = append(want, key)
		want = want[max(0, len(want)-most):]
		to = handle()
		s, err := b.Move(h, to, never, keep(key))
		if err != nil || keysOf(s) != fmt.Sprint(want) {
			t.Fatalf("Move = %+v, %v; want the keys %s", s, err, want)
		}
		h = to
		if i < most {
			check("by the first handle", first)
		}
		for outcome, data := range map[store.Outcome]string{store.Save: `{"a":2}`, store.Wipe: `{}`, store.Keep: ""} {
			if s, err = b.Update(h, false, func(s *store.Session) (store.Outcome, error) {
				if keysOf(s) != fmt.Sprint(want) {
					t.Errorf("a change is shown the keys %s; want %s", keysOf(s), want)
				}
				s.Data = store.Data(data)
				return outcome, nil
			}); err != nil || keysOf(s) != fmt.Sprint(want) {
				t.Fatalf("outcome %d: %+v, %v; want the keys %s", outcome, s, err, want)
			}
			check("after a change", h)
		}
	}

	for _, change := range []store.Change{nil, set(`{"a":3}`)} {
		to, want = handle(), nil
		if s, err := b.Move(h, to, 0, change); err != nil || len(s.OldKeys) > 0 {
			t.Fatalf("Move without a grace = %+v, %v", s, err)
		}
		check("after a move without a grace", to)
		h, want = handle(), []string{"once more"}
		if s, err := b.Move(to, h, never, keep("once more")); err != nil {
			t.Fatalf("Move = %+v, %v", s, err)
		}
		check("after one with a grace", h)
	}
}

// oldKeysEnd has a short grace between two long ones. Each key ends with its own
// grace, and later saves leave it out.
func oldKeysEnd(t *testing.T, b suite) {
	const short = time.Second
	first, second, third, fourth := b.begin(t, `{"a":1}`), handle(), handle(), handle()
	if _, err := b.Move(first, second, never, keep("first")); err != nil {
		t.Fatal(err)
	}
	moving := time.Now()
	if _, err := b.Move(second, third, short, keep("second")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Move(third, fourth, never, keep("third")); err != nil {
		t.Fatal(err)
	}
	for {
		s, err := b.Read(fourth, store.Peek)
		elapsed := time.Since(moving)
		if err != nil || elapsed > patience {
			t.Fatalf("after %v: %+v, %v", elapsed, s, err)
		}
		if keysOf(s) == "[first third]" {
			if elapsed < short {
				t.Errorf("the key ended after %v; want %v at least", elapsed, short)
			}
			break
		}
		if keysOf(s) != "[first second third]" {
			t.Fatalf("after %v the keys are %s", elapsed, keysOf(s))
		}
		time.Sleep(10 * time.Millisecond)
	}
	if s, err := b.Update(fourth, false, set(`{"a":2}`)); err != nil || keysOf(s) != "[first third]" {
		t.Errorf("Update = %+v, %v", s, err)
	}
}
