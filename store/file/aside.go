package file

import (
	"fmt"
	"io/fs"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// damagedDir is the directory for what is set aside: damaged files, copies of
// them, and whatever stands in the way of the store. Each has the time in its
// name, in Unix nanoseconds, so that none replaces another.
const damagedDir = ".damaged"

// setAside renames what is called name in the open directory parent, and
// returns where it is now, in words for an operator. It goes into damagedDir. A
// directory of another user cannot be moved into another directory (rename(2),
// EACCES); it gets a new name where it is. So does damagedDir itself.
func (f *Store) setAside(parent int, name, as string) (did string, err error) {
	as = fmt.Sprintf("%s.%d", as, time.Now().UnixNano())
	// damagedDir cannot be moved into itself.
	if name == damagedDir {
		return "it is now " + f.config.Dir + "/" + as, renameNew(parent, name, f.root, as)
	}
	dir, err := f.openDamaged()
	if err != nil {
		return "", err
	}
	defer closeFD(dir)
	err = renameNew(parent, name, dir, as)
	if err == unix.EACCES {
		as = damagedDir + "." + as
		err = renameNew(parent, name, parent, path.Join(path.Dir(name), as))
		return "it is now " + as + " in the same directory", err
	}
	return "it is now " + f.config.Dir + "/" + damagedDir + "/" + as, err
}

// copyAside writes text to a new file in damagedDir, syncs it, and returns its
// path.
func (f *Store) copyAside(name string, text []byte) (copied string, err error) {
	dir, err := f.openDamaged()
	if err != nil {
		return "", err
	}
	defer closeFD(dir)
	name, fd, err := f.copyTo(dir, name, text, time.Now())
	if err == nil {
		err = closeFD(fd)
	}
	return f.config.Dir + "/" + damagedDir + "/" + name, err
}

// copyTo is copyAside for damagedDir, which is open as dir. It sets the time of the
// copy, and returns the copy's name and its open descriptor.
func (f *Store) copyTo(dir int, as string, text []byte, modified time.Time) (name string, fd int, err error) {
	name = fmt.Sprintf("%s.%d", as, time.Now().UnixNano())
	path := f.config.Dir + "/" + damagedDir + "/" + name
	fd, err = createat(dir, name, unix.O_EXCL, 0o600)
	if err != nil {
		return name, -1, &fs.PathError{Op: "create", Path: path, Err: err}
	}
	err = pwriteAll(fd, text, 0)
	if err == nil {
		err = setTime(dir, name, modified)
	}
	if err == nil {
		err = fsync(fd)
	}
	if err != nil {
		closeFD(fd)
		unlinkat(dir, name)
		return name, -1, &fs.PathError{Op: "write", Path: path, Err: err}
	}
	return name, fd, nil
}

// openDamaged opens damagedDir and makes it if it is missing.
func (f *Store) openDamaged() (fd int, err error) {
	fd, err = openOrMake(f.root, damagedDir, true)
	if err != nil {
		err = &fs.PathError{Op: "open", Path: f.config.Dir + "/" + damagedDir, Err: err}
	}
	return fd, err
}
