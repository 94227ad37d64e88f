// Package store is the contract between the program and what keeps its sessions,
// and what all stores share: the session and its data, ids and handles, limits, and
// what operators see.
//
// Package file keeps each session in a file; package redis keeps them in a server
// that many machines share. Package storetest checks that a store keeps the
// contract.
package store

import (
	"errors"
	"time"
)

// Errors that callers branch on. Those that are not listed are input/output
// errors and wrap what the system said.
var (
	// ErrNotFound says that no session has this handle, or no longer.
	ErrNotFound = errors.New("no such session")
	// ErrInvalidated says that the session was there but has passed
	// Timeout or Lifetime, or is corrupt and InvalidateCorrupt is set.
	// Update has removed it; Read leaves it.
	ErrInvalidated = errors.New("session invalidated")
	// ErrMoved says that the handle is in its grace: the session was moved
	// away from there. It can be read and changed by it, but not moved again.
	ErrMoved = errors.New("session moved")
	// ErrCorrupt says that the session's file holds no whole record.
	ErrCorrupt = errors.New("corrupt session file")
	// ErrTooLarge says that data is larger than MaxSize, or, of data that is stored,
	// than MaxRead.
	ErrTooLarge = errors.New("larger than --max-size")
	// ErrLocked says that another process held the lock past LockTimeout.
	ErrLocked = errors.New("locked by another process")
	// ErrLockLost says that Options.LockToken is no lock of this session, or
	// no longer.
	ErrLockLost = errors.New("CGISESSION_LOCK_TOKEN has no lock on this session: it was not renewed in time, or is another session's")
	// ErrUnavailable says that the servers that have the sessions cannot be
	// reached, or cannot do what was asked.
	ErrUnavailable = errors.New("store unavailable")
	// ErrOtherLock says that Options.LockFD is no lock of this session.
	ErrOtherLock = errors.New("CGISESSION_LOCK_FD is a descriptor of another file; pass on the one that was locked, or unset it")
	// ErrUnsafe says that a directory or file is not this user's alone.
	ErrUnsafe = errors.New("unsafe")
	// ErrUnsupported says that the file system cannot do what was asked.
	ErrUnsupported = errors.New("not supported by the file system")
	// ErrTooMany says that Live had no time to look at so many handles.
	ErrTooMany = errors.New("too many to look at")
	// ErrConfig says that the store cannot work as it is set up.
	ErrConfig = errors.New("configuration")
)

// Session is what a store holds under one handle.
type Session struct {
	Handle   string    // where it was found, after moves
	Version  uint64    // counts the saves; 0: not yet stored
	Created  int64     // Unix seconds
	Accessed time.Time // the access before this one
	User     string    // who logged in; empty: nobody
	OldKeys  []OldKey  // of its ids that are in their grace, the latest last
	Data     Data
	Path     string // the session's file
	Size     int64  // bytes of that file
}

// An Outcome is what a [Change] wants done with the session it was shown.
type Outcome int

const (
	Keep   Outcome = iota // only mark the access; Data is not stored
	Save                  // store Data as the next version
	Wipe                  // as Save, and overwrite every older record
	Remove                // end the session
)

// A Change looks at a session, may set its Data, and says what is to be done.
// A store may call it again, with what is stored by then, if the first try came
// to nothing, so it must not act on anything but the session. With an error
// nothing is done.
type Change func(*Session) (Outcome, error)

// Reading says how a session is read.
type Reading int

const (
	Touch    Reading = iota // under the shared lock, marking the access
	Peek                    // under the shared lock
	Snapshot                // without a lock or a wait: some recent version, whole
)

// Backend is all that the program asks of what keeps its sessions.
type Backend interface {
	Store
	Locker
	Operator
}

// Store keeps sessions by handle, for requests. All its methods return ErrNotFound
// where there is no session, ErrInvalidated where it has passed its limits, and
// ErrLocked where another process kept the lock for too long; then nothing was
// changed.
type Store interface {
	// Read returns the session.
	Read(handle string, how Reading) (*Session, error)

	// Update shows the session to change and does what change says, as one atomic
	// step. Where there is none and create is set, change gets a new session with
	// Version 0 and empty Data. It returns the session as it now is; after moves
	// its Handle is another than the one that was asked for.
	//
	// Remove also ends what moves left at the handle and on the way to the session:
	// old handles, or a copy that came to nothing. With create that is so where the
	// session itself has ended before, too; the session that is returned then has
	// Version 0 and the handle that the old ones led to.
	Update(handle string, create bool, change Change) (*Session, error)

	// Repeats reports whether Update may call a change more than once.
	Repeats() bool

	// Move does what change says, which may be nil for Keep and must not say
	// Remove, and in the same step gives the session the handle to, which
	// must be new. For grace, unless that is 0, it can still be reached by
	// the old handle too; else that is gone at once, with all that led to it.
	// From a handle in its grace it does not move the session, which another
	// call did: it returns ErrMoved and the session, unless that has ended. It
	// marks the access.
	Move(from, to string, grace time.Duration, change Change) (*Session, error)

	// Live returns for each handle the one where its session is now, which is
	// another after moves; empty: there is no session. It reads as Snapshot does.
	// Once it has found sessions at this many places it may leave the rest out,
	// as if they were not there. The error is the first of a session that cannot
	// be read, beside what was found. With ErrTooMany or ErrUnavailable nothing
	// is known, and the list is nil.
	Live(handles []string, places int) ([]string, error)

	// End ends the session at this very handle, even while another process
	// holds its lock: it never waits. A change that is under way is lost with the
	// session, and later ones find none.
	End(handle string) error

	// Hold takes the session's lock and keeps it when the call is over: all
	// other calls but snapshots wait for it, up to ErrLocked, unless they were
	// handed the lock. Where there is no session and create is set, the lock is
	// on one to come. From then on this store works under the lock.
	Hold(handle string, create bool) (Lock, error)
}

// Locker hands locks on between processes. Its methods about descriptors return
// ErrUnsupported if the store's locks are not on descriptors.
type Locker interface {
	// LockLost reports whether the session that the lock handed down was on has
	// ended, as far as is known.
	LockLost() bool

	// CheckLock returns ErrOtherLock or ErrLockLost if what was handed down is no
	// lock at all.
	CheckLock() error

	// LockPath returns the path of the session's file, for the caller to open and
	// lock. It waits for no lock. Where there is no session and create is set, an
	// empty file is made.
	LockPath(handle string, create bool) (string, error)

	// UseFD has the store use this descriptor, which the caller opened, as if it
	// were Options.LockFD. It is ErrOtherLock if it is not open.
	UseFD(fd int) error

	// UnlockFD releases the lock on the descriptor, which must be on the session's
	// file or on a file that was removed; else it is ErrOtherLock. An empty handle
	// stands for any session.
	UnlockFD(handle string, fd int) error
}

// A Lock is what Hold took.
type Lock struct {
	Name, Value string // the variable that hands it on
	FD          int    // the descriptor that has it; 0: none
	Lease       *Lease // nil: the lock lasts as long as a process has FD
}

// A Lease is a lock that ends unless it is renewed. Both functions return
// ErrLockLost once it is another's.
type Lease struct {
	Every   time.Duration
	Renew   func() error
	Release func() error
}
