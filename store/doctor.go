package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
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

// CheckDirs reports each directory in the data directory that is not this user's
// alone, so that what is in it is out of reach.
func (f *File) CheckDirs() (unsafe []error) {
	names := []string{usersDir, damagedDir}
	for n := range shards {
		names = append(names, shardName(n))
	}
	for _, name := range names {
		fd, err := openOrMake(f.root, name, false)
		switch err {
		case nil:
			unix.Close(fd)
		case ErrNotFound:
		default:
			unsafe = append(unsafe, &fs.PathError{Op: "open", Path: f.dir + "/" + name, Err: err})
		}
	}
	return unsafe
}

// A trial is a file that the checks below make and remove.
const trial = ".doctor-"

// makeTrial makes an empty file in the data directory.
func (f *File) makeTrial(name string) (string, error) {
	name = trial + fmt.Sprint(os.Getpid()) + name
	return name, touchat(f.root, name)
}

// TryLock checks that locks work here between processes: while a file is locked,
// other(path) must report that it could not lock it, and afterwards that it could.
func (f *File) TryLock(other func(path string) (locked bool, err error)) error {
	name, err := f.makeTrial("")
	if err != nil {
		return err
	}
	defer unlinkat(f.root, name)
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
	defer unlinkat(f.root, a)
	b, err := f.makeTrial("b")
	if err != nil {
		return err
	}
	defer unlinkat(f.root, b)
	return exchange(f.root, a, f.root, b)
}

// ClockSkew returns how far the file system's clock is ahead of this machine's.
func (f *File) ClockSkew() (time.Duration, error) {
	name, err := f.makeTrial("t")
	if err != nil {
		return 0, err
	}
	defer unlinkat(f.root, name)
	var st unix.Stat_t
	if err := lstatat(f.root, name, &st); err != nil {
		return 0, err
	}
	return time.Until(time.Unix(st.Mtim.Unix())), nil
}

// damagedDir is where files go that hold no session any more.
const damagedDir = ".damaged"

// SetAside moves the file of a session, which must hold no whole record, into
// the directory .damaged, under a name that is new there, and returns where it
// is now. One that holds a whole record after all, or nothing, is ErrNotFound.
func (f *File) SetAside(handle string) (string, error) {
	e, err := f.lock(handle, exclusive, false)
	if err != nil {
		return "", err
	}
	defer e.close()
	text, err := e.read()
	if err != nil {
		return "", err
	}
	if _, err := current(text); err == nil || len(text) == 0 {
		return "", ErrNotFound
	}
	dir, err := openOrMake(f.root, damagedDir, true)
	if err != nil {
		return "", &dirError{f.dir, err}
	}
	defer unix.Close(dir)
	name := fmt.Sprintf("%s.%d", e.handle, time.Now().UnixNano())
	if err := renameat(e.shard, e.handle, dir, name); err != nil {
		return "", e.fail("set aside", err)
	}
	return f.dir + "/" + damagedDir + "/" + name, nil
}

// MendUser makes sure that the index of users leads to the session.
func (f *File) MendUser(s *Session) error { return f.addUser(s.User, s.Handle) }

// damage says what is wrong with the text of a session's file, of which current
// said at and err: nil for nothing.
func damage(text []byte, at found, err error) error {
	newest := claims(text)
	switch {
	case err == nil && newest[0].version > at.version:
		return fmt.Errorf("its newest version was damaged, or the writer of that crashed; version %d counts, and the next save mends it", at.version)
	case err == nil, len(text) == 0:
		return nil
	case err == ErrNotFound, lineVersion(lastLine(text)) > 0:
		return errors.New("it was cut short, or the writer of its first version crashed")
	case len(newest) > 0:
		return errors.New("bytes in it were changed: its checksum is wrong")
	}
	return errors.New("it holds no session, but what another program wrote")
}

// lastLine returns what follows the last line feed.
func lastLine(text []byte) []byte { return text[bytes.LastIndexByte(text, '\n')+1:] }
