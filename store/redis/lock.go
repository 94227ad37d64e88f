//go:build redis

package redis

import (
	"errors"
	"fmt"
	"sync"

	"cgisession/store"
)

// lock is what a store knows of the lock that it was handed, or has taken.
type lock struct {
	token string     // empty: none
	ended bool       // the locked session has ended
	tell  *sync.Once // logs that the lock was lost

	// tokenDead says that the locked session ended under the lock, so that on other
	// sessions the token counts as none. Example: a script under the lock of session
	// A ends A, and load makes session B.
	tokenDead bool

	// besideLock is a handle where a session may be created although the lock, which
	// is still held, is on another. Example: a script under the lock of session A
	// calls load with an id of its own choice, --adopt-id.
	besideLock string
}

// A token is random, in hex, and then the handle that it was taken on.
const (
	randomBytes = 16
	tokenSize   = 2*randomBytes + store.HandleSize
)

// handle returns the handle that the token was taken on; empty: it is no token.
func (l *lock) handle() string {
	if !isHex(l.token, tokenSize) {
		return ""
	}
	return l.token[2*randomBytes:]
}

// tokenAt returns the token that counts for a handle; empty: none.
func (l *lock) tokenAt(handle string) string {
	if l.tokenDead && handle != l.handle() {
		return ""
	}
	return l.token
}

// Hold implements [store.Store]. A lock that this request was handed is renewed;
// the process that took it first releases it.
func (s *Store) Hold(handle string, create bool) (store.Lock, error) {
	s.budget.begin()
	random := randomHex(randomBytes)
	var got string
	found, err := s.follow(handle, create, func(handle string, create bool) (*store.Session, error) {
		token := random + handle
		r, err := s.run(holdScript, handle, false, flag(create), token, flag(handle == s.lock.besideLock))
		if err == nil && r.state() != stateLive {
			err = s.refused(r, handle)
		}
		if got = r.text(1); err == nil && !isHex(got, tokenSize) {
			err = s.failed(errNoRedis)
		}
		return &store.Session{Handle: handle}, err
	})
	if err != nil {
		return store.Lock{}, err
	}
	handed := got == s.lock.token
	s.lock.token = got
	l := &lease{s: s.apart(), handle: found.Handle}
	lock := store.Lock{Name: "CGISESSION_LOCK_TOKEN", Value: got, Lease: &store.Lease{
		Every:   leaseTime / 3,
		Renew:   func() error { return l.run(renewScript) },
		Release: func() error { return l.run(releaseScript, retryFlag{}) },
	}}
	if handed {
		lock.Lease.Release = func() error { return nil }
	}
	return lock, nil
}

// A lease is a lock that this process renews, at the handle where it is now.
type lease struct {
	s      *Store
	mu     sync.Mutex
	handle string
}

func (l *lease) run(script script, args ...any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.s.budget.begin()
	found, err := l.s.follow(l.handle, false, func(handle string, _ bool) (*store.Session, error) {
		r, err := l.s.run(script, handle, false, args...)
		if err == nil && r.state() != stateLive {
			err = l.s.refused(r, handle)
		}
		return &store.Session{Handle: handle}, err
	})
	if err == nil {
		l.handle = found.Handle
	}
	return err
}

// apart returns a copy of the store for work beside its calls, with time of its
// own.
func (s *Store) apart() *Store {
	other := *s
	other.budget = &budget{}
	return &other
}

// LockLost implements [store.Locker]. It asks the server, unless it knows already.
func (s *Store) LockLost() bool {
	if s.lock.ended || s.lock.token == "" || s.opts.LockElsewhere {
		return s.lock.ended
	}
	state, err := s.lockState()
	s.lock.ended = err == nil && (state == stateEnded || state == stateGone)
	return s.lock.ended
}

// lockState returns the state of the lock that was handed down: live, lost, or its
// session has ended, under the lock (ended) or after the lock was lost (gone).
func (s *Store) lockState() (state, error) {
	at, now := s.lock.handle(), stateGone
	if at == "" {
		return now, nil
	}
	_, err := s.follow(at, false, func(handle string, _ bool) (*store.Session, error) {
		r, err := s.run(whoseScript, handle, false)
		if err == nil && r.state() == stateMoved {
			err = s.refused(r, handle)
		}
		now = r.state()
		return nil, err
	})
	if errors.Is(err, store.ErrNotFound) { // too many moves
		return stateGone, nil
	}
	return now, err
}

// mayRetry reports whether to try a handle again that does not have the lock which
// was handed down. It may if that lock's session has ended under it: then the token
// counts as none here. It may also, to create a session beside the lock, if the
// lock is still held, but not if that was lost.
func (s *Store) mayRetry(handle string, was error) (bool, error) {
	l := &s.lock
	if l.tokenDead || l.besideLock == handle || l.handle() == handle {
		return false, s.lockLost(handle)
	}
	state, err := s.lockState()
	switch {
	case err != nil:
		return false, err
	case state == stateEnded:
		l.tokenDead, l.ended = true, true
		return true, nil
	case state == stateLive && was == errNoLock:
		l.besideLock = handle
		return true, nil
	}
	return false, s.lockLost(handle)
}

func (s *Store) lockLost(handle string) error {
	s.lock.tell.Do(func() { s.opts.LogEvent("lock lost", handle) })
	return fmt.Errorf("key %s: %w", s.key(handle), store.ErrLockLost)
}

// CheckLock implements [store.Locker].
func (s *Store) CheckLock() error {
	switch {
	case s.opts.LockFD != 0:
		return store.ErrOtherLock
	case s.lock.token != "" && s.lock.handle() == "":
		return store.ErrLockLost
	}
	return nil
}

// A lock is on no descriptor.

// LockPath implements [store.Locker].
func (s *Store) LockPath(string, bool) (string, error) { return "", store.ErrUnsupported }

// UseFD implements [store.Locker].
func (s *Store) UseFD(int) error { return store.ErrUnsupported }

// UnlockFD implements [store.Locker].
func (s *Store) UnlockFD(string, int) error { return store.ErrUnsupported }
