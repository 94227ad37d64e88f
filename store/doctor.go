package store

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Space is what a file system has, and has left for this user. All zero: unknown.
type Space struct {
	Bytes, FreeBytes   int64
	Inodes, FreeInodes int64
	System             string // "memory", "NFS", "SMB", "9P", "FUSE"; else ""
}

// Space returns what the data directory's file system has.
func (f *File) Space() Space {
	s, _ := space(f.dir)
	return s
}

// Check reports what is wrong with the data directory: ErrNotFound if there is
// none yet.
func (f *File) Check() error { return f.openRoot(false) }

// A trial is a file that the checks below make and remove.
const trial = ".doctor-"

// makeTrial makes an empty file in the data directory.
func (f *File) makeTrial(name string) (string, error) {
	name = trial + fmt.Sprint(os.Getpid()) + name
	err := private(func() error {
		fd, err := unix.Openat(f.root, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
		if err == nil {
			unix.Close(fd)
		}
		return err
	})
	return name, err
}

// TryLock checks that locks work here between processes: while a file is locked,
// other(path) must report that it could not lock it, and afterwards that it could.
func (f *File) TryLock(other func(path string) (locked bool, err error)) error {
	name, err := f.makeTrial("")
	if err != nil {
		return err
	}
	defer unix.Unlinkat(f.root, name, 0)
	path := f.dir + "/" + name
	_, release, err := lockPath(path, unix.O_RDWR, true, time.Now(), func() error { return nil })
	if err != nil {
		return err
	}
	locked, err := other(path)
	release()
	switch {
	case err != nil:
		return err
	case locked:
		return errors.New("two processes locked one file at a time")
	}
	if locked, err = other(path); err == nil && !locked {
		err = errors.New("a lock that was released stays")
	}
	return err
}

// LockOnce reports whether the lock on the file could be had without waiting.
func LockOnce(path string) (bool, error) {
	_, release, err := lockPath(path, unix.O_RDWR, true, time.Time{}, func() error { return nil })
	if err == ErrLocked {
		return false, nil
	}
	if err == nil {
		release()
	}
	return err == nil, err
}

// TryExchange checks that two names can be exchanged here, as Move with a grace
// needs.
func (f *File) TryExchange() error {
	a, err := f.makeTrial("a")
	if err != nil {
		return err
	}
	defer unix.Unlinkat(f.root, a, 0)
	b, err := f.makeTrial("b")
	if err != nil {
		return err
	}
	defer unix.Unlinkat(f.root, b, 0)
	return exchange(f.root, a, f.root, b)
}

// ClockSkew returns how far the file system's clock is ahead of this machine's.
func (f *File) ClockSkew() (time.Duration, error) {
	name, err := f.makeTrial("t")
	if err != nil {
		return 0, err
	}
	defer unix.Unlinkat(f.root, name, 0)
	var st unix.Stat_t
	if err := unix.Fstatat(f.root, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return 0, err
	}
	return time.Unix(st.Mtim.Unix()).Sub(time.Now()), nil
}

// damagedDir is where files go that hold no session any more.
const damagedDir = ".damaged"

// SetAside moves the file of a session, which must hold no whole record, into
// the directory .damaged, and returns where it is now.
func (f *File) SetAside(handle string) (string, error) {
	e, err := f.lock(handle, exclusive, false)
	if err != nil {
		return "", err
	}
	defer e.close()
	text, err := e.read()
	if err == nil {
		if _, err = current(text); err == nil {
			return "", ErrNotFound // mended meanwhile
		}
	}
	dir, err := openOrMake(f.root, damagedDir, true)
	if err != nil {
		return "", &dirError{f.dir, err}
	}
	defer unix.Close(dir)
	if err := unix.Renameat(e.shard, e.handle, dir, e.handle); err != nil {
		return "", e.fail("set aside", err)
	}
	return f.dir + "/" + damagedDir + "/" + handle, nil
}

// MendUser makes sure that the index of users leads to the session.
func (f *File) MendUser(s *Session) error { return f.addUser(s.User, s.Handle) }
