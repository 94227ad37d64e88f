package store

import (
	"fmt"
	"math"
	"time"
)

// Options are a store's settings. They do not change after the store is made. The zero
// value of each is safe.
type Options struct {
	Timeout           time.Duration // longest time between accesses; 0: no limit
	Lifetime          time.Duration // longest time since creation; 0: no limit
	LockTimeout       time.Duration // longest wait for a lock; 0: do not wait
	MaxSize           int           // bytes of data that can be saved; see CheckSize
	Durable           bool          // sync every save before it is reported as done
	InvalidateCorrupt bool          // treat a corrupt session as one past its limits

	// CookieName is the name of the cookie by whose ids the sessions are found; empty:
	// they are found in another way, as by operators. A user's session without a
	// name gets this one when it is saved or its access is marked. The name cannot be
	// wrong, since a handle is made from it; see [Handle].
	CookieName string

	// LockFD is a descriptor that was handed down, of a session's file that the
	// caller has locked with it or will lock; 0: none. It serves as the lock of that
	// session, and is never closed or unlocked. On a removed file it is ignored. On
	// another session's file it is ErrOtherLock, unless LockElsewhere is set.
	LockFD        int
	LockElsewhere bool

	// LockToken is a lease that was handed down; empty: none. With another session
	// than the one that it was taken for it is ErrLockLost, unless LockElsewhere is
	// set.
	LockToken string

	// Log, if set, receives events that no error reports, each with the handle of
	// its session.
	Log func(event, handle string)

	// Progress, if set, is called for each session of a walk through all. A Sweep may
	// call it from several goroutines at once.
	Progress func(Progress)
}

// State returns the state of a session at now by its limits: [Live], [Idle] or [Old].
// A last access in the future counts as now, so that a clock that was set back ends no
// session.
func (o Options) State(s *Session, now time.Time) State {
	switch {
	case o.Timeout > 0 && now.Sub(s.Accessed) > o.Timeout:
		return Idle
	case o.Lifetime > 0 && s.Created < now.Unix()-int64(o.Lifetime/time.Second):
		return Old
	}
	return Live
}

// NameSession completes a session that is about to be stored: a user's gets the cookie
// name, if it has none; any other has neither a name nor a note.
func (o Options) NameSession(s *Session) {
	switch {
	case s.User == "":
		s.CookieName, s.Note = "", ""
	case s.CookieName == "":
		s.CookieName = o.CookieName
	}
}

// Left returns how long after now the session stays [Live] if it is not accessed, at
// least 0, and whether there is a limit at all. Times in the future count as now.
func (o Options) Left(s *Session, now time.Time) (left time.Duration, limited bool) {
	left = math.MaxInt64
	if o.Timeout > 0 {
		left = o.Timeout - max(now.Sub(s.Accessed), 0)
	}
	if o.Lifetime > 0 {
		left = min(left, o.Lifetime-max(now.Sub(time.Unix(s.Created, 0)), 0))
	}
	return max(left, 0), o.Timeout > 0 || o.Lifetime > 0
}

// LogEvent calls Log, if it is set.
func (o Options) LogEvent(event, handle string) {
	if o.Log != nil {
		o.Log(event, handle)
	}
}

// ReportProgress calls Progress, if it is set.
func (o *Options) ReportProgress(at Progress) {
	if o.Progress != nil {
		o.Progress(at)
	}
}

// MaxRead returns the largest size of data that is read, in bytes. It is more than
// MaxSize, so that sessions can still be read after MaxSize was lowered. Larger data
// is ErrTooLarge; such a session can only be ended, or its data deleted.
//
// The value is the size of the largest file that saves with MaxSize bytes of data
// make: three records and a page.
func (o Options) MaxRead() int {
	const page = 4096 // bytes
	return 3*(o.MaxSize+page) + page
}

// CheckSize returns ErrTooLarge if data is over MaxSize, unless it is the same as was,
// the data stored before.
func (o Options) CheckSize(was, data Data) error {
	if len(data) <= o.MaxSize || string(data) == string(was) {
		return nil
	}
	return fmt.Errorf("data of %d bytes: %w of %d", len(data), ErrTooLarge, o.MaxSize)
}

// Unread returns the change to use for a session whose data is not read because of the
// error tooLarge. It gives the change empty data. The change may end the session or
// delete its data; for any other outcome it returns tooLarge.
func (c Change) Unread(tooLarge error) Change {
	return func(s *Session) (Outcome, error) {
		s.Data = Empty
		outcome, err := c(s)
		if err != nil || outcome != Wipe && outcome != Remove {
			return Keep, tooLarge
		}
		return outcome, nil
	}
}
