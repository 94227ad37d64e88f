package file

import (
	"errors"
	"io"
	"os"
	"sync"
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
		closeFD(fd)
	}
	return err
}

// mkdirat makes a directory with this mode, whatever the process's mask is.
func mkdirat(dir int, name string, mode uint32) error {
	return private(func() error { return unix.Mkdirat(dir, name, mode) })
}

// closeFD closes a descriptor. One that a signal interrupts is closed all the
// same, and must not be closed again (close(2)).
func closeFD(fd int) error {
	if err := unix.Close(fd); err != unix.EINTR {
		return err
	}
	return nil
}

// inherit lets commands that are run inherit the descriptor (fcntl(2)).
func inherit(fd int) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
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

// chmodat sets the mode of what is no symbolic link.
func chmodat(dir int, name string, mode uint32) error {
	return retry(func() error { return unix.Fchmodat(dir, name, mode, 0) })
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

// tryFlock takes the exclusive lock of an open file, or returns unix.EWOULDBLOCK.
func tryFlock(fd int, deadline time.Time) error {
	return retryUntil(deadline, func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
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

// pwriteAll writes text at the offset; a short write goes on to learn why.
func pwriteAll(fd int, text []byte, offset int64) error {
	for len(text) > 0 {
		var n int
		err := retry(func() (err error) {
			n, err = unix.Pwrite(fd, text, offset)
			return err
		})
		if err != nil {
			return err
		}
		text, offset = text[n:], offset+int64(n)
	}
	return nil
}

// namesAtOnce bounds how many names of a directory are in memory.
const namesAtOnce = 1024

// eachName calls visit with each name in the directory fd, which it closes, and
// stops at the first error.
func eachName(fd int, path string, visit func(name string) error) error {
	dir := os.NewFile(uintptr(fd), path)
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(namesAtOnce)
		for _, name := range names {
			if err := visit(name); err != nil {
				return err
			}
		}
		if len(names) == 0 {
			if err == io.EOF {
				return nil
			}
			return err
		}
	}
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

// umask guards the process's file mode creation mask.
var umask sync.Mutex

// private runs create while the mask leaves the owner's permissions alone, so
// that 0700 and 0600 come out as such.
func private(create func() error) error {
	umask.Lock()
	defer umask.Unlock()
	defer unix.Umask(unix.Umask(0o077))
	return retry(create)
}

// errno returns the system's error number that err wraps, or err itself.
func errno(err error) error {
	if number, ok := errors.AsType[unix.Errno](err); ok {
		return number
	}
	return err
}
