package cmd

// This file finds the directories that a data-dir of the configuration file stands for.

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// A place is a directory to clean, for a section of the configuration file.
type place struct {
	section, dir string
	uid, gid     int       // of its owner
	node         [2]uint64 // its device and inode
	cleaned      time.Time // the last time; zero: never, or not known
	timeout      time.Duration
	flags        []string // the section's other options
}

// label begins a line about the place; it is empty for the zero value.
func (p place) label() (text string) {
	if p.section != "" {
		text = "[" + p.section + "] "
	}
	if p.dir != "" {
		text += p.dir + ": "
	}
	return escaped(text)
}

// object begins a line of JSON about the place.
func (p place) object() (o object) {
	if p.section != "" || p.dir != "" {
		o.string("section", p.section)
	}
	if p.dir != "" {
		o.string("directory", p.dir)
	}
	return o
}

// foreign counts names that are users' numbers, but not their directories.
type foreign struct {
	n       int
	example string
}

// eachPlace calls visit with each directory that exists for a data-dir, or with an error
// if it cannot be looked at. If %u is in the data-dir, these are the ones with the number
// of their owner there; others are counted. It follows no symbolic link to them.
func eachPlace(dir string, visit func(place, error)) (others foreign, err error) {
	before, after, hasUser := strings.Cut(dir, "%u")
	if !hasUser {
		p, err := lookAt(dir)
		if err != unix.ENOENT {
			visit(p, err)
		}
		return others, nil
	}
	parent, prefix := filepath.Split(before)
	suffix, rest, _ := strings.Cut(after, "/")
	err = eachName(filepath.Clean(parent), func(name string) {
		user, ok := userIn(name, prefix, suffix)
		if !ok {
			return
		}
		path := filepath.Join(parent, name, strings.ReplaceAll(rest, "%u", user))
		entry, err := lookAt(filepath.Join(parent, name))
		p := entry
		if err == nil && path != entry.dir {
			p, err = lookAt(path)
		}
		switch {
		case err == unix.ENOENT:
		case err == nil && strconv.Itoa(p.uid) == user, err != nil && !errors.Is(err, errNoDirectory):
			visit(p, err)
		default:
			if others.n++; others.n == 1 {
				others.example = p.dir
			}
		}
	})
	return others, err
}

// eachName calls visit with the names in a directory, in no order.
func eachName(dir string, visit func(string)) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch err {
	case nil:
	case unix.ENOENT:
		return nil
	case unix.ENOTDIR, unix.ELOOP:
		return fmt.Errorf("%s: %w", dir, errNoDirectory)
	default:
		return fmt.Errorf("%s: %w", dir, err)
	}
	f := os.NewFile(uintptr(fd), dir)
	defer f.Close()
	for {
		names, err := f.Readdirnames(1000)
		for _, name := range names {
			visit(name)
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", dir, withoutPath(err))
		}
	}
}

var errNoDirectory = fmt.Errorf("%w: not a directory, or a symbolic link; name a real directory", store.ErrUnsafe)

// userIn returns the number of the user whose name of a directory this is: prefix, the
// number, suffix. The last number is none: setreuid(2) takes it for -1, no change.
func userIn(name, prefix, suffix string) (user string, ok bool) {
	text, ok := strings.CutPrefix(name, prefix)
	end := strings.TrimLeft(text, "0123456789")
	user = strings.TrimSuffix(text, end)
	uid, err := strconv.ParseUint(user, 10, 32)
	isNumber := err == nil && strconv.FormatUint(uid, 10) == user && uid < 1<<32-1
	return user, ok && isNumber && end == strings.ReplaceAll(suffix, "%u", user)
}

// lookAt returns a directory, with its owner and when it was cleaned.
func lookAt(dir string) (p place, err error) {
	var st, last unix.Stat_t
	p.dir = dir
	if err = unix.Lstat(dir, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		err = errNoDirectory
	}
	if err != nil {
		return p, err
	}
	p.uid, p.gid, p.node = int(st.Uid), int(st.Gid), [2]uint64{uint64(st.Dev), st.Ino}
	if unix.Lstat(filepath.Join(dir, ".cleanup"), &last) == nil {
		p.cleaned = time.Unix(last.Mtim.Unix())
	}
	return p, nil
}
