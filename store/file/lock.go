package file

import (
	"errors"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"

	"cgisession/store"
)

// inode tells one file from all others.
type inode struct{ dev, ino uint64 }

func inodeOf(st *unix.Stat_t) inode { return inode{uint64(st.Dev), uint64(st.Ino)} }

// lockPath takes the lock of the file at path and returns which file that was
// and what releases the lock. A busy lock is waited for until the deadline:
// blocked in flock(2), since the kernel serves waiters in order and polling
// starves them. Before it waits it runs check. Missing is unix.ENOENT.
func lockPath(path string, flags int, exclusive bool, deadline time.Time, check func() error) (inode, func() error, error) {
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
		if err = check(); err == nil {
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

// errno returns the system's error number that err wraps, or err itself.
func errno(err error) error {
	if number, ok := errors.AsType[unix.Errno](err); ok {
		return number
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
	defer unix.Close(next)
	return spareDescriptors(next)
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
		unix.Close(spare)
	}
	return err
}

// mode is how a session's file is locked: chosen once, since raising a shared
// lock would drop it first.
type mode int

const (
	shared    mode = iota
	exclusive      // until this call is over
	kept           // exclusive, on a descriptor that outlives this call
)

// lock opens and locks the session's file; where it is missing and create is
// set, it makes an empty one. The lock counts only if it is on the file that
// the name leads to once it is held.
func (f *Store) lock(handle string, how mode, create bool) (*entry, error) {
	shard, err := f.openShard(handle, create)
	if err != nil {
		return nil, err
	}
	e := &entry{f: f, handle: handle, shard: shard, fd: -1}
	deadline := time.Now().Add(f.opts.LockTimeout)
	for range maxTries {
		err = e.tryLock(how, deadline)
		if err == unix.ENOENT && create {
			err = e.make()
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
	unix.Close(shard)
	return nil, err
}

// errReplaced says that the name leads to another file than before: look again.
var errReplaced = errors.New("file replaced")

// tryLock takes the lock and opens the file, for reading only if it must be:
// on a read-only file system, or to look at a tombstone.
func (e *entry) tryLock(how mode, deadline time.Time) error {
	if how == shared {
		return e.lockAndOpen(how, unix.O_RDONLY, deadline)
	}
	err := e.lockAndOpen(how, unix.O_RDWR, deadline)
	if err == unix.EROFS || err == unix.EACCES {
		e.refused = err
		err = e.lockAndOpen(how, unix.O_RDONLY, deadline)
	}
	return err
}

// lockAndOpen takes the lock and then opens the same file for its data.
func (e *entry) lockAndOpen(how mode, access int, deadline time.Time) error {
	locked, release, err := e.take(how, access, deadline)
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

// check is open without keeping the file: whether it is worth waiting for.
func (e *entry) check() error {
	defer e.closeData()
	if err := e.open(unix.O_RDONLY); err != unix.ENOENT {
		return err
	}
	return nil
}

// make makes the session's file, empty, for the lock to be taken on it by
// whoever comes first: errReplaced if it is there now.
func (e *entry) make() error {
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
	switch tryLock(e.fd, time.Time{}) {
	case nil, unix.ENOLCK, unix.ENOSYS, unix.EOPNOTSUPP:
		if fstat(e.fd, &e.stat) == nil && e.stat.Size == 0 && e.stillNamed() == nil {
			unlinkat(e.shard, e.handle)
		}
	}
}
