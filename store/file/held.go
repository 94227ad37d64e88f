package file

import (
	"cmp"
	"errors"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

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

// lockStat looks at LockFD, and reports whether there is one.
func (f *Store) lockStat() (st unix.Stat_t, ok bool, err error) {
	if f.heldFD == 0 {
		return st, false, nil
	}
	err = fstat(f.heldFD, &st)
	return st, true, err
}

// takeHeld makes sure that LockFD has the lock: exclusive, for reading too,
// since a shared one would lower the caller's.
func (e *entry) takeHeld(deadline time.Time) (inode, func(), error) {
	err := lockWithin(e.lockFD, deadline)
	held, _, failed := e.f.lockStat()
	return inodeOf(&held), func() {}, cmp.Or(err, failed)
}

// takeToKeep takes the lock on a descriptor of its own that survives exec.
func (e *entry) takeToKeep(access int, deadline time.Time) (inode, func(), error) {
	own := entry{f: e.f, handle: e.handle, shard: e.shard, fd: -1}
	if err := own.open(access); err != nil {
		own.closeData()
		return inode{}, nil, err
	}
	fd := own.fd
	err := tryFlock(fd, deadline)
	if err == unix.EWOULDBLOCK {
		err = waitUntil(deadline,
			func() error { return setLock(fd, unix.LOCK_EX) },
			func() error { return closeFD(fd) })
		if err == store.ErrLocked {
			own.fd = -1 // in use until the wait is over
		}
	}
	if err == nil {
		err = inherit(own.fd)
	}
	if err != nil {
		own.closeData()
		return inode{}, nil, err
	}
	e.lockFD = own.fd
	return inodeOf(&own.stat), func() { own.closeData() }, nil
}

// holdsOther reports whether LockFD is on another file than st's.
func (f *Store) heldElsewhere(st *unix.Stat_t) (bool, error) {
	held, ok, err := f.lockStat()
	return ok && !f.opts.LockElsewhere && held.Nlink > 0 && inodeOf(&held) != inodeOf(st), err
}

// UseFD implements [store.Locker].
func (f *Store) UseFD(fd int) error {
	f.heldFD = fd
	return f.CheckLock()
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
		if err := e.makeEmpty(); err != errReplaced {
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
