//go:build redis

package redis

import (
	"errors"
	"fmt"

	"cgisession/store"
)

// A status is the first string of a script's reply: how the session stands to the
// caller. lua/prelude.lua explains each. It is not a [store.State], which is what
// operators see of a session.
type status string

const (
	statusLive     status = "live"
	statusMissing  status = "missing"
	statusEnded    status = "ended"
	statusNoLock   status = "nolock"
	statusMoved    status = "moved"
	statusPending  status = "pending"
	statusExpired  status = "expired"
	statusCorrupt  status = "corrupt"
	statusBusy     status = "busy"
	statusLost     status = "lost"
	statusGone     status = "gone"
	statusTaken    status = "taken"
	statusConflict status = "conflict"
	statusLate     status = "late"
	statusOversize status = "oversize"
	statusLanded   status = "landed"
	statusUnknown  status = "unknown"
)

// A reply is the answer of a script: strings, the status first. A string that is
// missing in it, or is something else, reads as empty or 0, so an answer that makes no
// sense has no status that is known, and becomes errNoRedis in refused.
type reply []any

func (r reply) status() status { return status(r.text(0)) }

// text returns string i of the reply.
func (r reply) text(i int) string {
	if i >= len(r) {
		return ""
	}
	text, _ := r[i].(string)
	return text
}

// int returns the decimal number that string i is.
func (r reply) int(i int) (n int64) {
	fmt.Sscanf(r.text(i), "%d", &n)
	return n
}

func (r reply) uint(i int) uint64 { return uint64(r.int(i)) }

// The errors of statuses. follow acts on those without a message for users: it tries
// again, or turns them into store.ErrLocked or store.ErrLockLost.
var (
	errBusy     = errors.New("busy")
	errConflict = errors.New("conflict")
	errLockLost = errors.New("lock lost")
	errEnded    = fmt.Errorf("%w: it ended under the lock of this request", store.ErrNotFound)
	errNoLock   = fmt.Errorf("%w: nor is the lock of this request there", store.ErrNotFound)
	errLate     = errors.New("this call was stopped for too long to give the session a new id; it keeps the old one")
	errUnknown  = errors.New("an answer was lost, and too much changed since to tell whether this change is stored")
)

// foreignError says that another program wrote to a key. It is [store.ErrCorrupt],
// whose own text is about files.
type foreignError struct{ key, text string }

func (e foreignError) Error() string        { return "key " + e.key + ": " + e.text }
func (e foreignError) Is(target error) bool { return target == store.ErrCorrupt }

// pendingError says that a pending copy is there, and where it was copied from.
type pendingError struct{ from string }

func (e pendingError) Error() string { return "copied from " + e.from }

// refused returns the error for a status with which a script refused its work. It
// notes that the locked session has ended, and logs a key that is corrupt.
func (s *Store) refused(r reply, handle string) error {
	switch r.status() {
	case statusMissing:
		return store.ErrNotFound
	case statusEnded:
		s.lock.ended = true
		return errEnded
	case statusNoLock:
		return errNoLock
	case statusMoved, statusPending:
		switch at := r.text(1); {
		case !store.IsHandle(at):
			return s.corrupt(handle, "")
		case r.status() == statusPending:
			return pendingError{at}
		default:
			return store.MovedError{To: at}
		}
	case statusExpired:
		return store.ErrInvalidated
	case statusBusy:
		return errBusy
	case statusConflict:
		return errConflict
	case statusLost:
		return errLockLost
	case statusLate:
		return s.unavailable(errLate)
	case statusUnknown:
		return s.unavailable(errUnknown)
	case statusCorrupt:
		return s.corrupt(handle, "")
	}
	return s.failed(errNoRedis)
}

// isHex reports whether a text is this many lower-case hex digits.
func isHex(text string, digits int) bool { return len(text) == digits && store.IsHex(text) }
