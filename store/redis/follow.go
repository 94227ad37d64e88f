//go:build redis

package redis

import (
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strconv"
	"time"

	"cgisession/store"
)

var (
	errBusy     = errors.New("busy")
	errConflict = errors.New("conflict")
	errEnded    = fmt.Errorf("%w: it ended under the lock of this request", store.ErrNotFound)
	errLost     = errors.New("lost")
	errAstray   = fmt.Errorf("%w: nor is the lock of this request there", store.ErrNotFound)
	errLate     = errors.New("this call was stopped for too long to give the session a new id; it keeps the old one")
	errNotMoved = errors.New("no replica confirmed the new id, as --durable wants; the session keeps the old one")
)

// foreignError says that another program wrote to a key. It is [store.ErrCorrupt],
// whose own words are about files.
type foreignError struct{ key, text string }

func (e foreignError) Error() string        { return "key " + e.key + ": " + e.text }
func (e foreignError) Is(target error) bool { return target == store.ErrCorrupt }

// movedError says that a tombstone stands where the session was.
type movedError struct{ to string }

func (e movedError) Error() string { return "moved to " + e.to }

// pendingError says that a copy is there which a move made first.
type pendingError struct{ from string }

func (e pendingError) Error() string { return "copied from " + e.from }

// landedError says that a change was stored before, as this version.
type landedError struct{ version uint64 }

func (e landedError) Error() string { return "stored as version " + strconv.FormatUint(e.version, 10) }

// refused turns the state of a session that was not as it should be into an error.
func (s *Store) refused(r reply, handle string) error {
	switch r.state() {
	case "missing":
		return store.ErrNotFound
	case "ended":
		s.ended = true
		return errEnded
	case "nolock":
		return errAstray
	case "moved", "pending":
		switch at := r.text(1); {
		case !isHex(at, store.HandleSize):
			return s.corrupt(handle, "")
		case r.state() == "pending":
			return pendingError{at}
		default:
			return movedError{at}
		}
	case "late":
		return fmt.Errorf("redis %s: %w: %w", s.where, store.ErrUnavailable, errLate)
	case "expired":
		return store.ErrInvalidated
	case "busy":
		return errBusy
	case "conflict":
		return errConflict
	case "lost":
		return errLost
	case "unknown":
		return fmt.Errorf("redis %s: %w: an answer was lost, and too much changed since to tell whether this change is stored", s.where, store.ErrUnavailable)
	case "corrupt":
		return s.corrupt(handle, "")
	}
	return s.failed(errNoRedis)
}

// follow runs visit on the handle, then where tombstones lead from it, and again
// where another process has the lock or was faster, until the time for that is
// over. What a tombstone or a copy leads to is never created.
func (s *Store) follow(handle string, create bool, visit func(string, bool) (*store.Session, error)) (*store.Session, error) {
	first, mayCreate := handle, create
	deadline := time.Now().Add(s.opts.LockTimeout)
	for try, hops := 0, 0; hops <= maxHops; {
		found, err := visit(handle, create)
		at, err := s.leads(handle, err)
		switch {
		case at != "":
			if at != handle {
				hops++
			}
			handle, create = at, false
			continue
		case err == errLost, err == errAstray && create:
			again, err := s.weigh(handle, err)
			if !again {
				return nil, err
			}
			continue
		case err != errBusy && err != errConflict:
			return found, err
		case !time.Now().Before(deadline):
			s.log("lock timeout", handle)
			return nil, fmt.Errorf("key %s: %w; if this request holds the lock, export CGISESSION_LOCK_TOKEN", s.key(handle), store.ErrLocked)
		}
		time.Sleep(min(pause(try, err), time.Until(deadline)))
		s.time.waited()
		try++
		handle, create, hops = first, mayCreate, 0
	}
	return nil, store.ErrNotFound
}

// leads returns where the session is that is elsewhere, as err says; empty: err says
// something else, or that could not be found out.
func (s *Store) leads(handle string, err error) (string, error) {
	switch err := err.(type) {
	case movedError:
		return err.to, nil
	case pendingError:
		at, failed := s.settle(handle, err.from)
		if failed != nil {
			return "", failed
		}
		return at, nil
	}
	return "", err
}

// pause is how long to wait before the next try: longer from one to the next, up
// to a tenth of a second, and by chance, so that those who collided do not again.
func pause(try int, err error) time.Duration {
	most := time.Millisecond << min(try, 6)
	if err == errBusy {
		most = max(most, 4*time.Millisecond)
	}
	return most/2 + mathrand.N(most)
}
