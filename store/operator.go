package store

import (
	"context"
	"errors"
	"time"
)

// Operator is a store as operators see it. Nothing that reads takes a lock or
// marks an access.
type Operator interface {
	// Each calls visit with every session, in no order, one at a time. It
	// stops at the first error that visit returns.
	Each(visit Visit) error

	// Look is Each for the session with this very handle, or returns
	// ErrNotFound. It does not go on from a tombstone.
	Look(handle string, visit Visit) error

	// Find returns the one handle that begins with prefix, of at least MinHandle
	// hex digits. None is ErrNotFound, several are ErrAmbiguous.
	Find(prefix string) (string, error)

	// UserHandles calls visit with the handle of each session that may be the
	// user's: whose it is, the session says.
	UserHandles(user string, visit func(handle string) error) error

	// Count counts the sessions without reading their data.
	Count() (*Count, error)

	// Sweep removes the sessions that were idle for longer than Options.Timeout.
	Sweep(ctx context.Context, how Sweep) (Swept, error)

	// LastSweep returns what is known of the last sweep; the zero value: nothing.
	LastSweep() (LastSweep, error)

	// Examine checks how the store is set up, and with Deep or Repair each session.
	// It returns what it found in the order in which it looked.
	Examine(how Examination) []Finding
}

// A Visit is told of a session's file, its state, and what is wrong with it, in
// words for an operator; nil for nothing. What cannot be read has no more than
// its Handle and Path. Data, where it was read, is there until it returns.
type Visit func(s *Session, state State, wrong error) error

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

// MinHandle is the least number of digits that a handle may be cut short to.
const MinHandle = 4

// ErrAmbiguous says that a short handle fits several sessions.
var ErrAmbiguous = errors.New("fits several handles; give more digits")

// Count is how many sessions there are.
type Count struct {
	Files map[State]int64 // of each state that the store can tell so
	Ages  []int64         // sessions by time since the last access, as Ages has it
	Bytes int64
	Space *Space // of the file system; nil: not known
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

// Space is what a file system has, and has left for this user. All zero: unknown.
type Space struct {
	Bytes, FreeBytes   int64
	Inodes, FreeInodes int64
	System             string // "memory", "NFS", "SMB", "9P", "FUSE"; else ""
}

// Sweep says what to clean up.
type Sweep struct {
	Timeout   time.Duration // sessions that were idle for longer go
	MaxDelete int64         // stop after so many; 0: no limit
	MaxTime   time.Duration // stop after it, once something was achieved; 0: no limit
	DryRun    bool          // count what would go
	// Progress, if set, is called a few times a second with the counts so far.
	Progress func(Swept)
}

// Swept is the result of a sweep.
type Swept struct {
	Seen    int64  // files of sessions
	Removed int64  // of them, or that would be
	Busy    int64  // left because they were locked
	Kept    int64  // left because they are in use, or no files of this user's alone
	Corrupt int64  // of the removed: without a whole record
	Bytes   int64  // of the removed
	Done    bool   // the whole directory was seen
	Note    string // what else an operator should know; empty: nothing
}

// LastSweep is what is known of the last sweep.
type LastSweep struct {
	At            time.Time // when it ended; zero: never
	Seen, Removed int64
}
