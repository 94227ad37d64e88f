package store

import (
	"context"
	"errors"
	"time"
)

// Operator is what operators see and do in a store. None of its methods but Sweep and
// a repair takes a lock or marks an access.
type Operator interface {
	// Missing returns an error if the place of the sessions does not exist, so that
	// there are none. The error is ErrConfig if the first session cannot make that
	// place, since it is most likely misspelt then.
	Missing() error

	// Each calls visit with every session, in no order, one at a time. It stops at
	// the first error that visit returns, and returns that.
	Each(visit Visit) error

	// Look is Each for the session at exactly this handle: it does not follow a
	// tombstone. It returns ErrNotFound if there is none.
	Look(handle string, visit Visit) error

	// Find returns the one handle that begins with prefix, which has at least
	// MinHandle hex digits. None is ErrNotFound, several are ErrAmbiguous.
	Find(prefix string) (string, error)

	// UserHandles calls visit with the handle of each session that may be the
	// user's under this cookie name; empty: under any. It leaves out sessions that
	// are known to be another name's. The session itself says whether it is the
	// user's; see [Session.IsOf].
	UserHandles(user, cookieName string, visit func(handle string) error) error

	// Count counts the sessions by state: without reading them, as far as the store can
	// tell then, or with deep by reading each.
	Count(deep bool) (*Count, error)

	// Sweep removes the sessions that were not used for longer than Sweep.Timeout.
	Sweep(ctx context.Context, how Sweep) (Swept, error)

	// LastSweep returns what is known of the last sweep; the zero value if nothing.
	LastSweep() (LastSweep, error)

	// Examine checks how the store is set up, and with Deep or Repair each session.
	// It returns its findings in the order of its checks.
	Examine(how Examination) []Finding
}

// A Visit receives a session, its state, and what is wrong with it in words for an
// operator (nil if nothing is). A session that cannot be read has only its Handle and
// Path. s.Data is valid only during the call.
type Visit func(s *Session, state State, wrong error) error

// A State is what kind of thing a session's file is at the moment.
type State string

const (
	Live     State = "live"
	Idle     State = "idle"     // past Timeout
	Old      State = "old"      // past Lifetime
	Moving   State = "moving"   // a copy of a session, of a move in progress or one whose process died
	Moved    State = "moved"    // a tombstone that leads to the session's new handle
	Over     State = "over"     // a tombstone whose grace is over
	Unused   State = "empty"    // nothing was stored in it
	Corrupt  State = "corrupt"  // holds no whole record, or cannot be read
	Oversize State = "oversize" // its data is too large to be read; see Options.MaxRead
	Unsafe   State = "unsafe"   // other users own or can reach it
)

// States returns all states, in the order in which they are reported.
func States() []State {
	return []State{Live, Idle, Old, Moving, Moved, Over, Unused, Corrupt, Oversize, Unsafe}
}

// MinHandle is the smallest number of digits that operators may shorten a handle to.
const MinHandle = 4

// ErrAmbiguous: a shortened handle fits several sessions.
var ErrAmbiguous = errors.New("fits several handles; give more digits")

// OnlyHandle returns the handle that each visits, perhaps several times. It is
// ErrAmbiguous if each visits others too, and ErrNotFound if it visits none.
func OnlyHandle(each func(visit func(handle string) error) error) (string, error) {
	only := ""
	err := each(func(handle string) error {
		if only != "" && handle != only {
			return ErrAmbiguous
		}
		only = handle
		return nil
	})
	if err == nil && only == "" {
		err = ErrNotFound
	}
	return only, err
}

// Count is the number of sessions by state and by age.
type Count struct {
	Deep  bool            // each session was read
	By    string          // how the states were told, in words for an operator
	Files map[State]int64 // has each state that the store can tell, also with 0
	Ages  []int64         // sessions by the time since the last access; see [Ages]
	Bytes int64           // size of all files
	Space *Space          // of the file system; nil: not known
}

// CountEach counts what each visits: a store's sessions, which this reads. The store can
// have them in these states.
func CountEach(each func(Visit) error, states ...State) (*Count, error) {
	c := NewCount(states...)
	now := time.Now()
	err := each(func(s *Session, state State, _ error) error {
		c.Add(s, state, now)
		return nil
	})
	return c, err
}

// NewCount returns a Count of zero for a store that can tell these states.
func NewCount(states ...State) *Count {
	c := &Count{Files: make(map[State]int64), Ages: make([]int64, len(Ages())+1)}
	for _, state := range states {
		c.Files[state] = 0
	}
	return c
}

// Add counts a session in this state. Only sessions have an age, not tombstones.
func (c *Count) Add(s *Session, state State, now time.Time) {
	c.Files[state]++
	c.Bytes += s.Size
	if state == Live || state == Idle || state == Old {
		c.Ages[ageClass(s.Accessed, now)]++
	}
}

// ageClass returns the index in Count.Ages for a session with this last access.
func ageClass(accessed, now time.Time) int {
	age := 0
	for age < len(Ages()) && now.Sub(accessed) > Ages()[age] {
		age++
	}
	return age
}

// Ages returns the upper bounds of Count.Ages. The last element of Count.Ages, which
// is one longer, counts the sessions above all bounds.
func Ages() []time.Duration {
	return []time.Duration{time.Minute, time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour}
}

// Space is the size of a file system, and what is left of it for this user. All zero:
// not known.
type Space struct {
	Bytes, FreeBytes   int64
	Inodes, FreeInodes int64
	System             string // "memory", "NFS", "SMB", "9P", "FUSE", "vfat", "exfat" or "ntfs"; empty: any other
}

// Sweep is what to clean up.
type Sweep struct {
	MaxDelete int64         // stop after so many removals; 0: no limit
	MaxTime   time.Duration // stop after this time, once something was achieved; 0: no limit
	DryRun    bool          // remove nothing; count what would be removed
}

// Progress is how far a walk through all sessions has come: Each, Count, Sweep, or that of
// an Examine. See [Options.Progress].
type Progress struct {
	Seen    int64
	Removed int64   // by a Sweep
	Share   float64 // of the walk that is over, up to 1; 0: not known
}

// Swept is the result of a sweep. Its counts are of sessions' files.
type Swept struct {
	Seen    int64
	Removed int64  // with DryRun: would be removed
	Busy    int64  // kept because they were locked
	Kept    int64  // kept because they are in use or unsafe
	Corrupt int64  // removed ones without a whole record
	Bytes   int64  // size of the removed ones
	Done    bool   // the sweep saw everything
	Note    string // what else an operator should know; empty: nothing
}

// LastSweep is what is known of the last sweep.
type LastSweep struct {
	At            time.Time // when it ended; zero: never
	Seen, Removed int64
}
