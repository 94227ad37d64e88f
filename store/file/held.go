package file

import (
	"cmp"
	"errors"
	"fmt"
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
		e, err := f.lock(handle, kept, create)
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
		f.opts.LockFD, e.release = e.lockFD, func() {}
		return s, nil
	})
	fd := f.opts.LockFD
	return store.Lock{Name: "CGISESSION_LOCK_FD", Value: strconv.Itoa(fd), FD: fd}, err
}

// Unlock releases the lock on descriptor fd, which must be on the session's
// file or on one that was removed.
func (f *Store) Unlock(handle string, fd int) error {
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

// LockPath returns the path of the session's file, to be opened by one who
// will lock it. It waits for no lock. Where there is no session and create is
// set, an empty file is made.
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

// LockLost implements [store.Store]: it reports whether LockFD is on a file that was removed: the session
// that the caller locked has ended.
func (f *Store) LockLost() bool {
	st, ok, err := f.lockStat()
	return ok && err == nil && st.Nlink == 0
}

// CheckLock reports as ErrOtherLock that LockFD is not open.
func (f *Store) CheckLock() error {
	_, _, err := f.lockStat()
	if err == unix.EBADF {
		err = store.ErrOtherLock
	}
	return err
}

// lockStat looks at LockFD, and reports whether there is one.
func (f *Store) lockStat() (st unix.Stat_t, ok bool, err error) {
	if f.opts.LockFD == 0 {
		return st, false, nil
	}
	err = fstat(f.opts.LockFD, &st)
	return st, true, err
}

// holdsOther reports whether LockFD is on another file than st's.
func (f *Store) holdsOther(st *unix.Stat_t) (bool, error) {
	held, ok, err := f.lockStat()
	return ok && !f.opts.LockElsewhere && held.Nlink > 0 && inodeOf(&held) != inodeOf(st), err
}

// namesHeld reports whether LockFD is on the file that the entry's name leads to.
// If that cannot be told, to take another lock could be to wait for one's own.
func (e *entry) namesHeld() (bool, error) {
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

// take takes the lock and returns which file it is on: by LockFD where that is
// on this file, on a descriptor to keep, or for this call alone.
func (e *entry) take(how mode, access int, deadline time.Time) (inode, func(), error) {
	held, err := e.namesHeld()
	if stuck := e.f.stuck.Load(); stuck != nil {
		err = *stuck
	}
	switch {
	case err != nil:
		return inode{}, nil, err
	case held:
		e.lockFD = e.f.opts.LockFD
		return e.takeHeld(deadline)
	case how == kept:
		return e.takeToKeep(access, deadline)
	}
	if err := spareDescriptors(e.shard); err != nil {
		return inode{}, nil, err
	}
	locked, unlock, err := lockPath(e.f.Path(e.handle), access, how == exclusive, deadline, e.check)
	return locked, func() {
		if err := unlock(); err != nil {
			e.f.stuck.Store(&err)
		}
	}, err
}

// takeHeld makes sure that LockFD has the lock: exclusive, for reading too,
// since a shared one would lower the caller's.
func (e *entry) takeHeld(deadline time.Time) (inode, func(), error) {
	err := lockWithin(e.lockFD, deadline)
	held, _, failed := e.f.lockStat()
	return inodeOf(&held), func() {}, cmp.Or(err, failed)
}

// lockWithin takes the exclusive lock of an open file, or returns [store.ErrLocked] at the
// deadline.
func lockWithin(fd int, deadline time.Time) error {
	for {
		err := tryLock(fd, deadline)
		switch {
		case err != unix.EWOULDBLOCK:
			return err
		case !time.Now().Before(deadline):
			return store.ErrLocked
		}
		time.Sleep(pollEvery)
	}
}

// tryLock takes the exclusive lock of an open file, or returns unix.EWOULDBLOCK.
func tryLock(fd int, deadline time.Time) error {
	return retryUntil(deadline, func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
}

// takeToKeep takes the lock on a descriptor of its own that survives exec.
func (e *entry) takeToKeep(access int, deadline time.Time) (inode, func(), error) {
	own := entry{f: e.f, handle: e.handle, shard: e.shard, fd: -1}
	if err := own.open(access); err != nil {
		own.closeData()
		return inode{}, nil, err
	}
	fd := own.fd
	err := tryLock(fd, deadline)
	if err == unix.EWOULDBLOCK {
		err = waitUntil(deadline,
			func() error { return setLock(fd, unix.LOCK_EX) },
			func() error { return unix.Close(fd) })
		if err == store.ErrLocked {
			own.fd = -1 // in use until the wait is over
		}
	}
	if err == nil {
		_, err = unix.FcntlInt(uintptr(own.fd), unix.F_SETFD, 0)
	}
	if err != nil {
		own.closeData()
		return inode{}, nil, err
	}
	e.lockFD = own.fd
	return inodeOf(&own.stat), func() { own.closeData() }, nil
}

// busy says who holds the lock, where the system tells.
func (e *entry) busy() error {
	who := ""
	var st unix.Stat_t
	if lstatat(e.shard, e.handle, &st) == nil {
		who = lockHolder(&st)
	}
	e.f.opts.LogEvent("lock timeout", e.handle)
	return e.fail("lock", fmt.Errorf("%w%s; if this request holds the lock, export CGISESSION_LOCK_FD", store.ErrLocked, who))
}
