// Package file keeps each session in a file of its own. It is safe against
// crashes and against other processes that use the same sessions.
//
// # Why a session survives a crash at any moment
//
// A session's file holds lines. Each line is a record of the whole session,
// with a version and a checksum. The record that counts is the one with the
// highest version among those whose checksum is right.
//
// A save writes its record beside the current one, never over it, with one
// pwrite(2). Until the whole record is in the file its checksum is wrong, and
// the current record still counts; from then on the new one does. So at every
// moment, and wherever the writer dies, the file holds a whole record: the old
// one or the new one. The room of a record is used again only after a later
// record is whole elsewhere in the file.
//
// # What a power cut can do
//
// The above is the order that processes see. A power cut may drop or reorder
// what the kernel has not yet written to the disk. Within one page it cannot
// destroy both records, provided that the disk writes 4 KiB at a time: each
// version of the page that the kernel writes is then stored as a whole or not
// at all. A file of more than one page is therefore synced at every save. A
// file of one page is synced only with [store.Options.Durable], which is also
// the setting for disks that may tear a page.
//
// # Why the lock is reliable
//
// The session's file is itself the lock (flock(2)). No save replaces it by
// another file, so a lock holds through any number of saves, and through a
// rename.
package file

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// Store is a [store.Backend] that keeps each session in a file of its own,
// DIR/ab/<handle>, where ab are the first two digits of the handle: 256
// directories. A file's modification time is the session's last access.
// Directories have mode 0700 and files 0600. A directory or file that other
// users own or can reach is [store.ErrUnsafe].
type Store struct {
	config Config
	opts   store.Options
	mu     sync.Mutex // guards root
	root   int        // descriptor of the data directory; -1 until it is opened
	heldFD int        // descriptor with a lock that lasts over several calls; 0: none

	// stuck is the error of a lock that this process could not release; nil: none.
	// From then on every call that needs a lock fails with it. Otherwise the process
	// could wait for itself.
	stuck atomic.Pointer[error]
}

// Config is where the sessions are, and what Examine needs to know about that.
type Config struct {
	Dir string // the data directory

	// TempDir is the directory in which the default data directory is made.
	TempDir string
	// InMemory: the sessions are meant to be in memory.
	InMemory bool
	// TryLock tries the lock of a file in another process, without waiting, and
	// reports whether it was free.
	TryLock func(path string) (locked bool, err error)
}

// Open returns the store. It opens nothing yet; the directory is made with the
// first session.
func Open(c Config, opts store.Options) *Store {
	return &Store{config: c, opts: opts, root: -1, heldFD: opts.LockFD}
}

// Path returns the path of the file of the session with this handle, whether or
// not there is one.
func (f *Store) Path(handle string) string { return f.config.Dir + "/" + handle[:2] + "/" + handle }

// Close closes the data directory. The store can be used again: it opens the
// directory when it needs it. A lock that lasts (see Hold) stays.
func (f *Store) Close() error {
	if f.root < 0 {
		return nil
	}
	defer func() { f.root = -1 }()
	return closeFD(f.root)
}

// Read implements [store.Store].
func (f *Store) Read(handle string, how store.Reading) (*store.Session, error) {
	s, err := f.read(handle, how)
	if err == nil && how == store.Touch && s.Created > time.Now().Unix() {
		f.mendCreated(s)
	}
	return s, err
}

// read reads the session without repairing it. A snapshot takes no lock; the
// other readings take the shared lock.
func (f *Store) read(handle string, how store.Reading) (*store.Session, error) {
	return f.follow(handle, false, func(handle string, _ bool) (*store.Session, error) {
		if how == store.Snapshot {
			return f.snapshot(handle)
		}
		e, err := f.lock(handle, shared, false)
		if err != nil {
			return nil, err
		}
		defer e.close()
		s, _, err := e.load()
		if err == nil && how == store.Touch {
			err = e.touch(s)
		}
		return s, err
	})
}

// follow calls visit with the handle, and then with each handle that a
// tombstone leads to, until visit returns something else than a [store.MovedError].
// Only the session at the first handle may be created. After errReplaced it
// tries the same handle again. It gives up with ErrNotFound after
// [store.MaxHops] tombstones.
func (f *Store) follow(
	handle string, create bool, visit func(handle string, create bool) (*store.Session, error),
) (*store.Session, error) {
	for range store.MaxHops + 1 {
		s, err := visit(handle, create)
		if err == errReplaced {
			continue
		}
		moved, ok := err.(store.MovedError)
		if !ok {
			return s, err
		}
		handle, create = moved.To, false
	}
	return nil, store.ErrNotFound
}

// mendCreated stores the present as the time of creation, where the stored one
// is in the future: a clock was set back, and the session would never reach its
// Lifetime. If that cannot be stored, it is logged, and the session is read all
// the same.
func (f *Store) mendCreated(s *store.Session) {
	mended, err := f.Update(s.Handle, false, func(*store.Session) (store.Outcome, error) { return store.Keep, nil })
	if err != nil {
		f.opts.LogEvent("time of creation in the future not mended: "+err.Error(), s.Handle)
		return
	}
	s.Created, s.Version = mended.Created, mended.Version
}

// Update implements [store.Store]. The change runs once, under the exclusive lock. The
// tombstones of a session that ends here are removed after its lock is released, each
// under its own lock: a call that waits for a lock while it holds another could wait
// for ever.
func (f *Store) Update(handle string, create bool, change store.Change) (*store.Session, error) {
	outcome := store.Keep
	// follow may end without running the change, so the outcome is noted here.
	noted := func(s *store.Session) (_ store.Outcome, err error) {
		outcome, err = change(s)
		return outcome, err
	}
	last := handle // where follow came to
	s, err := f.follow(handle, create, func(handle string, create bool) (*store.Session, error) {
		last = handle
		e, err := f.lock(handle, exclusive, create)
		if err != nil {
			return nil, err
		}
		defer e.close()
		s, err := e.update(create, noted)
		return s, e.finish(err)
	})
	if err == store.ErrNotFound && last != handle {
		s = &store.Session{Handle: last}
	}
	if err == nil && outcome == store.Remove && last != handle {
		f.endMoved(handle)
	}
	return s, err
}

// Repeats implements [store.Store]: false, since a change runs under the
// session's lock.
func (f *Store) Repeats() bool { return false }

// update loads the session, runs the change and carries it out, all under the
// entry's lock. Where the handle has a tombstone that is over, and create is
// set, it removes the tombstone and returns errReplaced; the caller tries
// again.
func (e *entry) update(create bool, change store.Change) (*store.Session, error) {
	s, at, err := e.load()
	switch {
	case err == nil:
	case errors.Is(err, store.ErrTooLarge) && s != nil:
		// The session can be ended, and its data deleted, without reading that.
		change = change.Unread(err)
	case err == store.ErrNotFound && create && s == nil:
		// A tombstone whose grace is over holds the name of the session to be created.
		if err = e.remove(); err == nil {
			err = errReplaced
		}
		return nil, err
	case err == store.ErrNotFound && create:
		// The file is empty: s is a new session.
	default:
		e.discard()
		return nil, e.invalidate(err)
	}
	outcome, err := change(s)
	if err == nil && s.User != at.user {
		// Before the save, so that the index never misses a session of the user.
		err = e.f.addUser(s, e.handle)
	}
	if err == nil {
		err = e.carryOut(outcome, s, at)
	}
	if (err != nil && err != store.ErrNotFound) || s.Version == 0 {
		e.discard()
	}
	return s, err
}

// carryOut does what a change returned: it removes the session, saves it, or
// marks the access. A time of creation in the future is corrected on the way;
// see mendCreated.
func (e *entry) carryOut(outcome store.Outcome, s *store.Session, at located) error {
	if now := time.Now().Unix(); s.Created > now { // see mendCreated
		s.Created = now
		if outcome == store.Keep && e.stored {
			// Keep stores nothing of what the change may have set.
			s.User, s.CookieName, s.Note, s.OldKeys = at.user, at.name, at.note, at.old
			s.Data, outcome = at.data, store.Save
		}
	}
	switch {
	case outcome == store.Remove:
		err := e.remove()
		if err == nil {
			e.f.dropUser(s, e.handle)
		}
		return err
	case outcome != store.Keep:
		return e.save(s, at, outcome)
	case e.stored:
		return e.touch(s)
	}
	return nil
}

// touch marks the access: it sets the file's times to the present, and those of
// the entry in the index of users. A file that is missing is no error. On a
// read-only file system the mark is left out and logged, so that sessions can
// still be read.
func (e *entry) touch(s *store.Session) error {
	err := setTime(e.shard, e.handle, time.Now())
	switch err {
	case nil, unix.ENOENT:
		e.markUser(s)
		return nil
	case unix.EROFS:
		e.f.opts.LogEvent("access not marked: read-only file system", e.handle)
		return nil
	}
	return e.fail("mark the access of", err)
}

// remove removes the session's file and syncs its directory, so that a power
// cut cannot bring the session back. A file that is already missing is no
// error.
func (e *entry) remove() error {
	if err := unlinkat(e.shard, e.handle); err != nil && err != unix.ENOENT {
		return e.fail("remove", err)
	}
	e.fresh = false // the name may now belong to a file of another process
	return e.syncDir(e.shard)
}

// syncDir syncs the open directory or file fd, and names the session in an
// error.
func (e *entry) syncDir(fd int) error {
	if err := fsync(fd); err != nil {
		return e.fail("sync the directory of", err)
	}
	return nil
}

// discard removes the file if this call made it and stored nothing in it. The
// lock is still held, and a size of 0 shows that no earlier holder of it stored
// anything.
func (e *entry) discard() {
	if e.fresh && e.stat.Size == 0 {
		unlinkat(e.shard, e.handle)
	}
}

// invalidate removes the session if err is ErrInvalidated. It returns err, or
// the error of the removal.
func (e *entry) invalidate(err error) error {
	if err != store.ErrInvalidated {
		return err
	}
	if err := e.remove(); err != nil {
		return err
	}
	return store.ErrInvalidated
}
