package file

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"

	"cgisession/store"
)

// lockKind is how a session's file is locked: chosen once, since raising a shared
// lock would drop it first.
type lockKind int

const (
	shared    lockKind = iota
	exclusive          // until this call is over
	lasting            // exclusive, on a descriptor that outlives this call
)

// lock opens and locks the session's file; where it is missing and create is
// set, it makes an empty one. The lock counts only if it is on the file that
// the name leads to once it is held.
func (f *Store) lock(handle string, kind lockKind, create bool) (*entry, error) {
	shard, err := f.openShard(handle, create)
	if err != nil {
		return nil, err
	}
	e := &entry{f: f, handle: handle, shard: shard, fd: -1}
	deadline := time.Now().Add(f.opts.LockTimeout)
	for range maxTries {
		err = e.tryLock(kind, deadline)
		if err == unix.ENOENT && create {
			err = e.makeEmpty()
		}
		if err != errReplaced {
			break
		}
	}
	switch err {
	case nil:
		return e, nil
	case unix.ENOENT:
		err = store.ErrNotFound
	case errReplaced, store.ErrLocked:
		err = e.busy()
	default:
		err = e.fail("lock", err)
	}
	e.takeBack()
	closeFD(shard)
	return nil, err
}

// errReplaced says that the name leads to another file than before: look again.
var errReplaced = errors.New("file replaced")

// tryLock takes the lock and opens the file, for reading only if it must be:
// on a read-only file system, or to look at a tombstone.
func (e *entry) tryLock(kind lockKind, deadline time.Time) error {
	if kind == shared {
		return e.lockAndOpen(kind, unix.O_RDONLY, deadline)
	}
	err := e.lockAndOpen(kind, unix.O_RDWR, deadline)
	if err == unix.EROFS || err == unix.EACCES {
		e.refused = err
		err = e.lockAndOpen(kind, unix.O_RDONLY, deadline)
	}
	return err
}

// lockAndOpen takes the lock and then opens the same file for its data.
func (e *entry) lockAndOpen(kind lockKind, access int, deadline time.Time) error {
	locked, release, err := e.take(kind, access, deadline)
	if err != nil {
		return openError(err)
	}
	if err = e.open(access); err == unix.ENOENT || err == nil && inodeOf(&e.stat) != locked {
		err = errReplaced
	}
	if err != nil {
		release()
		e.closeData()
		return err
	}
	e.release = release
	return nil
}

// take takes the lock and returns which file it is on: by LockFD where that is
// on this file, on a descriptor to keep, or for this call alone.
func (e *entry) take(kind lockKind, access int, deadline time.Time) (inode, func(), error) {
	held, err := e.isHeld()
	if stuck := e.f.stuck.Load(); stuck != nil {
		err = *stuck
	}
	switch {
	case err != nil:
		return inode{}, nil, err
	case held:
		e.lockFD = e.f.heldFD
		return e.takeHeld(deadline)
	case kind == lasting:
		return e.takeToKeep(access, deadline)
	}
	if err := spareDescriptors(e.shard); err != nil {
		return inode{}, nil, err
	}
	locked, unlock, err := lockPath(e.f.Path(e.handle), access, kind == exclusive, deadline, e.probe)
	return locked, func() {
		if err := unlock(); err != nil {
			e.f.stuck.Store(&err)
		}
	}, err
}

// lockPath takes the lock of the file at path and returns which file that was
// and what releases the lock. A busy lock is waited for until the deadline:
// blocked in flock(2), since the kernel serves waiters in order and polling
// starves them. Before it waits it runs check. Missing is unix.ENOENT.
func lockPath(path string, flags int, exclusive bool, deadline time.Time, beforeWait func() error) (inode, func() error, error) {
	l := flock.New(path, flock.SetFlag(flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC))
	try, wait := l.TryRLock, l.RLock
	if exclusive {
		try, wait = l.TryLock, l.Lock
	}
	var locked bool
	err := retryUntil(deadline, func() (err error) {
		locked, err = try()
		return errno(err)
	})
	if err == nil && !locked {
		if err = beforeWait(); err == nil {
			err = waitUntil(deadline, wait, l.Unlock)
		}
	}
	if err != nil {
		return inode{}, nil, err
	}
	release := func() error { return retry(func() error { return errno(l.Unlock()) }) }
	info, err := l.Stat()
	if err != nil {
		release()
		return inode{}, nil, errno(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	return inode{uint64(st.Dev), uint64(st.Ino)}, release, nil
}

// waitUntil runs wait, and gives up at the deadline with ErrLocked; then it runs
// undo, once wait is over, so that a lock that comes later is not kept.
func waitUntil(deadline time.Time, wait, undo func() error) error {
	left := time.Until(deadline)
	if left <= 0 {
		undo()
		return store.ErrLocked
	}
	done := make(chan error, 1)
	go func() { done <- retry(func() error { return errno(wait()) }) }()
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		go func() {
			<-done
			undo()
		}()
		return store.ErrLocked
	}
}

// probe is open without keeping the file: whether it is worth waiting for.
func (e *entry) probe() error {
	defer e.closeData()
	if err := e.open(unix.O_RDONLY); err != unix.ENOENT {
		return err
	}
	return nil
}

// make makes the session's file, empty, for the lock to be taken on it by
// whoever comes first: errReplaced if it is there now.
func (e *entry) makeEmpty() error {
	err := touchat(e.shard, e.handle)
	e.fresh = e.fresh || err == nil
	if err == nil || err == unix.EEXIST {
		return errReplaced
	}
	return err
}

// takeBack removes the empty file that this call made but could not lock, unless
// another process has it by now: that would hold its lock, or have stored something.
// Where there are no locks at all nobody can store anything.
func (e *entry) takeBack() {
	if !e.fresh {
		return
	}
	defer e.closeData()
	if e.open(unix.O_RDWR) != nil {
		return
	}
	switch tryFlock(e.fd, time.Time{}) {
	case nil, unix.ENOLCK, unix.ENOSYS, unix.EOPNOTSUPP:
		if fstat(e.fd, &e.stat) == nil && e.stat.Size == 0 && e.stillLinked() == nil {
			unlinkat(e.shard, e.handle)
		}
	}
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

// A lock that is to be held over several calls stays on a descriptor that the
// calls hand down. flock(2) belongs to the open file, not to the process: it
// ends when the last process that has the descriptor closes it or dies.

// pollEvery is how often a lock on a descriptor that was handed down is tried.
// Blocking is out: if the deadline came first, the lock could still be granted
// to the caller's descriptor afterwards.
const pollEvery = time.Millisecond

// lockWithin takes the exclusive lock of an open file, or returns [store.ErrLocked] at the
// deadline.
func lockWithin(fd int, deadline time.Time) error {
	for {
		err := tryFlock(fd, deadline)
		switch {
		case err != unix.EWOULDBLOCK:
			return err
		case !time.Now().Before(deadline):
			return store.ErrLocked
		}
		time.Sleep(pollEvery)
	}
}

// spareDescriptors reports unix.EMFILE unless some numbers above fd are free. To
// open a file as the lock's library does starts the Go runtime's poller, which
// ends the program if it cannot have two descriptors.
func spareDescriptors(fd int) error {
	const wanted = 5
	spare, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, fd+wanted)
	if err == unix.EINVAL { // over the limit (fcntl(2))
		err = unix.EMFILE
	}
	if err == nil {
		closeFD(spare)
	}
	return err
}

// CheckDescriptors is spareDescriptors for what comes before any lock, such as the
// random source of a new id.
func CheckDescriptors() error {
	next, err := unix.FcntlInt(uintptr(unix.Stdin), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer closeFD(next)
	return spareDescriptors(next)
}
