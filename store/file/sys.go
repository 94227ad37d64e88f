package file

import (
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// The system calls of this package, each repeated for as long as a signal
// interrupts it. They return the plain unix.Errno.

func openat(dir int, name string, flags int, mode uint32) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Openat(dir, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
		return err
	})
	return fd, err
}

// createat opens a file for writing, which it makes with this mode whatever the
// process's mask is.
func createat(dir int, name string, flags int, mode uint32) (fd int, err error) {
	err = private(func() error {
		fd, err = openat(dir, name, unix.O_WRONLY|unix.O_CREAT|flags, mode)
		return err
	})
	return fd, err
}

// touchat makes an empty file; unix.EEXIST if there is one.
func touchat(dir int, name string) error {
	fd, err := createat(dir, name, unix.O_EXCL, 0o600)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// duplicate returns another descriptor of the open file, which no command inherits.
func duplicate(fd int) (int, error) {
	return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
}

func fstat(fd int, st *unix.Stat_t) error {
	return retry(func() error { return unix.Fstat(fd, st) })
}

// lstatat looks at a name in a directory, and at no more if that is a link.
func lstatat(dir int, name string, st *unix.Stat_t) error {
	return retry(func() error { return unix.Fstatat(dir, name, st, unix.AT_SYMLINK_NOFOLLOW) })
}

func unlinkat(dir int, name string) error {
	return retry(func() error { return unix.Unlinkat(dir, name, 0) })
}

func renameat(fromDir int, from string, toDir int, to string) error {
	return retry(func() error { return unix.Renameat(fromDir, from, toDir, to) })
}

func fchmod(fd int, mode uint32) error {
	return retry(func() error { return unix.Fchmod(fd, mode) })
}

func ftruncate(fd int, size int) error {
	return retry(func() error { return unix.Ftruncate(fd, int64(size)) })
}

func fsync(fd int) error {
	return retry(func() error { return unix.Fsync(fd) })
}

// setLock is flock(2).
func setLock(fd, how int) error {
	return retry(func() error { return unix.Flock(fd, how) })
}

// retry repeats a system call for as long as a signal interrupts it.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// retryUntil is retry for flock(2): interruptions that do not end are [store.ErrLocked] at
// the deadline, but not before some tries.
func retryUntil(deadline time.Time, call func() error) error {
	const fewest = 100
	for try := 1; ; try++ {
		err := call()
		if err != unix.EINTR {
			return err
		}
		if try >= fewest && !time.Now().Before(deadline) {
			return store.ErrLocked
		}
	}
}

// preadAll fills text from the offset on, or up to the file's end.
func preadAll(fd int, text []byte, offset int64) (n int, err error) {
	for n < len(text) {
		var m int
		err = retry(func() (err error) {
			m, err = unix.Pread(fd, text[n:], offset+int64(n))
			return err
		})
		if err != nil || m == 0 {
			return n, err
		}
		n += m
	}
	return n, nil
}

// setTime sets the times of a file, which is no symbolic link, in directory dir.
func setTime(dir int, name string, t time.Time) error {
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		return err
	}
	return retry(func() error {
		return unix.UtimesNanoAt(dir, name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	})
}
