package store

import (
	"fmt"
	"time"
)

// Options are a store's settings. The zero value of each is safe.
type Options struct {
	Timeout           time.Duration // longest time between accesses; 0: no limit
	Lifetime          time.Duration // longest time since creation; 0: no limit
	LockTimeout       time.Duration // longest wait for a lock; 0: do not wait
	MaxSize           int           // bytes of data that Save accepts; see CheckSize
	Durable           bool          // sync every save before it is reported
	InvalidateCorrupt bool          // a corrupt session is an invalidated one

	// LockFD is a descriptor that was handed down, of a session's file that
	// the caller has locked or will lock by it; 0: none. It takes the place
	// of the lock, and is never closed or unlocked. On a file that was
	// removed it has no meaning; on another session's file it is ErrOtherLock
	// unless LockElsewhere is set.
	LockFD        int
	LockElsewhere bool

	// LockToken is a lease that was handed down; empty: none. On another
	// session than it was taken on it is ErrLockLost, unless LockElsewhere is set.
	LockToken string

	// Log, if set, is told what no error reports: an event and a handle.
	Log func(event, handle string)
}

// State returns what the limits make of a session at now: [Live], [Idle] or [Old].
// A last access in the future counts as now: a clock that was set back ends no
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

// LogEvent tells Log, if it is set.
func (o Options) LogEvent(event, handle string) {
	if o.Log != nil {
		o.Log(event, handle)
	}
}

// MaxRead returns how many bytes of data are read at most: a MaxSize that was lowered
// still lets the sessions from before be read. Larger data is ErrTooLarge, and that
// session can only be ended, or its data deleted.
//
// It is the size of the largest file that saves of MaxSize bytes and its other
// members leave: three times the record, and a page.
func (o Options) MaxRead() int {
	const page = 4096 // bytes
	return 3*(o.MaxSize+page) + page
}

// CheckSize reports as ErrTooLarge data that is over MaxSize, unless it is what was
// stored before.
func (o Options) CheckSize(was, data Data) error {
	if len(data) <= o.MaxSize || string(data) == string(was) {
		return nil
	}
	return fmt.Errorf("data of %d bytes: %w of %d", len(data), ErrTooLarge, o.MaxSize)
}

// Unread returns the change of a session whose data was not read, as tooLarge says. It
// may end the session or delete its data; whatever else it says is tooLarge.
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
