package file

import (
	"errors"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// A lock that is to be held over several calls stays on a descriptor that the
// calls hand down. flock(2) belongs to the open file, not to the process: it
// ends when the last process that has the descriptor closes it or dies.

// pollEvery is how often a lock on a descriptor that was handed down is tried.
// Blocking is out: if the deadline came first, the lock could still be granted
// to the caller's descriptor afterwards.
const pollEvery = time.Millisecond

// Hold takes the session's lock, marks the access, and leaves the lock on a
// descriptor that commands inherit: LockFD, if that is on the session's file, else
// a new one, which is LockFD from then on. Where there is no session and create is
// set, an empty file is made for it. LockFD on another file is ErrOtherLock.
func (f *Store) Hold(handle string, create bool) (store.Lock, error) {
	_, err := f.follow(handle, create, func(handle string, create bool) (*store.Session, error) {
		e, err := f.lock(handle, lasting, create)
		if err != nil {
			return nil, err
		}
		defer func() { e.close() }()
		s, _, err := e.load()
		if errors.Is(err, store.ErrTooLarge) && s != nil {
			err = nil // a lock reads nothing
		}
		if err != nil && (err != store.ErrNotFound || s == nil || !create) {
			e.discard()
			return nil, e.invalidate(err)
		}
		if e.stored {
			if err := e.touch(s); err != nil {
				return nil, err
			}
		}
		f.heldFD, e.release = e.lockFD, func() {}
		return s, nil
	})
	return store.Lock{Name: "CGISESSION_LOCK_FD", Value: strconv.Itoa(f.heldFD), FD: f.heldFD}, err
}

// UseFD implements [store.Locker].
func (f *Store) UseFD(fd int) error {
	f.heldFD = fd
	return f.CheckLock()
}

// UnlockFD implements [store.Locker].
func (f *Store) UnlockFD(handle string, fd int) error {
	var st unix.Stat_t
	if err := fstat(fd, &st); err != nil {
		return store.ErrOtherLock
	}
	if st.Nlink > 0 && handle != "" {
		path, err := f.LockPath(handle, false)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		var own unix.Stat_t
		if err != nil || lstatat(unix.AT_FDCWD, path, &own) != nil || inodeOf(&own) != inodeOf(&st) {
			return store.ErrOtherLock
		}
	}
	return setLock(fd, unix.LOCK_UN)
}

// LockPath implements [store.Locker].
func (f *Store) LockPath(handle string, create bool) (string, error) {
	s, err := f.Read(handle, store.Snapshot)
	if err == nil || errors.Is(err, store.ErrTooLarge) && s != nil {
		return s.Path, nil
	}
	if !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	shard, err := f.openShard(handle, create)
	if err != nil {
		return "", err
	}
	e := &entry{f: f, handle: handle, shard: shard, fd: -1, release: func() {}}
	defer e.close()
	if create {
		if err := e.make(); err != errReplaced {
			return "", e.fail("create", err)
		}
	}
	path, err := f.emptyFile(e)
	if err != nil {
		e.closeData()
		e.takeBack()
	}
	return path, err
}

// emptyFile returns the entry's path if nothing has been stored in it yet.
func (f *Store) emptyFile(e *entry) (string, error) {
	err := e.open(unix.O_RDONLY)
	switch {
	case err == unix.ENOENT, err == nil && e.stat.Size > 0:
		return "", store.ErrNotFound
	case err != nil:
		return "", e.fail("open", err)
	}
	return f.Path(e.handle), nil
}

// LockLost implements [store.Locker]: the descriptor is on a file that was removed.
func (f *Store) LockLost() bool {
	st, ok, err := f.lockStat()
	return ok && err == nil && st.Nlink == 0
}

// CheckLock implements [store.Locker]: the descriptor must be open.
func (f *Store) CheckLock() error {
	_, _, err := f.lockStat()
	if err == unix.EBADF {
		err = store.ErrOtherLock
	}
	return err
}

// lockStat looks at LockFD, and reports whether there is one.
func (f *Store) lockStat() (st unix.Stat_t, ok bool, err error) {
	if f.heldFD == 0 {
		return st, false, nil
	}
	err = fstat(f.heldFD, &st)
	return st, true, err
}

// holdsOther reports whether LockFD is on another file than st's.
func (f *Store) holdsOther(st *unix.Stat_t) (bool, error) {
	held, ok, err := f.lockStat()
	return ok && !f.opts.LockElsewhere && held.Nlink > 0 && inodeOf(&held) != inodeOf(st), err
}

// isHeld reports whether LockFD is on the file that the entry's name leads to.
// If that cannot be told, to take another lock could be to wait for one's own.
func (e *entry) isHeld() (bool, error) {
	held, ok, err := e.f.lockStat()
	if !ok || err != nil {
		return false, err
	}
	var st unix.Stat_t
	switch err := lstatat(e.shard, e.handle, &st); err {
	case nil:
		return inodeOf(&st) == inodeOf(&held), nil
	case unix.ENOENT:
		return false, nil
	default:
		return false, err
	}
}
