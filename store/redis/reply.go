//go:build redis

package redis

import (
	"errors"
	"fmt"

	"cgisession/store"
)

// A state is what a script says of a session; lua/prelude.lua explains each.
type state string

const (
	stateLive     state = "live"
	stateMissing  state = "missing"
	stateEnded    state = "ended"
	stateNoLock   state = "nolock"
	stateMoved    state = "moved"
	statePending  state = "pending"
	stateExpired  state = "expired"
	stateCorrupt  state = "corrupt"
	stateBusy     state = "busy"
	stateLost     state = "lost"
	stateGone     state = "gone"
	stateTaken    state = "taken"
	stateConflict state = "conflict"
	stateLate     state = "late"
	stateOversize state = "oversize"
	stateLanded   state = "landed"
	stateUnknown  state = "unknown"
)

// A reply is the answer of a script: the state first. What is missing in it, or of
// another type, reads as empty or 0.
type reply []any

func (r reply) state() state { return state(r.text(0)) }

func (r reply) text(i int) string {
	if i >= len(r) {
		return ""
	}
	text, _ := r[i].(string)
	return text
}

func (r reply) int(i int) (n int64) {
	fmt.Sscanf(r.text(i), "%d", &n)
	return n
}

func (r reply) uint(i int) uint64 { return uint64(r.int(i)) }

var (
	errBusy     = errors.New("busy")
	errConflict = errors.New("conflict")
	errEnded    = fmt.Errorf("%w: it ended under the lock of this request", store.ErrNotFound)
	errLost     = errors.New("lost")
	errNoLock   = fmt.Errorf("%w: nor is the lock of this request there", store.ErrNotFound)
	errLate     = errors.New("this call was stopped for too long to give the session a new id; it keeps the old one")
	errUnknown  = errors.New("an answer was lost, and too much changed since to tell whether this change is stored")
)

// foreignError says that another program wrote to a key. It is [store.ErrCorrupt],
// whose own text is about files.
type foreignError struct{ key, text string }

func (e foreignError) Error() string        { return "key " + e.key + ": " + e.text }
func (e foreignError) Is(target error) bool { return target == store.ErrCorrupt }

// movedError says that a tombstone is there.
type movedError struct{ to string }

func (e movedError) Error() string { return "moved to " + e.to }

// pendingError says that a pending copy is there.
type pendingError struct{ from string }

func (e pendingError) Error() string { return "copied from " + e.from }

// refused returns the error for a state that keeps a script from its work.
func (s *Store) refused(r reply, handle string) error {
	switch r.state() {
	case stateMissing:
		return store.ErrNotFound
	case stateEnded:
		s.lock.ended = true
		return errEnded
	case stateNoLock:
		return errNoLock
	case stateMoved, statePending:
		switch at := r.text(1); {
		case !store.IsHandle(at):
			return s.corrupt(handle, "")
		case r.state() == statePending:
			return pendingError{at}
		default:
			return movedError{at}
		}
	case stateExpired:
		return store.ErrInvalidated
	case stateBusy:
		return errBusy
	case stateConflict:
		return errConflict
	case stateLost:
		return errLost
	case stateLate:
		return s.unavailable(errLate)
	case stateUnknown:
		return s.unavailable(errUnknown)
	case stateCorrupt:
		return s.corrupt(handle, "")
	}
	return s.failed(errNoRedis)
}

func isHex(text string, digits int) bool { return len(text) == digits && store.IsHex(text) }
