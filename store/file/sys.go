package file

import (
	"errors"
	"io"
	"math"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// The system calls of this package. Each is repeated for as long as a signal
// interrupts it, and each error is a unix.Errno as it is, to be compared with
// ==.

// openat opens the name in the open directory dir (openat(2)). It follows no
// symbolic link, and commands do not inherit the descriptor.
func openat(dir int, name string, flags int, mode uint32) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Openat(dir, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
		return err
	})
	return fd, err
}

// createat opens a file for writing, and makes it if it is missing. A new file
// has this mode, whatever the process's umask. With unix.O_EXCL, one that
// exists is unix.EEXIST.
func createat(dir int, name string, flags int, mode uint32) (fd int, err error) {
	err = private(func() error {
		fd, err = openat(dir, name, unix.O_WRONLY|unix.O_CREAT|flags, mode)
		return err
	})
	return fd, err
}

// touchat makes an empty file with mode 0600, or returns unix.EEXIST if there
// is one.
func touchat(dir int, name string) error {
	fd, err := createat(dir, name, unix.O_EXCL, 0o600)
	if err == nil {
		closeFD(fd)
	}
	return err
}

// mkdirat makes a directory with this mode, whatever the process's umask
// (mkdirat(2)).
func mkdirat(dir int, name string, mode uint32) error {
	return private(func() error { return unix.Mkdirat(dir, name, mode) })
}

// closeFD closes a descriptor. It is closed even if a signal interrupted
// close(2), and a second close could hit a descriptor that another thread got
// meanwhile.
func closeFD(fd int) error {
	if err := unix.Close(fd); err != unix.EINTR {
		return err
	}
	return nil
}

// inherit lets the commands that are run inherit the descriptor: it clears
// FD_CLOEXEC (fcntl(2)).
func inherit(fd int) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
	return err
}

// duplicate returns a second descriptor of the open file, from the number least
// on (fcntl(2)). Commands do not inherit it.
func duplicate(fd, least int) (int, error) {
	return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, least)
}

// fstat fills st from the open file (fstat(2)).
func fstat(fd int, st *unix.Stat_t) error {
	return retry(func() error { return unix.Fstat(fd, st) })
}

// lstatat fills st from a name in the open directory dir, and from a symbolic
// link itself if the name is one (fstatat(2)).
func lstatat(dir int, name string, st *unix.Stat_t) error {
	return retry(func() error { return unix.Fstatat(dir, name, st, unix.AT_SYMLINK_NOFOLLOW) })
}

// unlinkat removes a name in the open directory dir that is no directory
// (unlinkat(2)).
func unlinkat(dir int, name string) error {
	return retry(func() error { return unix.Unlinkat(dir, name, 0) })
}

// renameat renames a file, and replaces one that has the new name
// (renameat(2)).
func renameat(fromDir int, from string, toDir int, to string) error {
	return retry(func() error { return unix.Renameat(fromDir, from, toDir, to) })
}

// fchmod sets the mode of the open file (fchmod(2)).
func fchmod(fd int, mode uint32) error {
	return retry(func() error { return unix.Fchmod(fd, mode) })
}

// chmodat sets the mode of a name in the open directory dir (fchmodat(2)). It
// follows symbolic links: the caller has checked that the name is none.
func chmodat(dir int, name string, mode uint32) error {
	return retry(func() error { return unix.Fchmodat(dir, name, mode, 0) })
}

// setTime sets the times of access and modification of a name in the open
// directory dir (utimensat(2)). It does not follow a symbolic link. A time that the
// system call has no room for, on 32-bit processors from 2038 on, becomes the latest
// for which it has, as the kernel does for file systems.
func setTime(dir int, name string, t time.Time) error {
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		ts, _ = unix.TimeToTimespec(time.Unix(math.MaxInt32, 0))
	}
	return retry(func() error {
		return unix.UtimesNanoAt(dir, name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// ftruncate cuts or extends the open file to this size in bytes (ftruncate(2)).
func ftruncate(fd int, size int) error {
	return retry(func() error { return unix.Ftruncate(fd, int64(size)) })
}

// fsync waits until the open file or directory is on the disk (fsync(2)).
func fsync(fd int) error {
	return retry(func() error { return unix.Fsync(fd) })
}

// setLock is flock(2): how is unix.LOCK_SH, LOCK_EX or LOCK_UN. It may wait.
func setLock(fd, how int) error {
	return retry(func() error { return unix.Flock(fd, how) })
}

// tryFlock takes the exclusive lock of an open file, or returns
// unix.EWOULDBLOCK if it is busy. The deadline ends its repetitions only; see
// retryUntil.
func tryFlock(fd int, deadline time.Time) error {
	return retryUntil(deadline, func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
}

// preadAll reads from the offset until text is full or the file ends, and
// returns the number of bytes (pread(2)).
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

// pwriteAll writes text at the offset (pwrite(2)). After a short write it
// writes the rest, which succeeds or returns the reason.
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

// namesAtOnce is how many names of a directory are in memory at a time.
const namesAtOnce = 1024

// eachName calls visit with each name in the open directory fd, and stops at
// the first error. It closes fd. path is for messages only.
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

// retry repeats a system call for as long as a signal interrupts it (EINTR,
// signal(7)).
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// retryUntil is retry for flock(2). If the signals do not stop, it returns
// [store.ErrLocked] at the deadline, but not before 100 tries: a deadline that
// has passed already must not turn one signal into a failure.
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

// umask guards the process's umask, which belongs to all its threads.
var umask sync.Mutex

// private runs create with a umask that takes no permission from the owner, so
// that modes 0700 and 0600 come out as they were asked for (umask(2)).
func private(create func() error) error {
	umask.Lock()
	defer umask.Unlock()
	defer unix.Umask(unix.Umask(0o077))
	return retry(create)
}

// errno returns the unix.Errno in err, or err itself if there is none.
func errno(err error) error {
	if number, ok := errors.AsType[unix.Errno](err); ok {
		return number
	}
	return err
}
