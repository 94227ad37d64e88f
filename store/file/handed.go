package file

import (
	"cmp"
	"errors"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// The lock that lasts over several calls: flock(2) on a descriptor that the
// calls hand down. The lock belongs to the open file, not to a process. It ends
// when the last process that has the descriptor closes it or dies (flock(2)).

// Hold implements [store.Store]. It marks the access. The lock is on a
// descriptor that commands inherit: on LockFD, if that is on the session's
// file, else on a new one, which this store uses as LockFD from then on. For a
// session that is still to come it makes an empty file. LockFD on another
// session's file is ErrOtherLock.
func (f *Store) Hold(handle string, create bool) (store.Lock, error) {
	_, err := f.follow(handle, create, func(handle string, create bool) (*store.Session, error) {
		e, err := f.lock(handle, lasting, create)
		if err != nil {
			return nil, err
		}
		defer func() { e.close() }()
		s, _, err := e.load()
		if errors.Is(err, store.ErrTooLarge) && s != nil {
			err = nil // a lock needs no data
		}
		// ErrNotFound with a session is the empty file of one that is still to come.
		if err != nil && (err != store.ErrNotFound || s == nil || !create) {
			e.discard()
			return nil, e.invalidate(err)
		}
		if e.stored { // an empty file has no access to mark
			if err := e.touch(s); err != nil {
				return nil, err
			}
		}
		// close must not release the lock.
		f.heldFD, e.release = e.lockFD, func() {}
		return s, nil
	})
	return store.Lock{Name: "CGISESSION_LOCK_FD", Value: strconv.Itoa(f.heldFD), FD: f.heldFD}, err
}

// isHeld reports whether the lock that was handed down is on the file that the
// entry's name leads to. If that cannot be told it returns the error, since a
// second lock on the same file would wait for the first for ever.
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

// lockStat returns stat(2) of the descriptor that was handed down. ok is false
// if there is none.
func (f *Store) lockStat() (st unix.Stat_t, ok bool, err error) {
	if f.heldFD == 0 {
		return st, false, nil
	}
	err = fstat(f.heldFD, &st)
	return st, true, err
}

// takeHeld makes sure that the descriptor that was handed down has the
// exclusive lock, also for a reader: a shared lock would take the exclusive one
// from the caller. It releases nothing at the end.
func (e *entry) takeHeld(deadline time.Time) (inode, func(), error) {
	err := lockWithin(e.lockFD, deadline)
	held, _, failed := e.f.lockStat()
	return inodeOf(&held), func() {}, cmp.Or(err, failed)
}

// takeToKeep takes the exclusive lock on a new descriptor that survives
// execve(2), and leaves it in e.lockFD.
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
			own.fd = -1 // waitUntil closes it, once its wait is over
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

// heldElsewhere reports whether the lock that was handed down is on another
// session's file than st's, which is a mistake of the caller unless
// LockElsewhere is set. A removed file is not another session's.
func (f *Store) heldElsewhere(st *unix.Stat_t) (bool, error) {
	held, ok, err := f.lockStat()
	return ok && !f.opts.LockElsewhere && held.Nlink > 0 && inodeOf(&held) != inodeOf(st), err
}

// Descriptors implements [store.Locker].
func (f *Store) Descriptors() error { return nil }

// UseFD implements [store.Locker].
func (f *Store) UseFD(fd int) error {
	f.heldFD = fd
	return f.CheckLock()
}

// LockedEnded implements [store.Locker]: a session has ended if its file was removed.
func (f *Store) LockedEnded() bool {
	st, ok, err := f.lockStat()
	return ok && err == nil && st.Nlink == 0
}

// CheckLock implements [store.Locker]: the descriptor must be open. It does not
// check which file it is on; the calls that use it do.
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
	// The lock of a removed file protects nothing; it can always be released.
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
	// By snapshot, which finds the path after moves and waits for no lock.
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

// emptyFile returns the path of the entry's file if nothing is stored in it
// yet, and ErrNotFound if it is missing, or no session counts in it.
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
