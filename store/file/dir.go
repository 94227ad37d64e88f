package file

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// A dirError is what is wrong with the data directory, or one in it, as a
// whole.
type dirError struct {
	dir string
	err error
}

func (e *dirError) Error() string { return "data directory " + e.dir + ": " + e.err.Error() }

func (e *dirError) Unwrap() error { return e.err }

// openRoot opens the data directory, once in the life of the store. A missing
// one is made if create is set, and is ErrNotFound otherwise. Its parent is
// never made: a missing parent is most likely a misspelt option.
func (f *Store) openRoot(create bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.root >= 0 {
		return nil
	}
	fd, err := openDir(unix.AT_FDCWD, f.config.Dir)
	if err == unix.ENOENT {
		if !create {
			return store.ErrNotFound
		}
		if err = makeDir(unix.AT_FDCWD, f.config.Dir); err == unix.ENOENT {
			err = errNoParent()
		} else if err == nil {
			fd, err = openDir(unix.AT_FDCWD, f.config.Dir)
		}
	}
	if err != nil {
		return &dirError{f.config.Dir, err}
	}
	f.root = fd
	return nil
}

// errNoParent is the error of a data directory that cannot be made.
func errNoParent() error {
	return fmt.Errorf("%w: its parent directory does not exist; create it", store.ErrConfig)
}

// Missing implements [store.Operator].
func (f *Store) Missing() error {
	var st unix.Stat_t
	if lstatat(unix.AT_FDCWD, f.config.Dir, &st) != unix.ENOENT {
		return nil
	}
	err := errors.New("it does not exist, so there are no sessions; the first one makes it")
	if _, failed := os.Stat(filepath.Dir(f.config.Dir)); errors.Is(failed, fs.ErrNotExist) {
		err = errNoParent()
	}
	return &dirError{f.config.Dir, err}
}

// openShard opens the directory of the sessions whose handles begin with the
// same two digits as this one, and returns a descriptor that the caller closes.
// A missing one is made if create is set, and is ErrNotFound otherwise.
func (f *Store) openShard(handle string, create bool) (fd int, err error) {
	if err := f.openRoot(create); err != nil {
		return -1, err
	}
	name := handle[:2]
	fd, err = openOrMake(f.root, name, create)
	if err != nil && err != store.ErrNotFound {
		err = &fs.PathError{Op: "open", Path: f.config.Dir + "/" + name, Err: err}
	}
	return fd, err
}

// openOrMake opens the directory of this name in the open directory parent. A
// missing one is ErrNotFound, or made if create is set. The parent is then
// synced, so that no power cut takes away the directory of a session which was
// reported as stored.
func openOrMake(parent int, name string, create bool) (fd int, err error) {
	fd, err = openDir(parent, name)
	if err != unix.ENOENT {
		return fd, err
	}
	if !create {
		return -1, store.ErrNotFound
	}
	if err = makeDir(parent, name); err == nil {
		err = fsync(parent)
	}
	if err != nil {
		return -1, err
	}
	return openDir(parent, name)
}

// openDir opens a directory that no other user owns or can write to. It follows
// no symbolic link. A missing one is unix.ENOENT itself.
func openDir(parent int, name string) (fd int, err error) {
	fd, err = openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	switch err {
	case nil:
	case unix.ELOOP, unix.ENOTDIR:
		return -1, fmt.Errorf("%w: not a directory, or a symbolic link; name a real directory", store.ErrUnsafe)
	default:
		return -1, err
	}
	var st unix.Stat_t
	if err = fstat(fd, &st); err == nil {
		err = atMount(fd, &st, 0o022, checkOwned(&st, os.Geteuid(), 0o022))
	}
	if err != nil {
		closeFD(fd)
		return -1, err
	}
	return fd, nil
}

// makeDir makes a directory with mode 0700. It is no error if another process
// has just made it.
func makeDir(parent int, name string) error {
	if err := mkdirat(parent, name, 0o700); err != unix.EEXIST {
		return err
	}
	return nil
}

// shards is the number of directories that hold sessions. It keeps each of them
// small: some file systems search a directory from its start.
const shards = 256

// shardName returns the name of directory n: two hex digits, the first of the
// handles in it.
func shardName(n int) string { return hex.EncodeToString([]byte{byte(n)}) }

// CheckMemory returns ErrConfig if dir, or the parent of a dir that is still
// missing, is not on a file system in memory, or is missing too. Where the system
// does not tell (anything but Linux), that is always so.
func CheckMemory(dir string) error {
	ok, err := inMemory(dir)
	if err == unix.ENOENT { // it will be made there
		if ok, err = inMemory(filepath.Dir(dir)); err == unix.ENOENT {
			err = errNoParent()
		}
	}
	if err == nil && !ok {
		err = fmt.Errorf("%w: not on a file system in memory (tmpfs); "+
			"choose another --data-dir or --type file", store.ErrConfig)
	}
	if err != nil {
		return &dirError{dir, err}
	}
	return nil
}
