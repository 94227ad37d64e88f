package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The index of a session's user is an empty file for each session that has one,
// DIR/.users/ab/<user>.<handle>, where <user> is the first half of the hex
// SHA-256 of the user's name and ab its first two digits. It only finds
// sessions; whose they are, the sessions say. An entry is made before a session
// gets its user and marked with every access, so that none is missing while the
// session counts; one that leads nowhere is passed over and in time removed.
const usersDir = ".users"

// userKey returns how the index names a user.
func userKey(user string) string {
	sum := sha256.Sum256([]byte(user))
	return hex.EncodeToString(sum[:16])
}

// openUsers opens the part of the index that a user is in.
func (f *File) openUsers(key string, create bool) (fd int, err error) {
	if err := f.openRoot(create); err != nil {
		return -1, err
	}
	top, err := openOrMake(f.root, usersDir, create)
	if err != nil {
		return -1, f.indexError(err)
	}
	defer unix.Close(top)
	if fd, err = openOrMake(top, key[:2], create); err != nil {
		return -1, f.indexError(err)
	}
	return fd, nil
}

func (f *File) indexError(err error) error {
	if err == nil || err == ErrNotFound {
		return err
	}
	return &fs.PathError{Op: "keep the index of users", Path: f.dir + "/" + usersDir, Err: err}
}

// addUser makes sure that the index leads from the user to the handle, and
// marks the access there.
func (f *File) addUser(user, handle string) error {
	if user == "" {
		return nil
	}
	key := userKey(user)
	dir, err := f.openUsers(key, true)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	name := key + "." + handle
	err = setTime(dir, name, time.Now())
	if err == unix.ENOENT {
		err = touchat(dir, name)
		if err == unix.EEXIST {
			err = nil
		}
	}
	return f.indexError(err)
}

// dropUser takes the entry back. One that stays does no harm.
func (f *File) dropUser(user, handle string) {
	if user == "" {
		return
	}
	key := userKey(user)
	if dir, err := f.openUsers(key, false); err == nil {
		unlinkat(dir, key+"."+handle)
		unix.Close(dir)
	}
}

// UserHandles calls visit with the handle of each session that may be the
// user's: whose it is, the session says.
func (f *File) UserHandles(user string, visit func(handle string) error) error {
	key := userKey(user)
	fd, err := f.openUsers(key, false)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return eachName(fd, f.dir+"/"+usersDir+"/"+key[:2], func(name string) error {
		if handle, ok := strings.CutPrefix(name, key+"."); ok && validHandle(handle) {
			return visit(handle)
		}
		return nil
	})
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
