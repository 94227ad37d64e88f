package cmd

// This file opens and reads files that must be safe: only this user and root can have
// created them and, for the log, the directories and symbolic links of the path.

import (
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

// openFile opens a file that is not a symbolic link. It repeats open(2) after a signal.
func openFile(path string, flags int, mode uint32) (fd int, err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		fd, err = unix.Open(path, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
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

// maxLinks bounds how many symbolic links a path may have, as Linux does
// (path_resolution(7)).
const maxLinks = 40

// openTrusted opens a file for reading. The last name of its path may be a symbolic link.
func openTrusted(path string) (fd int, err error) {
	for range maxLinks {
		if path, err = withoutLinks(path, 0); err != nil {
			return -1, err
		}
		fd, err = openFile(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
		if err != unix.ELOOP {
			return fd, err
		}
		if path, err = follow(path, len(path), 0); err != nil {
			return -1, err
		}
	}
	return -1, unix.ELOOP
}

// withoutLinks returns the path of the file that path leads to, in which no directory is a
// symbolic link. It refuses directories and links that another user could have put there to
// lead elsewhere. So none can change afterwards where the path leads: each name in it
// stands in a directory that was checked, and belongs to this user or root. owner is a
// user who is trusted besides them.
func withoutLinks(path string, owner uint32) (string, error) {
	for range maxLinks {
		link, err := checkDirectories(path, owner)
		if err == nil && link > 0 {
			path, err = follow(path, link, owner)
		} else if err == nil {
			return path, nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", unix.ELOOP
}

// checkDirectories checks the directories before the last name of a path. It stops at a
// symbolic link; link is the length of the path to that, or 0 if there is none.
func checkDirectories(path string, owner uint32) (link int, err error) {
	start := "."
	if strings.HasPrefix(path, "/") {
		start = "/"
	}
	var st unix.Stat_t
	if err = unix.Lstat(start, &st); err == nil {
		err = checkDirectory(&st, start, owner)
	}
	for i := 1; i < len(path) && err == nil; i++ {
		if path[i] != '/' || path[i-1] == '/' {
			continue
		}
		if err = unix.Lstat(path[:i], &st); err != nil {
			break
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFLNK:
			return i, nil
		case unix.S_IFDIR:
			err = checkDirectory(&st, path[strings.LastIndexByte(path[:i], '/')+1:i], owner)
		default:
			err = unix.ENOTDIR
		}
	}
	return 0, err
}

// follow returns the path with the target of the symbolic link that its first n bytes lead
// to in their place.
func follow(path string, n int, owner uint32) (string, error) {
	var st unix.Stat_t
	name := strings.LastIndexByte(path[:n], '/') + 1
	if err := unix.Lstat(path[:n], &st); err != nil {
		return "", err
	}
	if !trusted(&st) && st.Uid != owner {
		return "", fmt.Errorf("%w: symbolic link %s belongs to user %d; it must be root's or the caller's",
			store.ErrUnsafe, path[name:n], st.Uid)
	}
	target, err := os.Readlink(path[:n])
	if err == nil && !strings.HasPrefix(target, "/") {
		target = path[:name] + target
	}
	return target + path[n:], withoutPath(err)
}

// checkDirectory returns an error for a directory in which another user could rename
// files that are not that user's own. With the sticky bit, as in /tmp, nobody can
// (unlink(2)).
func checkDirectory(st *unix.Stat_t, name string, owner uint32) error {
	switch {
	case !trusted(st) && st.Uid != owner:
		return fmt.Errorf("%w: directory %s belongs to user %d; it must be root's or the caller's",
			store.ErrUnsafe, name, st.Uid)
	case st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0:
		return fmt.Errorf("%w: mode %#o of directory %s lets other users write to it; chmod go-w it",
			store.ErrUnsafe, st.Mode&0o777, name)
	}
	return nil
}
