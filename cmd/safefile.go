package cmd

// This file opens and reads files that must be safe: only this user and root can have
// created them and, for the log, the directories and symbolic links of the path.

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// readSecretFile reads a file that no user but this one and root can read or write.
func readSecretFile(file string) ([]byte, error) {
	return readRegular(file, unix.O_NOFOLLOW, maxSecretFile, func(st *unix.Stat_t) error {
		switch {
		case !trusted(st):
			return fmt.Errorf("belongs to user %d; it must be root's or the caller's", st.Uid)
		case st.Mode&0o077 != 0:
			return fmt.Errorf("mode %#o lets other users read it; chmod 600 it, and make a new key", st.Mode&0o777)
		}
		return nil
	})
}

// maxSecretFile bounds a file of keys or of a password, in bytes.
const maxSecretFile = 64 << 10

// readRegular reads a regular file of at most limit bytes, unless check returns an
// error for it. It refuses a FIFO without waiting for a writer (O_NONBLOCK, open(2)).
func readRegular(file string, flags, limit int, check func(*unix.Stat_t) error) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK|flags, 0)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer f.Close()
	var st unix.Stat_t
	err = unix.Fstat(int(f.Fd()), &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errors.New("not a regular file")
	}
	if err == nil {
		err = check(&st)
	}
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if len(text) > limit {
		return nil, fmt.Errorf("larger than %d bytes", limit)
	}
	return text, withoutPath(err)
}

// trusted reports whether the file belongs to this user or to root.
func trusted(st *unix.Stat_t) bool { return st.Uid == 0 || int(st.Uid) == os.Geteuid() }

// openat opens a file that is not a symbolic link. It repeats openat(2) after a
// signal.
func openat(dir int, name string, flags int, mode uint32) (fd int, err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		fd, err = unix.Openat(dir, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	}
	return fd, err
}

// checked returns the descriptor, or closes it if check returns an error for the
// file.
func checked(fd int, check func(st *unix.Stat_t) error) (int, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	if err == nil {
		err = check(&st)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// A walk resolves a path, one name at a time. It refuses a directory or a symbolic
// link that another user could have put there to lead it elsewhere.
type walk struct {
	dir   int      // descriptor of the directory reached so far
	ahead []string // the names that are left
	links int      // how many symbolic links were followed
}

// maxLinks bounds how many symbolic links a walk follows, as Linux does
// (path_resolution(7)).
const maxLinks = 40

// openParent opens the directory of the path's last name, and returns that name.
func openParent(path string) (dir int, last string, err error) {
	w := walk{dir: -1}
	if err = w.prepend(path); err == nil {
		last, err = w.toLast()
	}
	if err != nil {
		unix.Close(w.dir)
		return -1, "", err
	}
	return w.dir, last, nil
}

// openTrusted opens a file for reading. Its last name, too, may be a symbolic link.
func openTrusted(path string) (fd int, err error) {
	w, last := walk{dir: -1}, ""
	defer func() { unix.Close(w.dir) }()
	for err = w.prepend(path); err == nil; err = w.follow(last, err) {
		if last, err = w.toLast(); err != nil {
			break
		}
		fd, err = openat(w.dir, last, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
		if err == nil {
			return checked(fd, checkConfig)
		}
	}
	return -1, err
}

// toLast enters the directory of the last name, and returns that name.
func (w *walk) toLast() (last string, err error) {
	for len(w.ahead) > 1 {
		name := w.ahead[0]
		w.ahead = w.ahead[1:]
		if name == "" {
			continue
		}
		if err := w.descend(name); err != nil {
			return "", err
		}
	}
	last, w.ahead = w.ahead[0], nil
	return cmp.Or(last, "."), nil
}

// prepend puts a path before the names that are left. It enters the directory that
// the path starts from, if that is not the one reached so far.
func (w *walk) prepend(path string) error {
	w.ahead = append(strings.Split(path, "/"), w.ahead...)
	switch {
	case strings.HasPrefix(path, "/"):
		return w.enter(unix.AT_FDCWD, "/")
	case w.dir < 0:
		return w.enter(unix.AT_FDCWD, ".")
	}
	return nil
}

// enter opens a directory, checks it, and makes it the one reached.
func (w *walk) enter(at int, name string) error {
	fd, err := openat(at, name, searchOnly|unix.O_DIRECTORY, 0)
	if err == nil {
		fd, err = checked(fd, func(st *unix.Stat_t) error { return checkDirectory(st, name) })
	}
	if err == nil {
		unix.Close(w.dir)
		w.dir = fd
	}
	return err
}

// checkDirectory returns an error for a directory in which another user could rename
// files that are not that user's own. With the sticky bit, as in /tmp, nobody can
// (unlink(2)).
func checkDirectory(st *unix.Stat_t, name string) error {
	switch {
	case !trusted(st):
		return fmt.Errorf("%w: directory %s belongs to user %d; it must be root's or the caller's",
			store.ErrUnsafe, name, st.Uid)
	case st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0:
		return fmt.Errorf("%w: mode %#o of directory %s lets other users write to it; chmod go-w it",
			store.ErrUnsafe, st.Mode&0o777, name)
	}
	return nil
}

// descend enters the directory of this name, or follows the symbolic link of this name.
func (w *walk) descend(name string) error {
	err := w.enter(w.dir, name)
	if err == nil || errors.Is(err, store.ErrUnsafe) {
		return err
	}
	return w.follow(name, err)
}

// follow puts the target of a symbolic link before the names that are left. It returns
// err, with which the name could not be opened, if that is no link.
func (w *walk) follow(name string, err error) error {
	var st unix.Stat_t
	if unix.Fstatat(w.dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return err
	}
	if !trusted(&st) {
		return fmt.Errorf("%w: symbolic link %s belongs to user %d; it must be root's or the caller's",
			store.ErrUnsafe, name, st.Uid)
	}
	if w.links++; w.links > maxLinks {
		return unix.ELOOP
	}
	link := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(w.dir, name, link)
	if err != nil {
		return err
	}
	return w.prepend(string(link[:n]))
}
