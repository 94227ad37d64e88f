package store

import (
	"errors"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"
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
		return ErrLocked
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
		return ErrLocked
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
