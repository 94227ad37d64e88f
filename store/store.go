// Package store is the contract between the program and the stores that keep its
// sessions, and holds what all stores share: the session and its data, ids and
// handles, limits, and what operators see.
//
// Package file keeps each session in a file; package redis keeps them in a server
// that many machines share. Package storetest checks that a store keeps the
// contract.
package store

import (
	"errors"
	"time"
)

// Errors that callers branch on. All other errors are input/output errors, and wrap
// the error of the system.
var (
	// ErrNotFound: there is no session with this handle, or not any more.
	ErrNotFound = errors.New("no such session")
	// ErrInvalidated: the session is past Timeout or Lifetime, or it is corrupt and
	// InvalidateCorrupt is set. Update has removed it; Read leaves it.
	ErrInvalidated = errors.New("session invalidated")
	// ErrMoved: the session has moved to another handle, and this one is in its
	// grace. The session can be read and changed by it, but not moved.
	ErrMoved = errors.New("session moved")
	// ErrTaken: the handle to move to is in use.
	ErrTaken = errors.New("in use")
	// ErrCorrupt: what is stored under the handle is no whole session.
	ErrCorrupt = errors.New("corrupt session")
	// ErrTooLarge: data to be stored is larger than MaxSize, or data that is stored
	// is larger than MaxRead.
	ErrTooLarge = errors.New("larger than --max-size")
	// ErrLocked: another process held the lock for longer than LockTimeout.
	ErrLocked = errors.New("locked by another process")
	// ErrLockLost: Options.LockToken is not a lock of this session, or not any more.
	ErrLockLost = errors.New("CGISESSION_LOCK_TOKEN has no lock on this session: " +
		"it was not renewed in time, or is another session's")
	// ErrUnavailable: the servers with the sessions cannot be reached, or cannot do
	// what was asked.
	ErrUnavailable = errors.New("store unavailable")
	// ErrOtherLock: Options.LockFD is not on this session's file.
	ErrOtherLock = errors.New("CGISESSION_LOCK_FD is a descriptor of another file; " +
		"pass on the one that was locked, or unset it")
	// ErrUnsafe: other users own or can reach a directory or file.
	ErrUnsafe = errors.New("unsafe")
	// ErrUnsupported: the store or its file system cannot do what was asked.
	ErrUnsupported = errors.New("not supported")
	// ErrTooMany: Live was given more handles than it can check in time.
	ErrTooMany = errors.New("too many to look at")
	// ErrConfig: the store is set up in a way that cannot work.
	ErrConfig = errors.New("configuration")
)

// Session is what a store holds under one handle.
type Session struct {
	Handle     string    // of the session itself, not of a tombstone that led to it
	Version    uint64    // number of saves; 0: nothing is stored yet
	Created    int64     // Unix seconds
	Accessed   time.Time // the last access before this one
	User       string    // the user who logged in; empty: nobody
	CookieName string    // of a user's session; empty: not known, see [Options.CookieName]
	Note       string    // what the script noted of the client at the log-in
	OldKeys    []OldKey  // of the session's ids that are in their grace, the latest last
	Data       Data
	Path       string // the session's file, or what the store has in its place
	Size       int64  // bytes of that file
}

// IsOf reports whether the session is the user's under this cookie name; empty: under
// any. A session whose name is not known counts for every name.
func (s *Session) IsOf(user, cookieName string) bool {
	return s.User == user && (cookieName == "" || s.CookieName == "" || s.CookieName == cookieName)
}

// An Outcome is what a store does with a session after a [Change].
type Outcome int

const (
	Keep   Outcome = iota // mark the access; Data is not stored
	Save                  // store Data as the next version
	Wipe                  // like Save, and overwrite every older record
	Remove                // end the session
)

// A Change gets a session, may set its Data, User, Note and OldKeys, and returns what the
// store does with it. If it returns an error the session stays as it is. A store may
// call it again, with the session as it is then, if another process was faster; see
// [Store.Repeats]. So it must change nothing but the session.
type Change func(*Session) (Outcome, error)

// Reading is how a session is read.
type Reading int

const (
	Touch    Reading = iota // under the shared lock, and mark the access
	Peek                    // under the shared lock
	Snapshot                // without a lock or a wait; the result is one of the last versions, whole
)

// Backend is everything that the program needs of a store.
type Backend interface {
	Store
	Locker
	Operator
}

// Store keeps sessions by handle, for requests. Its methods return ErrNotFound if
// there is no session, ErrInvalidated if it is past its limits, and ErrLocked if
// another process held the lock for longer than LockTimeout. Nothing is changed then.
type Store interface {
	// Read returns the session.
	Read(handle string, how Reading) (*Session, error)

	// Update runs the change on the session and does what it returns, as one atomic
	// step. If there is no session and create is set, the change gets a new one with
	// Version 0 and empty Data. Update returns the session as it is afterwards. Its
	// Handle differs from the one given if the session was moved.
	//
	// Remove also ends the old handles on the way to the session. With ErrNotFound a
	// session that is not nil has only a Handle: the one that moves led to.
	Update(handle string, create bool, change Change) (*Session, error)

	// Repeats reports whether Update may call a change more than once.
	Repeats() bool

	// Move gives the session the handle to, and in the same step does what the change
	// returns. A nil change is Keep; Remove is not allowed. Move marks the access.
	//
	// If anything is at the handle to, be it a tombstone or what is locked but not
	// stored yet, Move returns ErrTaken and changes nothing.
	//
	// During the grace the session can still be reached by its old handle. Without
	// one (0) the old handle is gone at once, and so are those that led to it.
	//
	// From a handle in its grace Move moves nothing, since another call did. It
	// returns the session and ErrMoved, or ErrNotFound if that session has ended.
	Move(from, to string, grace time.Duration, change Change) (*Session, error)

	// Live returns, for each handle, the handle of its session now, which differs
	// after a move; empty if there is no session. It reads as Snapshot does. Once it
	// has found enough different sessions it may leave out the rest, as if they did
	// not exist.
	//
	// The error is that of the first session that could not be read; the list holds
	// the others. With ErrTooMany or ErrUnavailable the list is nil.
	Live(handles []string, enough int) ([]string, error)

	// End ends the session at exactly this handle. It does not wait for the session's
	// lock: a change in progress is discarded with the session, and later ones return
	// ErrNotFound. If there is no session, End returns ErrNotFound, and ends what moves
	// left at the handle unless that leads to a session: tombstones, or the copy of a
	// move that failed. Such a copy may be all that is left of a session; then End
	// returns nil.
	End(handle string) error

	// Hold takes the session's lock and keeps it after the call. All other calls but
	// snapshots wait for it, up to ErrLocked, unless the lock was handed to them. If
	// there is no session and create is set, the lock is on one that is still to be
	// created. From then on this store works under the lock.
	Hold(handle string, create bool) (Lock, error)
}

// Locker hands locks on from one process to another, so that several calls work under
// one lock.
type Locker interface {
	// LockedEnded reports whether the session whose lock was handed down is known to
	// have ended.
	LockedEnded() bool

	// CheckLock returns ErrOtherLock or ErrLockLost if what was handed down is no
	// lock at all, and nil if nothing was handed down.
	CheckLock() error

	// Descriptors returns ErrUnsupported if the store's locks are not on descriptors.
	// The methods below then return that too.
	Descriptors() error

	// LockPath returns the path of the session's file, for the caller to open and
	// lock. It does not wait for the lock. If there is no session and create is set,
	// it makes an empty file.
	LockPath(handle string, create bool) (string, error)

	// UseFD makes the store use this descriptor, which the caller opened, as if it
	// were Options.LockFD. It returns ErrOtherLock if the descriptor is not open.
	UseFD(fd int) error

	// UnlockFD releases the lock on the descriptor. It returns ErrOtherLock unless
	// the descriptor is on the session's file or on a file that was removed. An empty
	// handle stands for any session.
	UnlockFD(handle string, fd int) error
}

// A Lock is a lock that Hold took.
type Lock struct {
	Name, Value string // the environment variable that hands it on
	FD          int    // the descriptor that has it; 0: none
	Lease       *Lease // nil: the lock lasts as long as a process has FD open
}

// A Lease is a lock that ends unless it is renewed in time. Both functions return
// ErrLockLost once the lock has ended.
type Lease struct {
	Every   time.Duration // how often to renew
	Renew   func() error
	Release func() error
}
