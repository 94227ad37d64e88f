package store

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// What an operator sees of the directory as a whole. Nothing here takes a lock
// or marks an access.

// A State is what has become of a session's file.
type State string

const (
	Live     State = "live"
	Idle     State = "idle"     // past Timeout
	Old      State = "old"      // past Lifetime
	Moving   State = "moving"   // a copy of a session that is about to move, or whose move was killed
	Moved    State = "moved"    // a tombstone that leads to a session's new handle
	Over     State = "over"     // a tombstone whose time is over
	Unused   State = "empty"    // nothing was stored in it
	Corrupt  State = "corrupt"  // holds no whole record, or cannot be read
	Oversize State = "oversize" // its data is too large to be read; see Options.MaxRead
	Unsafe   State = "unsafe"   // not this user's alone
)

// States are all of them, in the order in which they are reported.
func States() []State {
	return []State{Live, Idle, Old, Moving, Moved, Over, Unused, Corrupt, Oversize, Unsafe}
}

// ErrAmbiguous says that a short handle fits several sessions.
var ErrAmbiguous = errors.New("fits several handles; give more digits")

// MinHandle is the least number of digits that a handle may be cut short to.
const MinHandle = 4

// A Visit is told of a session's file, its state, and what is wrong with it, in
// words for an operator; nil for nothing. What cannot be read has no more than
// its Handle and Path. Data, where it was read, is there until it returns.
type Visit func(s *Session, state State, wrong error) error

// Each calls visit with every session's file, in no order, one at a time. It
// stops at the first error that visit returns.
func (f *File) Each(visit Visit) error {
	return f.eachEntry(func(e *entry) error {
		defer e.closeData()
		s, state, wrong := e.look()
		if wrong == unix.ENOENT {
			return nil
		}
		return visit(s, state, wrong)
	})
}

// Look is Each for the file with this very handle, or returns ErrNotFound. It
// does not go on from a tombstone.
func (f *File) Look(handle string, visit Visit) error {
	shard, err := f.openShard(handle, false)
	if err != nil {
		return err
	}
	e := &entry{f: f, handle: handle, shard: shard, fd: -1, release: func() {}}
	defer e.close()
	s, state, wrong := e.look()
	if wrong == unix.ENOENT {
		return ErrNotFound
	}
	return visit(s, state, wrong)
}

// Find returns the one handle that begins with prefix, of at least MinHandle
// hex digits. None is ErrNotFound, several are ErrAmbiguous.
func (f *File) Find(prefix string) (string, error) {
	if err := f.openRoot(false); err != nil {
		return "", err
	}
	found := ""
	err := f.eachInShard(prefix[:2], f.closedEntry(), func(e *entry) error {
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
	err := e.open(unix.O_RDONLY | noAtime)
	if err == unix.EPERM { // another user's
		err = e.open(unix.O_RDONLY)
	}
	if err == unix.ENOENT {
		return nil, "", err
	}
	if err != nil {
		return s, Unsafe, err
	}
	s.Accessed, s.Size = modified(&e.stat), e.stat.Size
	text, err := e.stable()
	if err == errReplaced {
		return nil, "", unix.ENOENT
	}
	if errors.Is(err, ErrTooLarge) {
		return e.lookUnread(s, err)
	}
	if err != nil {
		return s, Corrupt, err
	}
	at, err := current(text)
	wrong := e.wrong(text, at, err)
	switch {
	case err == nil && at.moved != "": // its times are no session's
		s.Accessed = time.Time{}
	case err == nil:
		s = e.session(at.record, s.Accessed)
	}
	state := e.f.state(s, at.record, err)
	if state == Live && len(at.data) > e.f.opts.MaxRead() {
		s.Data = nil
		return s, Oversize, e.unread()
	}
	return s, state, wrong
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

// Count is how many sessions there are.
type Count struct {
	Files map[State]int64 // of each state that the store can tell so
	Ages  []int64         // sessions by time since the last access, as Ages has it
	Bytes int64
}

// NewCount returns a count of nothing, by a store that can tell these states.
func NewCount(states ...State) *Count {
	c := &Count{Files: make(map[State]int64), Ages: make([]int64, len(Ages())+1)}
	for _, state := range states {
		c.Files[state] = 0
	}
	return c
}

// Add counts a session in this state.
func (c *Count) Add(s *Session, state State, now time.Time) {
	c.Files[state]++
	c.Bytes += s.Size
	if state == Live || state == Idle || state == Old {
		c.Ages[ageClass(s.Accessed, now)]++
	}
}

// ageClass returns which of Ages, or beyond, the time since an access is in.
func ageClass(accessed, now time.Time) int {
	age := 0
	for age < len(Ages()) && now.Sub(accessed) > Ages()[age] {
		age++
	}
	return age
}

// Ages are the upper bounds of Count.Ages; what is older comes last.
func Ages() []time.Duration {
	return []time.Duration{time.Minute, time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour}
}

// Count counts the sessions' files by stat alone: it cannot tell a corrupt one
// from a whole one, or how long ago a session was created.
func (f *File) Count() (*Count, error) {
	c := NewCount(Live, Idle, Moved, Over, Unused, Unsafe)
	uid, now := os.Geteuid(), time.Now()
	err := f.eachEntry(func(e *entry) error {
		if err := e.statName(); err == unix.ENOENT {
			return nil
		} else if err != nil {
			return e.fail("stat", err)
		}
		c.add(&e.stat, uid, f.opts, now)
		return nil
	})
	return c, err
}

func (c *Count) add(st *unix.Stat_t, uid int, o Options, now time.Time) {
	accessed := modified(st)
	c.Bytes += st.Size
	switch {
	case checkFile(st, uid) != nil:
		c.Files[Unsafe]++
	case isTombstone(st) && accessed.Before(now):
		c.Files[Over]++
	case isTombstone(st):
		c.Files[Moved]++
	case st.Size == 0:
		c.Files[Unused]++
	default:
		c.Ages[ageClass(accessed, now)]++
		if o.idle(&Session{Accessed: accessed}, now) {
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
	e := f.closedEntry()
	for n := range shards {
		if err := f.eachInShard(shardName(n), e, visit); err != nil {
			return err
		}
	}
	return nil
}

// closedEntry returns an entry to be used for one file after the other, and its
// room to read into with it.
func (f *File) closedEntry() *entry {
	return &entry{f: f, shard: -1, fd: -1, release: func() {}}
}

func shardName(n int) string { return hex.EncodeToString([]byte{byte(n)}) }

// eachInShard is eachEntry for one directory, and e the entry that it uses. A
// directory that is not there, or not this user's alone, holds none.
func (f *File) eachInShard(name string, e *entry, visit func(*entry) error) error {
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
		e.shard, e.handle, e.fd = fd, handle, -1
		return visit(e)
	})
}

// statName looks at the file without opening it.
func (e *entry) statName() error {
	return lstatat(e.shard, e.handle, &e.stat)
}
