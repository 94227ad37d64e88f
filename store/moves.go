package store

import "time"

// MaxHops is the largest number of tombstones that a store follows from a handle.
const MaxHops = 8

// MovedError is what a tombstone stands for: the session is at another handle. A store
// follows it; no method of [Store] returns it.
type MovedError struct{ To string }

func (e MovedError) Error() string { return "moved to " + e.To }

// Moving runs the change of a move; nil is Keep. until is the end of the move's grace in
// Unix seconds; 0: no grace. Afterwards s holds what is to be stored. A key that the
// change added is kept until then. Without a grace no key is kept, since no old handle
// leads to the session any more.
func (c Change) Moving(s *Session, until int64) (Outcome, error) {
	was, outcome := *s, Keep
	if c != nil {
		var err error
		if outcome, err = c(s); err != nil {
			return outcome, err
		}
	}
	if outcome == Keep {
		*s = was
	}
	s.OldKeys = afterMove(s.OldKeys, until)
	if outcome == Keep && len(s.OldKeys) != len(was.OldKeys) {
		outcome = Save
	}
	return outcome, nil
}

// MovedBefore finishes a Move from a handle in its grace: s and err are what the store
// found there. For ErrMoved it returns the session that the handle leads to, with
// ErrMoved, if there still is one.
func MovedBefore(st Store, from string, s *Session, err error) (*Session, error) {
	if err != ErrMoved {
		return s, err
	}
	s, err = st.Update(from, false, func(*Session) (Outcome, error) { return Keep, nil })
	if err == nil {
		err = ErrMoved
	}
	return s, err
}

// GraceEnd returns the end of a grace that begins now, in Unix seconds, rounded up; 0
// if there is none.
func GraceEnd(now time.Time, grace time.Duration) int64 {
	if grace <= 0 {
		return 0
	}
	return now.Add(grace).Unix() + 1
}
