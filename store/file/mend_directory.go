package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// dirFaults returns what is wrong with the directories in the data directory.
func (f *Store) dirFaults() (faults []dirFault) {
	names := []string{damagedDir, usersDir}
	for n := range shards {
		names = append(names, shardName(n))
	}
	// What is in something else than an own directory is moved aside with that.
	var st unix.Stat_t
	if lstatat(f.root, usersDir, &st) == nil && isOwnDir(&st) {
		for n := range shards {
			names = append(names, usersDir+"/"+shardName(n))
		}
	}
	for _, name := range names {
		if err := f.checkDir(name); err != nil {
			_, usable := err.(wrongMode)
			faults = append(faults, dirFault{name, &fs.PathError{Op: "open", Path: f.dir + "/" + name, Err: err}, usable})
		}
	}
	return faults
}

// checkDir reports what is wrong with one directory. One that is missing is fine.
func (f *Store) checkDir(name string) error {
	fd, err := openDir(f.root, name)
	if err == unix.ENOENT {
		return nil
	}
	var st unix.Stat_t
	if err == nil {
		err = fstat(fd, &st)
		closeFD(fd)
	}
	if err == nil && st.Mode&0o700 != 0o700 {
		err = fmt.Errorf("mode %#o keeps its owner out; chmod 700 it", st.Mode&0o777)
	}
	if err == nil && st.Mode&0o077 != 0 {
		err = wrongMode{uint32(st.Mode) & 0o7777, 0o700}
	}
	return err
}

// What mends the data directory and the directories in it.

// A dirFault is a directory in the data directory that has not the right mode or
// owner.
type dirFault struct {
	name   string
	err    error
	usable bool // the store uses it all the same
}

// effect says what comes of it.
func (d dirFault) effect() string {
	switch {
	case d.usable:
		return "other users may see names in it"
	case d.name == damagedDir:
		return "nothing can be moved there"
	case strings.HasPrefix(d.name, usersDir):
		return "no session can get a user, and list --user and destroy --user fail"
	}
	return "the sessions in it are out of reach"
}

// closedMode is the mode of a directory while things are moved out of it.
// Others cannot get in, for they have no x; and the store refuses it, for the
// group has w. So no request uses what is about to be moved, and a repair that is
// killed begins anew.
const closedMode = 0o720

// mendRoot moves all sessions aside if others can write the data directory, makes
// it private, and returns what it did. What else is wrong with it is left.
func (f *Store) mendRoot() (did []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.root >= 0 {
		return nil, nil
	}
	fd, err := openat(unix.AT_FDCWD, f.dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, nil
	}
	var st unix.Stat_t
	if fstat(fd, &st) != nil || int(st.Uid) != os.Geteuid() || !isOpen(&st) {
		return nil, closeFD(fd)
	}
	f.root = fd
	aside, err := f.emptyRoot()
	if err != nil {
		f.root = -1
		closeFD(fd)
		return nil, err
	}
	return []string{fmt.Sprintf("%d directories of sessions in it are now in %s/%s", aside, f.dir, damagedDir), "its mode is now 0700"}, nil
}

// emptyRoot moves aside what the store would use in the data directory, and makes
// that private. The index of users stays, since only the sessions say whose they
// are.
func (f *Store) emptyRoot() (aside int, err error) {
	if err = f.checkOurs(); err != nil {
		return 0, err
	}
	if err = fchmod(f.root, closedMode); err != nil {
		return 0, err
	}
	if f.checkDir(damagedDir) != nil {
		if _, err = f.mendDir(damagedDir); err != nil {
			return 0, err
		}
	}
	for n := range shards {
		switch _, err = f.setAside(f.root, shardName(n), shardName(n)); err {
		case nil:
			aside++
		case unix.ENOENT:
		default:
			return aside, err
		}
	}
	if _, err = f.setAside(f.root, cursorFile, cursorFile); err != nil && err != unix.ENOENT {
		return aside, err
	}
	if err = fsync(f.root); err == nil {
		err = fchmod(f.root, 0o700)
	}
	return aside, err
}

// checkOurs refuses a directory whose mode is not to be changed, such as /tmp or
// /etc: it holds something, but nothing that the store of this user made.
func (f *Store) checkOurs() error {
	fd, err := openat(f.root, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	empty, ours := true, false
	err = eachName(fd, f.dir, func(name string) error {
		var st unix.Stat_t
		known := name == usersDir || name == cursorFile || name == damagedDir || f.isShard(name)
		ours = ours || known && lstatat(f.root, name, &st) == nil && int(st.Uid) == os.Geteuid()
		empty = false
		return nil
	})
	if err == nil && !empty && !ours {
		err = errors.New("it holds no sessions, but something else; choose another --data-dir")
	}
	return err
}

// isShard reports whether it may be a directory of sessions: one that is named so,
// and is empty, holds a session or cannot be read. A site's pages in German are in
// a directory de.
func (f *Store) isShard(name string) bool {
	if len(name) != 2 || !store.IsHex(name) {
		return false
	}
	fd, err := openat(f.root, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err == unix.EACCES
	}
	empty := true
	errHandle := errors.New("a session's file")
	err = eachName(fd, f.dir+"/"+name, func(name string) error {
		empty = false
		if store.IsHandle(name) {
			return errHandle
		}
		return nil
	})
	return empty || err != nil
}

// mendDir mends the directory of a fault, or moves what is in its place aside,
// and returns which. "." is the data directory itself.
func (f *Store) mendDir(name string) (did string, err error) {
	var st unix.Stat_t
	if err := lstatat(f.root, name, &st); err != nil {
		return "", err
	}
	holdsSessions := name[0] != '.'
	if !isOwnDir(&st) || holdsSessions && isOpen(&st) {
		return f.setAside(f.root, name, strings.ReplaceAll(name, "/", "."))
	}
	if name == "." {
		if err = f.checkOurs(); err != nil {
			return "", err
		}
	}
	if isOpen(&st) && strings.HasPrefix(name, usersDir+"/") {
		if err = f.setStrangersAside(name); err != nil {
			return "", err
		}
	}
	return "its mode is now 0700", chmodat(f.root, name, 0o700)
}

// setStrangersAside moves aside what others made in a directory of the index of users
// under the names of entries: they would be in the way of its own.
func (f *Store) setStrangersAside(name string) error {
	if err := chmodat(f.root, name, closedMode); err != nil {
		return err
	}
	fd, err := openat(f.root, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return eachName(fd, f.dir+"/"+name, func(entry string) error {
		var st unix.Stat_t
		_, handle, _ := strings.Cut(entry, ".")
		if !store.IsHandle(handle) || lstatat(fd, entry, &st) != nil || isOwn(&st) {
			return nil
		}
		_, err := f.setAside(fd, entry, entry)
		return err
	})
}
