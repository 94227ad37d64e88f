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

// A token is 128 random bits in hex, and then the handle that it was taken on. The
// processes that the lock is handed down to know it by CGISESSION_LOCK_TOKEN.
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

// Hold implements [store.Store]. A lock that this request was handed is renewed, and
// stays with the process that took it first: Release does nothing then. A lock is on
// the handle where the session is now, to which tombstones may have led.
//
// If an answer is lost, the same token is sent again, and hold.lua finds it there.
func (s *Store) Hold(handle string, create bool) (store.Lock, error) {
	s.budget.begin()
	random := randomHex(randomBytes)
	var got string
	found, err := s.follow(handle, create, func(handle string, create bool) (*store.Session, error) {
		token := random + handle
		r, err := s.run(holdScript, handle, false, flag(create), token, flag(handle == s.lock.besideLock))
		if err == nil && r.status() != statusLive {
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

// A lease is a lock that this process renews, while its store does other work.
type lease struct {
	s      *Store // apart from the one that took the lock
	mu     sync.Mutex
	handle string // where the lock was last; a move takes it along
}

// run runs a script where the lock is now.
func (l *lease) run(script script, args ...any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.s.budget.begin()
	found, err := l.s.follow(l.handle, false, func(handle string, _ bool) (*store.Session, error) {
		r, err := l.s.run(script, handle, false, args...)
		if err == nil && r.status() != statusLive {
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

// LockedEnded implements [store.Locker]. It asks the server, unless it knows already. A
// server that does not answer counts as no loss.
func (s *Store) LockedEnded() bool {
	if s.lock.ended || s.lock.token == "" || s.opts.LockElsewhere {
		return s.lock.ended
	}
	now, err := s.lockStatus()
	s.lock.ended = err == nil && (now == statusEnded || now == statusGone)
	return s.lock.ended
}

// lockStatus returns how the lock that was handed down stands: live, lost, or its
// session has ended, under the lock (ended) or after the lock was lost (gone). It
// follows the session to its new handle. A token that is none counts as gone.
func (s *Store) lockStatus() (status, error) {
	at, now := s.lock.handle(), statusGone
	if at == "" {
		return now, nil
	}
	_, err := s.follow(at, false, func(handle string, _ bool) (*store.Session, error) {
		r, err := s.run(whoseScript, handle, false)
		if err == nil && r.status() == statusMoved {
			err = s.refused(r, handle)
		}
		now = r.status()
		return nil, err
	})
	if errors.Is(err, store.ErrNotFound) { // too many moves
		return statusGone, nil
	}
	return now, err
}

// mayRetry reports whether to try a handle again, after a script said there that the
// lock which was handed down is lost (errLockLost) or is not on this handle (errNoLock).
//
// It is tried again in two cases. The locked session has ended under the lock: then the
// token counts as none here (tokenDead). Or the lock is still held on its own session,
// and one may be created here (besideLock). Each case occurs once, so this ends. In all
// others the error is [store.ErrLockLost].
func (s *Store) mayRetry(handle string, was error) (bool, error) {
	l := &s.lock
	if l.tokenDead || l.besideLock == handle || l.handle() == handle {
		return false, s.lockLost(handle)
	}
	now, err := s.lockStatus()
	switch {
	case err != nil:
		return false, err
	case now == statusEnded:
		l.tokenDead, l.ended = true, true
		return true, nil
	case now == statusLive && was == errNoLock:
		l.besideLock = handle
		return true, nil
	}
	return false, s.lockLost(handle)
}

// lockLost returns [store.ErrLockLost], and logs the loss the first time.
func (s *Store) lockLost(handle string) error {
	s.lock.tell.Do(func() { s.opts.LogEvent("lock lost", handle) })
	return fmt.Errorf("key %s: %w", s.key(handle), store.ErrLockLost)
}

// CheckLock implements [store.Locker]. It looks only at the token's form, without a
// request to the server.
func (s *Store) CheckLock() error {
	switch {
	case s.opts.LockFD != 0:
		return store.ErrOtherLock
	case s.lock.token != "" && s.lock.handle() == "":
		return store.ErrLockLost
	}
	return nil
}

// Descriptors implements [store.Locker]: a lock is a token.
func (s *Store) Descriptors() error { return store.ErrUnsupported }

// LockPath implements [store.Locker].
func (s *Store) LockPath(string, bool) (string, error) { return "", store.ErrUnsupported }

// UseFD implements [store.Locker].
func (s *Store) UseFD(int) error { return store.ErrUnsupported }

// UnlockFD implements [store.Locker].
func (s *Store) UnlockFD(string, int) error { return store.ErrUnsupported }
