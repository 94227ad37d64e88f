package store

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// What an operator sees of the directory as a whole. Nothing here takes a lock
// or marks an access.

// A State is what has become of a session's file.
type State string

const (
	Live    State = "live"
	Idle    State = "idle"    // past Timeout
	Old     State = "old"     // past Lifetime
	Moved   State = "moved"   // a tombstone that leads to a session's new handle
	Over    State = "over"    // a tombstone whose time is over
	Unused  State = "empty"   // nothing was stored in it
	Corrupt State = "corrupt" // holds no whole record
	Unsafe  State = "unsafe"  // not this user's alone
)

// States are all of them, in the order in which they are reported.
func States() []State {
	return []State{Live, Idle, Old, Moved, Over, Unused, Corrupt, Unsafe}
}

// ErrAmbiguous says that a short handle fits several sessions.
var ErrAmbiguous = errors.New("fits several handles; give more digits")

// MinHandle is the least number of digits that a handle may be cut short to.
const MinHandle = 4

// Each calls visit with every session's file and its state, in no order, one at
// a time. What cannot be read has no more than its Handle and Path. It stops at
// the first error.
func (f *File) Each(visit func(*Session, State) error) error {
	return f.eachEntry(func(e *entry) error {
		defer e.closeData()
		s, state, err := e.look()
		if err == unix.ENOENT {
			return nil
		}
		if err != nil {
			return err
		}
		return visit(s, state)
	})
}

// Look returns the session with this very handle and its state, without going
// on from a tombstone.
func (f *File) Look(handle string) (*Session, State, error) {
	shard, err := f.openShard(handle, false)
	if err != nil {
		return nil, "", err
	}
	e := &entry{f: f, handle: handle, shard: shard, fd: -1, release: func() {}}
	defer e.close()
	s, state, err := e.look()
	if err == unix.ENOENT {
		err = ErrNotFound
	}
	return s, state, err
}

// Find returns the one handle that begins with prefix, of at least MinHandle
// hex digits. None is ErrNotFound, several are ErrAmbiguous.
func (f *File) Find(prefix string) (string, error) {
	if err := f.openRoot(false); err != nil {
		return "", err
	}
	found := ""
	err := f.eachInShard(prefix[:2], func(e *entry) error {
		if e.handle[:len(prefix)] != prefix {
			return nil
		}
		if found != "" {
			return ErrAmbiguous
		}
		found = e.handle
		return nil
	})
	if err == nil && found == "" {
		err = ErrNotFound
	}
	return found, err
}

// look reads the entry's file without its lock. A missing one is unix.ENOENT.
func (e *entry) look() (*Session, State, error) {
	s := &Session{Handle: e.handle, Path: e.f.Path(e.handle)}
	err := e.open(unix.O_RDONLY)
	if errors.Is(err, ErrUnsafe) {
		return s, Unsafe, nil
	}
	if err == unix.ENOENT {
		return nil, "", err
	}
	if err != nil {
		return nil, "", e.fail("open", err)
	}
	text, err := e.stable()
	if err == errReplaced {
		return nil, "", unix.ENOENT
	}
	if errors.Is(err, ErrTooLarge) {
		return s, Corrupt, nil
	}
	if err != nil {
		return nil, "", err
	}
	accessed := time.Unix(e.stat.Mtim.Unix())
	at, err := current(text)
	s = e.session(at.record, accessed)
	return s, e.f.state(s, at.record, err), nil
}

// state says what a file is that holds r, or that could not be read.
func (f *File) state(s *Session, r record, err error) State {
	now := time.Now()
	switch {
	case err == ErrNotFound:
		return Unused
	case err != nil:
		return Corrupt
	case r.moved != "" && now.Unix() >= r.until:
		return Over
	case r.moved != "":
		return Moved
	case f.opts.idle(s, now):
		return Idle
	case f.opts.old(s, now):
		return Old
	}
	return Live
}

// Count is what stat tells of the directory.
type Count struct {
	Files map[State]int64 // Live, Idle, Moved, Over, Unused and Unsafe
	Ages  []int64         // sessions by time since the last access, as Ages has it
	Bytes int64
}

// Ages are the upper bounds of Count.Ages; what is older comes last.
func Ages() []time.Duration {
	return []time.Duration{time.Minute, time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour}
}

// Count counts the sessions' files by stat alone: it cannot tell a corrupt one
// from a whole one, or how long ago a session was created.
func (f *File) Count() (*Count, error) {
	c := &Count{Files: make(map[State]int64), Ages: make([]int64, len(Ages())+1)}
	now := time.Now()
	err := f.eachEntry(func(e *entry) error {
		if err := e.statName(); err == unix.ENOENT {
			return nil
		} else if err != nil {
			return e.fail("stat", err)
		}
		c.add(&e.stat, f.opts, now)
		return nil
	})
	return c, err
}

func (c *Count) add(st *unix.Stat_t, o Options, now time.Time) {
	modified := time.Unix(st.Mtim.Unix())
	c.Bytes += st.Size
	switch {
	case checkFile(st) != nil:
		c.Files[Unsafe]++
	case isTombstone(st) && modified.Before(now):
		c.Files[Over]++
	case isTombstone(st):
		c.Files[Moved]++
	case st.Size == 0:
		c.Files[Unused]++
	default:
		age := 0
		for age < len(Ages()) && now.Sub(modified) > Ages()[age] {
			age++
		}
		c.Ages[age]++
		if o.idle(&Session{Accessed: modified}, now) {
			c.Files[Idle]++
		} else {
			c.Files[Live]++
		}
	}
}

// eachEntry calls visit with every file that has the place and the name of a
// session's. None of them is open.
func (f *File) eachEntry(visit func(*entry) error) error {
	if err := f.openRoot(false); err != nil {
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		return err
	}
	for n := range shards {
		if err := f.eachInShard(shardName(n), visit); err != nil {
			return err
		}
	}
	return nil
}

func shardName(n int) string { return hex.EncodeToString([]byte{byte(n)}) }

// eachInShard is eachEntry for one directory; one that is not there, or not
// this user's alone, holds none.
func (f *File) eachInShard(name string, visit func(*entry) error) error {
	fd, err := openOrMake(f.root, name, false)
	switch {
	case err == ErrNotFound:
		return nil
	case errors.Is(err, ErrUnsafe):
		f.opts.log(fmt.Sprintf("skipped: %v", err), name)
		return nil
	case err != nil:
		return &dirError{f.dir + "/" + name, err}
	}
	return eachName(fd, f.dir+"/"+name, func(handle string) error {
		if !validHandle(handle) || handle[:2] != name {
			return nil
		}
		return visit(&entry{f: f, handle: handle, shard: fd, fd: -1, release: func() {}})
	})
}

// statName looks at the file without opening it.
func (e *entry) statName() error {
	return unix.Fstatat(e.shard, e.handle, &e.stat, unix.AT_SYMLINK_NOFOLLOW)
}
