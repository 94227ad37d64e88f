package file

import (
	"fmt"
	"io/fs"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// What mends a damaged data directory. What cannot be mended is moved aside, so
// that no data is ever deleted: the damaged part of a file is copied first.
//
// What other users could only read is mended. What they could write is moved
// aside too, however whole it looks: a session of one of them, renamed to the
// handle of another visitor, would be that visitor's.

// damagedDir is where that goes, each under a name that is new there.
const damagedDir = ".damaged"

// setAside moves what has the name in the directory at out of the way, and
// returns where it is now. A directory of another user cannot be moved to another
// directory (rename(2)), so it gets another name where it is.
func (f *Store) setAside(parent int, name, as string) (did string, err error) {
	as = fmt.Sprintf("%s.%d", as, time.Now().UnixNano())
	if name == damagedDir {
		return "it is now " + f.dir + "/" + as, renameNew(parent, name, f.root, as)
	}
	dir, err := f.openDamaged()
	if err != nil {
		return "", err
	}
	defer closeFD(dir)
	err = renameNew(parent, name, dir, as)
	if err == unix.EACCES {
		as = damagedDir + "." + as
		return "it is now " + as + " in the same directory", renameNew(parent, name, parent, path.Join(path.Dir(name), as))
	}
	return "it is now " + f.dir + "/" + damagedDir + "/" + as, err
}

// copyAside puts the text of a file with the damaged ones, for good, and returns
// where it is.
func (f *Store) copyAside(name string, text []byte) (copied string, err error) {
	dir, err := f.openDamaged()
	if err != nil {
		return "", err
	}
	defer closeFD(dir)
	name = fmt.Sprintf("%s.%d", name, time.Now().UnixNano())
	copied = f.dir + "/" + damagedDir + "/" + name
	fd, err := createat(dir, name, unix.O_EXCL, 0o600)
	if err != nil {
		return "", &fs.PathError{Op: "create", Path: copied, Err: err}
	}
	err = pwriteAll(fd, text, 0)
	if err == nil {
		err = fsync(fd)
	}
	if closing := closeFD(fd); err == nil {
		err = closing
	}
	if err != nil {
		unlinkat(dir, name)
		return "", &fs.PathError{Op: "write", Path: copied, Err: err}
	}
	return copied, nil
}

// openDamaged opens the directory for what is damaged.
func (f *Store) openDamaged() (fd int, err error) {
	fd, err = openOrMake(f.root, damagedDir, true)
	if err != nil {
		err = &fs.PathError{Op: "open", Path: f.dir + "/" + damagedDir, Err: err}
	}
	return fd, err
}
