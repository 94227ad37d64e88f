//go:build redis

package redis

import (
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"cgisession/store"
)

// A visitor does one try of its work with the session at a handle, which it may create.
// Its errors say how to go on; see follow.
type visitor func(handle string, create bool) (*store.Session, error)

// follow calls visit with the handle, and goes on by the error that visit returns:
//
//	store.MovedError, pendingError  where the session is now, without creating it there
//	errBusy, errConflict            at the first handle again, after a pause, until
//	                                LockTimeout is over; then it returns store.ErrLocked
//	errLockLost, errNoLock          at the same handle again, if mayRetry allows it
//	any other, or nil               not at all: it returns what visit returned
//
// After store.MaxHops tombstones it returns store.ErrNotFound.
func (s *Store) follow(handle string, create bool, visit visitor) (*store.Session, error) {
	first, mayCreate := handle, create
	deadline := time.Now().Add(s.opts.LockTimeout)
	for try, hops := 0, 0; hops <= store.MaxHops; {
		found, err := visit(handle, create)
		at, err := s.leads(handle, err)
		switch {
		case at != "":
			if at != handle {
				hops++
			}
			handle, create = at, false
			continue
		case err == errLockLost, err == errNoLock && create:
			retry, err := s.mayRetry(handle, err)
			if !retry {
				return nil, err
			}
			continue
		case err != errBusy && err != errConflict:
			return found, err
		case !time.Now().Before(deadline):
			s.opts.LogEvent("lock timeout", handle)
			return nil, fmt.Errorf("key %s: %w; if this request holds the lock, export CGISESSION_LOCK_TOKEN",
				s.key(handle), store.ErrLocked)
		}
		time.Sleep(min(pause(try, err), time.Until(deadline)))
		s.budget.waited()
		try++
		handle, create, hops = first, mayCreate, 0
	}
	return nil, store.ErrNotFound
}

// leads returns the handle to visit next, if err is a [store.MovedError] or a
// pendingError. Else it returns none, and err; or the error with which settling a copy
// failed.
func (s *Store) leads(handle string, err error) (string, error) {
	switch err := err.(type) {
	case store.MovedError:
		return err.To, nil
	case pendingError:
		at, failed := s.settle(handle, err.from)
		if failed != nil {
			return "", failed
		}
		return at, nil
	}
	return "", err
}

// pause returns how long to wait before the next try. It doubles from 1 ms to 64 ms, and
// varies at random between half and three halves of that, so that two that collided do not collide
// again. For a lock, which is held longer than a change takes, it begins at 4 ms.
func pause(try int, err error) time.Duration {
	most := time.Millisecond << min(try, 6)
	if err == errBusy {
		most = max(most, 4*time.Millisecond)
	}
	return most/2 + mathrand.N(most)
}
