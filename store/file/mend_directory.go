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

// How doctor checks the data directory and the directories in it, and mends
// them.

// dirFaults returns what is wrong with the directories in the data directory.
func (f *Store) dirFaults() (faults []dirFault) {
	names := []string{damagedDir, usersDir}
	for n := range shards {
		names = append(names, shardName(n))
	}
	// An index that is not a directory of this user is set aside with all that is in it.
	var st unix.Stat_t
	if lstatat(f.root, usersDir, &st) == nil && isOwnDir(&st) {
		for n := range shards {
			names = append(names, usersDir+"/"+shardName(n))
		}
	}
	for _, name := range names {
		if err := f.checkDir(name); err != nil {
			_, usable := err.(wrongMode)
			err = &fs.PathError{Op: "open", Path: f.config.Dir + "/" + name, Err: err}
			faults = append(faults, dirFault{name, err, usable})
		}
	}
	return faults
}

// checkDir returns what is wrong with one directory in the data directory: the
// error of opening it, or its mode. A missing one is fine.
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
	if err == nil && modeless(openOn(f.root)) != "" {
		return nil // examination.modes has a finding for the mount
	}
	if err == nil && st.Mode&0o700 != 0o700 {
		err = fmt.Errorf("mode %#o keeps its owner out; chmod 700 it", st.Mode&0o777)
	}
	if err == nil && st.Mode&0o077 != 0 {
		err = wrongMode{uint32(st.Mode) & 0o7777, 0o700}
	}
	return err
}

// A dirFault is a directory in the data directory with the wrong mode or owner.
type dirFault struct {
	name   string // relative to the data directory
	err    error
	usable bool // the store uses the directory nevertheless
}

// effect returns what does not work because of the fault, in words for an
// operator.
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

// closedMode is the mode of a directory while things are moved out of it. Other
// users cannot reach what is in it, as they have no x. The store refuses it,
// since the group has w; so no request uses what is about to be moved. If the
// repair is killed, the mode stays, and the next repair begins again.
const closedMode = 0o720

// mendRoot sets all sessions aside if other users can write to the data
// directory, makes the directory private, and returns what it did, in words for
// an operator. It does nothing about any other fault.
func (f *Store) mendRoot() (did []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	// A directory that is open already was safe when it was opened.
	if f.root >= 0 {
		return nil, nil
	}
	fd, err := openat(unix.AT_FDCWD, f.config.Dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, nil
	}
	var st unix.Stat_t
	if fstat(fd, &st) != nil || int(st.Uid) != os.Geteuid() || !isOpen(&st) || modeless(openOn(fd)) != "" {
		return nil, closeFD(fd)
	}
	f.root = fd
	aside, err := f.emptyRoot()
	if err != nil {
		f.root = -1
		closeFD(fd)
		return nil, err
	}
	where := fmt.Sprintf("%d directories of sessions in it are now in %s/%s", aside, f.config.Dir, damagedDir)
	return []string{where, "its mode is now 0700"}, nil
}

// emptyRoot sets aside what the store would use in the data directory, returns
// how many directories of sessions that were, and makes the data directory
// private. The index of users stays: it is only believed where a session says
// the same.
func (f *Store) emptyRoot() (aside int, err error) {
	if err = f.checkOurs(); err != nil {
		return 0, err
	}

	// From here to the last fchmod other calls are refused.
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

	// The directory is opened to requests only after the renames are on the disk.
	if err = fsync(f.root); err == nil {
		err = fchmod(f.root, 0o700)
	}
	return aside, err
}

// checkOurs returns an error for a directory that is not empty but holds
// nothing that this store made for this user, such as /tmp or /etc. Its mode
// must not be changed.
func (f *Store) checkOurs() error {
	fd, err := openat(f.root, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	empty, ours := true, false
	err = eachName(fd, f.config.Dir, func(name string) error {
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

// isShard reports whether the name may be that of a directory of sessions. The
// name alone is not enough: a web site may keep its German pages in a directory
// "de". It must also be empty, hold a session's file, or be unreadable.
func (f *Store) isShard(name string) bool {
	if len(name) != 2 || !store.IsHex(name) {
		return false
	}
	fd, err := openat(f.root, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err == unix.EACCES // its mode may be what is to be mended
	}
	empty := true
	errHandle := errors.New("a session's file")
	err = eachName(fd, f.config.Dir+"/"+name, func(name string) error {
		empty = false
		if store.IsHandle(name) {
			return errHandle
		}
		return nil
	})
	return empty || err != nil
}

// mendDir mends the directory of this name, or sets aside what is in its place,
// and returns what it did, in words for an operator. "." is the data directory
// itself.
func (f *Store) mendDir(name string) (did string, err error) {
	var st unix.Stat_t
	if err := lstatat(f.root, name, &st); err != nil {
		return "", err
	}
	// Sessions that other users could write are not trusted; an index or what is damaged
	// is not trusted anyway.
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

// setStrangersAside sets aside the files that other users made under the names
// of entries in a directory of the index of users: the store could not mark
// them.
func (f *Store) setStrangersAside(name string) error {
	if err := chmodat(f.root, name, closedMode); err != nil {
		return err
	}
	fd, err := openat(f.root, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return eachName(fd, f.config.Dir+"/"+name, func(entry string) error {
		var st unix.Stat_t
		if _, ok := splitEntry(entry); !ok || lstatat(fd, entry, &st) != nil || isOwn(&st) {
			return nil
		}
		_, err := f.setAside(fd, entry, entry)
		return err
	})
}
