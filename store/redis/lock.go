//go:build redis

package redis

import (
	"sync"

	"github.com/redis/go-redis/v9"

	"cgisession/store"
)

// Hold implements [store.Store]. A lock that this request already has, by
// LockToken, is renewed; who took it first releases it.
func (s *Store) Hold(handle string, create bool) (store.Lock, error) {
	token := randomHex(16)
	var got string
	found, err := s.follow(handle, create, func(handle string, create bool) (*store.Session, error) {
		mayCreate := 0
		if create {
			mayCreate = 1
		}
		r, err := s.run(holdScript, handle, false, mayCreate, token)
		if err == nil && r.state() != "live" {
			err = s.refused(r, handle)
		}
		got = r.text(1)
		return &store.Session{Handle: handle}, err
	})
	if err != nil {
		return store.Lock{}, err
	}
	held := got == s.opts.LockToken
	s.opts.LockToken = got
	l := &lease{s: s, handle: found.Handle}
	lock := store.Lock{Name: "CGISESSION_LOCK_TOKEN", Value: got, Lease: &store.Lease{
		Every:   leaseTime / 3,
		Renew:   func() error { return l.run(renewScript) },
		Release: func() error { return l.run(releaseScript) },
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

func (l *lease) run(script *redis.Script) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	found, err := l.s.follow(l.handle, false, func(handle string, _ bool) (*store.Session, error) {
		r, err := l.s.run(script, handle, false)
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

// LockLost implements [store.Store].
func (s *Store) LockLost() bool { return s.ended }

// CheckLock implements [store.Store].
func (s *Store) CheckLock() error {
	switch {
	case s.opts.LockFD != 0:
		return store.ErrOtherLock
	case s.opts.LockToken != "" && !isHex(s.opts.LockToken, 32):
		return store.ErrLockLost
	}
	return nil
}

func isHex(text string, digits int) bool {
	for _, c := range []byte(text) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(text) == digits
}
