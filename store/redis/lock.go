//go:build redis

package redis

import (
	"errors"
	"fmt"
	"sync"

	"cgisession/store"
)

// Hold implements [store.Store]. A lock that this request already has, by
// LockToken, is renewed; who took it first releases it.
func (s *Store) Hold(handle string, create bool) (store.Lock, error) {
	s.time.begin()
	random := randomHex(16)
	var got string
	found, err := s.follow(handle, create, func(handle string, create bool) (*store.Session, error) {
		token := random + handle
		r, err := s.run(holdScript, handle, false, flag(create), token, flag(handle == s.astray))
		if err == nil && r.state() != "live" {
			err = s.refused(r, handle)
		}
		if got = r.text(1); err == nil && !isHex(got, randomDigits+store.HandleSize) {
			err = s.failed(errNoRedis)
		}
		return &store.Session{Handle: handle}, err
	})
	if err != nil {
		return store.Lock{}, err
	}
	held := got == s.opts.LockToken
	s.opts.LockToken = got
	l := &lease{s: s.apart(), handle: found.Handle}
	lock := store.Lock{Name: "CGISESSION_LOCK_TOKEN", Value: got, Lease: &store.Lease{
		Every:   leaseTime / 3,
		Renew:   func() error { return l.run(renewScript) },
		Release: func() error { return l.run(releaseScript, again{}) },
	}}
	if held {
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
	l.s.time.begin()
	found, err := l.s.follow(l.handle, false, func(handle string, _ bool) (*store.Session, error) {
		r, err := l.s.run(script, handle, false, args...)
		if err == nil && r.state() != "live" {
			err = l.s.refused(r, handle)
		}
		return &store.Session{Handle: handle}, err
	})
	if err == nil {
		l.handle = found.Handle
	}
	return err
}

// apart returns the same store for what is done beside its calls, with time of
// its own.
func (s *Store) apart() *Store {
	other := *s
	other.time = &budget{}
	return &other
}

// LockLost implements [store.Locker]. It asks the server, once it is asked itself.
func (s *Store) LockLost() bool {
	if s.ended || s.opts.LockToken == "" || s.opts.LockElsewhere {
		return s.ended
	}
	state, err := s.lock()
	s.ended = err == nil && (state == "ended" || state == "gone")
	return s.ended
}

// lock returns what has become of the lock that was handed down: it is live, or
// lost, or the session ended, under the lock or after it was lost.
func (s *Store) lock() (string, error) {
	at, state := s.lockedHandle(), "gone"
	if at == "" {
		return state, nil
	}
	_, err := s.follow(at, false, func(handle string, _ bool) (*store.Session, error) {
		r, err := s.run(whoseScript, handle, false)
		if err == nil && r.state() == "moved" {
			err = s.refused(r, handle)
		}
		state = r.state()
		return nil, err
	})
	if errors.Is(err, store.ErrNotFound) { // too many moves
		return "gone", nil
	}
	return state, err
}

// weigh decides about a handle where the lock that was handed down is not, and
// reports whether to try it again. If the session that was locked has ended, under
// the lock, then the token means nothing elsewhere. If the lock is still held, then
// a session may come into being beside it, as it may not under one that was lost.
func (s *Store) weigh(handle string, was error) (again bool, err error) {
	if s.void || s.astray == handle || s.lockedHandle() == handle {
		return false, s.lockLost(handle)
	}
	state, err := s.lock()
	switch {
	case err != nil:
		return false, err
	case state == "ended":
		s.void, s.ended = true, true
		return true, nil
	case state == "live" && was == errAstray:
		s.astray = handle
		return true, nil
	}
	return false, s.lockLost(handle)
}

func (s *Store) lockLost(handle string) error {
	s.lost.Do(func() { s.log("lock lost", handle) })
	return fmt.Errorf("key %s: %w", s.key(handle), store.ErrLockLost)
}

// A token is 128 random bits in hex, and the handle that it was taken on.
const randomDigits = 32

// lockedHandle returns the handle that the token was taken on; empty: it is none.
func (s *Store) lockedHandle() string {
	if !isHex(s.opts.LockToken, randomDigits+store.HandleSize) {
		return ""
	}
	return s.opts.LockToken[randomDigits:]
}

// CheckLock implements [store.Locker].
func (s *Store) CheckLock() error {
	switch {
	case s.opts.LockFD != 0:
		return store.ErrOtherLock
	case s.opts.LockToken != "" && s.lockedHandle() == "":
		return store.ErrLockLost
	}
	return nil
}

func isHex(text string, digits int) bool { return len(text) == digits && store.IsHex(text) }
