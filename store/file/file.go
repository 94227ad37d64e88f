// Package file keeps each session in a file of its own, safe against crashes and
// against other processes that use the same sessions.
//
// Why a session survives a crash at any moment:
//
// A session's file holds lines, each a record of the whole session with a
// version and a checksum. The session is the record with the highest version
// among those that are whole. A save writes its record beside the current one,
// never over it, in one pwrite(2). Until all of the new record is in the file
// its checksum is wrong and the current record still counts; from then on the
// new one does. So at every instant, and wherever the writer dies, the file
// holds a whole record: the old or the new. The room of a record is used again
// only once a later one stands whole elsewhere in the file.
//
// That order holds for what processes see. A power cut may drop or reorder
// what the kernel has not yet written. Within one page it cannot take both
// records, as long as the disk writes 4 KiB at a time: of each version of the
// page that the kernel hands it all is there or nothing. A longer file is
// therefore synced at every save, and a file of one page when [store.Options.Durable]
// says so, which is also for disks that may tear a page.
//
// The file is the lock (flock(2)), and it is never replaced by another, so
// that a lock holds through any number of saves and through a rename.
package file

import (
	"cmp"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// Store is a [store.Store] that keeps each session in a file of its own,
// DIR/ab/<handle>, with 256 directories ab for the first two digits of the
// handle. A file's modification time is the session's last access. Directories
// have mode 0700 and files 0600; a directory or file that is not this user's
// alone is ErrUnsafe.
type Store struct {
	dir    string
	opts   store.Options
	mu     sync.Mutex // guards root
	root   int        // descriptor of the directory; -1 until it is needed
	heldFD int        // descriptor that has the lock held over several calls; 0: none
	// stuck says why a lock of this process was not released: whatever needs one
	// fails from then on, for it could wait for itself.
	stuck atomic.Pointer[error]
}

// Open returns the store in dir, which is made when the first session is.
func Open(dir string, opts store.Options) *Store {
	return &Store{dir: dir, opts: opts, root: -1, heldFD: opts.LockFD}
}

// Path returns where the file of the session with this handle is.
func (f *Store) Path(handle string) string { return f.dir + "/" + handle[:2] + "/" + handle }

// Close gives back what the store holds of the system.
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

// follow runs visit on the handle and then where tombstones lead from it. What
// a tombstone leads to is never created.
func (f *Store) follow(handle string, create bool, visit func(string, bool) (*store.Session, error)) (*store.Session, error) {
	for range store.MaxHops + 1 {
		s, err := visit(handle, create)
		if err == errReplaced {
			continue
		}
		moved, ok := err.(movedError)
		if !ok {
			return s, err
		}
		handle, create = moved.to, false
	}
	return nil, store.ErrNotFound
}

// mendCreated stores that a session was created now: a clock was set back, and
// with a time in the future it would never grow old. If it cannot be stored, the
// session is read all the same.
func (f *Store) mendCreated(s *store.Session) {
	mended, err := f.Update(s.Handle, false, func(*store.Session) (store.Outcome, error) { return store.Keep, nil })
	if err != nil {
		f.opts.LogEvent("time of creation in the future not mended: "+err.Error(), s.Handle)
		return
	}
	s.Created, s.Version = mended.Created, mended.Version
}

// Update implements [store.Store].
func (f *Store) Update(handle string, create bool, change store.Change) (*store.Session, error) {
	outcome := store.Keep
	noted := func(s *store.Session) (_ store.Outcome, err error) {
		outcome, err = change(s)
		return outcome, err
	}
	last := handle
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
	if err == store.ErrNotFound && create && last != handle { // old handles of a session that has ended
		s = &store.Session{Handle: last, Data: store.Empty}
		if outcome, changed := change(s); changed != nil || outcome != store.Remove {
			return nil, cmp.Or(changed, err)
		}
		f.endMoved(handle)
		return s, nil
	}
	if err == nil && outcome == store.Remove && last != handle {
		f.endMoved(handle)
	}
	return s, err
}

// Repeats implements [store.Store]: a change is made under the session's lock.
func (f *Store) Repeats() bool { return false }

// update is one change: load, change, save.
func (e *entry) update(create bool, change store.Change) (*store.Session, error) {
	s, at, err := e.load()
	switch {
	case err == nil:
	case errors.Is(err, store.ErrTooLarge) && s != nil:
		change = change.Unread(err)
	case err == store.ErrNotFound && create && s == nil: // a tombstone that is over
		if err = e.remove(); err == nil {
			err = errReplaced
		}
		return nil, err
	case err == store.ErrNotFound && create:
	default:
		e.discard()
		return nil, e.invalidate(err)
	}
	outcome, err := change(s)
	if err == nil && s.User != at.user { // found before it is there
		err = e.f.addUser(s.User, e.handle)
	}
	if err == nil {
		err = e.carryOut(outcome, s, at)
	}
	if (err != nil && err != store.ErrNotFound) || s.Version == 0 {
		e.discard()
	}
	return s, err
}

// carryOut does what a change says.
func (e *entry) carryOut(outcome store.Outcome, s *store.Session, at located) error {
	if now := time.Now().Unix(); s.Created > now { // see mendCreated
		s.Created = now
		if outcome == store.Keep && e.stored {
			s.User, s.OldKeys, s.Data, outcome = at.user, at.old, at.data, store.Save
		}
	}
	switch {
	case outcome == store.Remove:
		err := e.remove()
		if err == nil {
			e.f.dropUser(s.User, e.handle)
		}
		return err
	case outcome != store.Keep:
		return e.save(s, at, outcome)
	case e.stored:
		return e.touch(s)
	}
	return nil
}

// touch marks the access, and nothing else. Where the file system is read-only
// it cannot, and the session is read all the same.
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

// remove ends the session, so that not even a power cut brings it back.
func (e *entry) remove() error {
	if err := unlinkat(e.shard, e.handle); err != nil && err != unix.ENOENT {
		return e.fail("remove", err)
	}
	e.fresh = false // from now on the name may lead to another's file
	return e.syncDir(e.shard)
}

func (e *entry) syncDir(fd int) error {
	if err := fsync(fd); err != nil {
		return e.fail("sync the directory of", err)
	}
	return nil
}

// discard takes back a file that this call made, unless another call had the
// lock first and stored something.
func (e *entry) discard() {
	if e.fresh && e.stat.Size == 0 {
		unlinkat(e.shard, e.handle)
	}
}

// invalidate removes the session if err says that it no longer counts.
func (e *entry) invalidate(err error) error {
	if err != store.ErrInvalidated {
		return err
	}
	if err := e.remove(); err != nil {
		return err
	}
	return store.ErrInvalidated
}

// End implements [store.Store]. It is one unlink(2), which is safe at any moment: a
// process that has the file open works on one that no name leads to.
func (f *Store) End(handle string) error {
	shard, err := f.openShard(handle, false)
	if err != nil {
		return err
	}
	defer closeFD(shard)
	s, err := f.snapshot(handle)
	if _, moved := err.(movedError); moved {
		err = store.ErrNotFound
	}
	if err != nil && s == nil {
		return err
	}
	e := entry{f: f, handle: handle, shard: shard}
	if err := e.remove(); err != nil {
		return err
	}
	f.dropUser(s.User, handle)
	return nil
}
