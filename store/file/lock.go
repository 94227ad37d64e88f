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

// The lock of a session for one call: flock(2) on the session's file, taken on
// a descriptor of its own. It belongs to the open file, so it ends with the
// process at the latest. Locks that last over several calls are in handed.go.

// A lockKind is how a session's file is locked. It is chosen once per call,
// since flock(2) drops a shared lock before it takes the exclusive one.
type lockKind int

const (
	shared    lockKind = iota // for readers; other readers may hold it too
	exclusive                 // until this call is over
	lasting                   // exclusive, on a descriptor that outlives this call
)

// lock opens and locks the session's file. A missing file is made, empty, if
// create is set, and is ErrNotFound otherwise. It waits for LockTimeout at
// most, then it is ErrLocked.
//
// The lock counts only if it is on the file that the name leads to once the
// lock is held: until then another process may have removed the file or moved
// the session. In that case it starts again.
func (f *Store) lock(handle string, kind lockKind, create bool) (*entry, error) {
	shard, err := f.openShard(handle, create)
	if err != nil {
		return nil, err
	}
	e := &entry{f: f, handle: handle, shard: shard, fd: -1}
	deadline := time.Now().Add(f.opts.LockTimeout)
	// An error that another try may mend is errReplaced; any other ends the loop.
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

// errReplaced says that the name now leads to another file than before, or may
// do so: the caller tries again.
var errReplaced = errors.New("file replaced")

// tryLock locks and opens the file once. Where the file cannot be opened for
// writing, on a read-only file system or because it is a tombstone (mode 0400),
// it is opened for reading, and e.refused holds the reason. A missing file is
// unix.ENOENT.
func (e *entry) tryLock(kind lockKind, deadline time.Time) error {
	if kind == shared {
		return e.lockAndOpen(kind, unix.O_RDONLY, deadline)
	}
	// On NFS an exclusive lock needs a descriptor for writing (flock(2)).
	err := e.lockAndOpen(kind, unix.O_RDWR, deadline)
	if err == unix.EROFS || err == unix.EACCES {
		e.refused = err
		err = e.lockAndOpen(kind, unix.O_RDONLY, deadline)
	}
	return err
}

// lockAndOpen takes the lock and then opens the file's data on a second
// descriptor. It is errReplaced if the two are not the same file.
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

// take takes the lock and returns the file that it is on, and the function that
// releases it. The descriptor that was handed down serves as the lock if it is
// on this very file: to take another lock would be to wait for oneself.
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
	// e.shard was opened last, so its number is about the highest in use.
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

// lockPath takes the lock of the file at path and returns the file's inode and
// what releases the lock. It waits for a busy lock until the deadline, inside
// flock(2): the kernel serves those who wait in order, while processes that
// poll can starve. It calls beforeWait first, and gives up with its error. A
// missing file is unix.ENOENT.
func lockPath(
	path string, flags int, exclusive bool, deadline time.Time, beforeWait func() error,
) (inode, func() error, error) {
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

// waitUntil runs wait, which blocks until it has the lock. At the deadline it
// returns ErrLocked without it. The wait then goes on in its goroutine, as
// flock(2) cannot be called off, and undo releases the lock if it still comes.
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

// probe checks, before a wait, that the file is safe to use. A file that is
// missing by now is fine: the process that holds its lock removed it, and the wait will
// be short.
func (e *entry) probe() error {
	defer e.closeData()
	if err := e.open(unix.O_RDONLY); err != unix.ENOENT {
		return err
	}
	return nil
}

// makeEmpty makes the session's file, empty. It returns errReplaced if the file
// exists afterwards, whichever process made it: the caller goes on to lock it.
func (e *entry) makeEmpty() error {
	err := touchat(e.shard, e.handle)
	e.fresh = e.fresh || err == nil
	if err == nil || err == unix.EEXIST {
		return errReplaced
	}
	return err
}

// takeBack removes the empty file that this call made but could not lock. It
// leaves the file if another process uses it by now, which shows in the file's
// lock or its size. On a file system without locks no process can have stored
// anything.
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

// busy returns ErrLocked with the process that holds the lock, where the system
// tells (see lockHolder), and logs it.
func (e *entry) busy() error {
	holder := ""
	var st unix.Stat_t
	if lstatat(e.shard, e.handle, &st) == nil {
		holder = lockHolder(&st)
	}
	e.f.opts.LogEvent("lock timeout", e.handle)
	return e.fail("lock", fmt.Errorf("%w%s; if this request holds the lock, "+
		"export CGISESSION_LOCK_FD", store.ErrLocked, holder))
}

// pollEvery is the time between two tries for the lock of a descriptor that is
// used elsewhere too. A wait inside flock(2) is not possible there: if the
// deadline passed first, the lock could still be granted to that descriptor
// afterwards.
const pollEvery = time.Millisecond

// lockWithin takes the exclusive lock of the open file fd, or returns
// [store.ErrLocked] at the deadline.
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

// spareDescriptors returns unix.EMFILE unless at least five descriptor numbers
// above fd are free. The library opens the lock's file with package os, which
// starts the Go runtime's poller; if that cannot have its two descriptors, the
// program is aborted.
func spareDescriptors(fd int) error {
	const wanted = 5
	spare, err := duplicate(fd, fd+wanted)
	if err == unix.EINVAL { // over the limit (fcntl(2))
		err = unix.EMFILE
	}
	if err == nil {
		closeFD(spare)
	}
	return err
}

// CheckDescriptors is spareDescriptors for what runs before any lock is taken,
// such as reading random bytes for a new id. It returns unix.EMFILE if too few
// are free.
func CheckDescriptors() error {
	next, err := duplicate(unix.Stdin, 0)
	if err != nil {
		return err
	}
	defer closeFD(next)
	return spareDescriptors(next)
}
