//go:build redis

package redis

import (
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"cgisession/store"
)

// A visitor does its work with the session at a handle, which it may create.
type visitor func(handle string, create bool) (*store.Session, error)

// follow calls visit with the handle, then where tombstones lead from it. While
// another process has the lock or was faster it tries again, until LockTimeout is
// over. A session that a tombstone or a copy leads to is never created.
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
		case err == errLost, err == errNoLock && create:
			retry, err := s.mayRetry(handle, err)
			if !retry {
				return nil, err
			}
			continue
		case err != errBusy && err != errConflict:
			return found, err
		case !time.Now().Before(deadline):
			s.opts.LogEvent("lock timeout", handle)
			return nil, fmt.Errorf("key %s: %w; if this request holds the lock, export CGISESSION_LOCK_TOKEN", s.key(handle), store.ErrLocked)
		}
		time.Sleep(min(pause(try, err), time.Until(deadline)))
		s.budget.waited()
		try++
		handle, create, hops = first, mayCreate, 0
	}
	return nil, store.ErrNotFound
}

// leads returns where to look for the session next, which err may say; empty: err
// says something else, or settling a copy failed.
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

// pause returns how long to wait before the next try: longer each time, up to a
// tenth of a second, and random, so that two that collided do not collide again.
func pause(try int, err error) time.Duration {
	most := time.Millisecond << min(try, 6)
	if err == errBusy {
		most = max(most, 4*time.Millisecond)
	}
	return most/2 + mathrand.N(most)
}
