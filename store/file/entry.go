package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// An entry is a session's file that is being used: open, and locked unless it
// is read as a snapshot. Walks and sweeps use one entry for many files in turn.
type entry struct {
	f       *Store
	handle  string
	shard   int         // descriptor of the directory that holds the file
	fd      int         // descriptor for the file's data; -1: closed
	stat    unix.Stat_t // taken when the file was opened, after it was locked
	refused error       // the error of opening for writing, if the file is open for reading only
	fresh   bool        // this call made the file
	stored  bool        // the file holds a session that counts
	lockFD  int         // descriptor with the lock, if it is to outlive this call; else 0
	release func()      // releases the lock

	// unconfirmed: something was written after the last close of a descriptor, so
	// that the next close may report a failed write; see confirm.
	unconfirmed bool

	text, last []byte // buffers, kept for the next file: what was read, and the reading before
}

// load reads the session under the lock, and returns it with the record that
// counts. In these cases the session comes with an error: ErrNotFound where
// nothing was ever stored in the file (the session is a new one, Version 0),
// and ErrTooLarge where its data is too large (Data is nil). With any other
// error the session is nil. It is ErrOtherLock if the process holds a lock that
// lasts, on another session's file.
func (e *entry) load() (*store.Session, located, error) {
	text, err := e.read()
	var s *store.Session
	var at located
	if err == nil {
		s, at, err = e.sessionIn(text)
	} else if errors.Is(err, store.ErrTooLarge) {
		s, at, err = e.sessionUnread(err)
	}
	// Only a session, be it a new one, can be the wrong one. A tombstone is followed
	// first: the lock is on the session that it leads to.
	if s != nil {
		other, failed := e.f.heldElsewhere(&e.stat)
		if other {
			failed = store.ErrOtherLock
		}
		if failed != nil {
			return nil, at, e.fail("lock", failed)
		}
	}
	return s, at, err
}

// sessionIn makes a session of the text of a file and applies the limits to it.
// A tombstone is a [store.MovedError] with the new handle, or ErrNotFound once its
// grace is over, and also if it leads to itself: its move has not finished. The
// other errors are those of load.
func (e *entry) sessionIn(text []byte) (*store.Session, located, error) {
	now := time.Now()
	at, err := current(text)
	switch {
	case err == store.ErrNotFound:
		return e.session(record{created: now.Unix(), data: store.Empty}, now), at, err
	case err == store.ErrCorrupt && e.f.opts.InvalidateCorrupt:
		e.f.opts.LogEvent("corrupt", e.handle)
		return nil, at, store.ErrInvalidated
	case err != nil:
		e.f.opts.LogEvent("corrupt", e.handle)
		return nil, at, e.fail("read", fmt.Errorf("%w file; remove it, or set --invalidate-corrupt", err))
	case at.movedTo != "" && // a tombstone that is over, or one that leads to itself
		(at.movedTo == e.handle || now.Unix() >= at.until):
		return nil, at, store.ErrNotFound
	case at.movedTo != "":
		return nil, at, store.MovedError{To: at.movedTo}
	}
	e.stored = true
	s := e.session(at.record, time.Unix(e.stat.Mtim.Unix()))
	switch {
	case e.f.opts.State(s, now) != store.Live:
		return nil, at, store.ErrInvalidated
	case len(at.data) > e.f.opts.MaxRead():
		s.Data = nil
		return s, at, e.tooLarge()
	}
	return s, at, nil
}

// session makes a session of a record. It does not apply the limits.
func (e *entry) session(r record, accessed time.Time) *store.Session {
	return &store.Session{
		Handle: e.handle, Version: r.version, Created: r.created, Accessed: accessed,
		User: r.user, CookieName: r.name, Note: r.note, OldKeys: r.old, Data: r.data,
		Path: e.f.Path(e.handle), Size: e.stat.Size,
	}
}

// read returns the whole text of the file; the buffer is used again by the next
// read. A file that is larger than sessions of MaxRead bytes of data can make
// it (see [nextPlacement]) is ErrTooLarge and not read.
func (e *entry) read() ([]byte, error) {
	if e.stat.Size > e.f.fileLimit() {
		return nil, e.tooLarge()
	}
	if int64(cap(e.text)) < e.stat.Size {
		e.text = make([]byte, e.stat.Size)
	}
	// A file that another process cuts meanwhile gives fewer bytes.
	text := e.text[:e.stat.Size]
	n, err := preadAll(e.fd, text, 0)
	if err != nil {
		return nil, e.fail("read", err)
	}
	return text[:n], nil
}

// snapshot reads a session without its lock. A save may be under way, so it
// reads the file until two readings in a row are equal. The name must then
// still lead to the file that was read: a session that was moved meanwhile is
// looked up again. It is ErrLocked if that does not happen within maxTries.
func (f *Store) snapshot(handle string) (*store.Session, error) {
	shard, err := f.openShard(handle, false)
	if err != nil {
		return nil, err
	}
	e := &entry{f: f, handle: handle, shard: shard, fd: -1, release: func() {}}
	defer e.close()
	for range maxTries {
		e.closeData()
		if err := e.open(unix.O_RDONLY); err == unix.ENOENT {
			return nil, store.ErrNotFound
		} else if err != nil {
			return nil, e.fail("open", err)
		}
		text, err := e.stable()
		if err == errReplaced {
			continue
		}
		var s *store.Session
		if errors.Is(err, store.ErrTooLarge) {
			s, _, err = e.sessionUnread(err)
		} else if err == nil {
			s, _, err = e.sessionIn(text)
		}
		return s, err
	}
	return nil, store.ErrLocked
}

// maxTries is how often a session's file is opened or read again because it was
// removed, moved or rewritten meanwhile. Each try needs another process that
// changes the file at that very moment, so the limit only stops a fault from
// looping for ever.
const maxTries = 1000

// stable returns the file's text after two equal readings in a row. It returns
// errReplaced if there are none within maxTries, or if the name then leads to
// another file.
func (e *entry) stable() ([]byte, error) {
	var last []byte
	for try := range maxTries {
		text, err := e.read()
		if err != nil {
			return nil, err
		}
		if try > 0 && string(text) == string(last) {
			return text, e.stillLinked()
		}
		// The two buffers change places, so that the next read spares this text.
		last, e.text, e.last = text, e.last, e.text
		if err := fstat(e.fd, &e.stat); err != nil {
			return nil, e.fail("stat", err)
		}
	}
	return nil, errReplaced
}

// stillLinked returns nil if the entry's name still leads to the open file, and
// errReplaced if it leads to another file or to none.
func (e *entry) stillLinked() error {
	var st unix.Stat_t
	err := lstatat(e.shard, e.handle, &st)
	switch {
	case err == unix.ENOENT, err == nil && inodeOf(&st) != inodeOf(&e.stat):
		return errReplaced
	case err != nil:
		return e.fail("stat", err)
	}
	return nil
}

// linkedAt reports whether the name in the open directory dir leads to the open
// file.
func (e *entry) linkedAt(dir int, name string) bool {
	var own, there unix.Stat_t
	return fstat(e.fd, &own) == nil && lstatat(dir, name, &there) == nil && inodeOf(&own) == inodeOf(&there)
}

// An inode identifies a file among all files of the machine, whatever its name
// (inode(7)).
type inode struct{ dev, ino uint64 }

// inodeOf returns the inode in a result of stat(2). The conversions are for
// systems whose fields have other types.
func inodeOf(st *unix.Stat_t) inode { return inode{uint64(st.Dev), uint64(st.Ino)} }

// open opens the file's data with this access (O_RDONLY or O_RDWR), and checks
// that it is safe to use. It fills e.stat. A missing file is unix.ENOENT.
// O_NONBLOCK keeps it from waiting for the other end if the name leads to a
// named pipe (fifo(7)).
func (e *entry) open(access int) error {
	var err error
	e.fd, err = openat(e.shard, e.handle, access|unix.O_NONBLOCK, 0)
	if err == nil {
		err = fstat(e.fd, &e.stat)
	}
	if err != nil {
		return openError(err)
	}
	return atMount(e.fd, &e.stat, 0o077, checkFile(&e.stat, os.Geteuid()))
}

// statName fills e.stat from the name, without opening the file.
func (e *entry) statName() error {
	return lstatat(e.shard, e.handle, &e.stat)
}

// modified returns the time of the last modification: of a session, its last
// access; of a tombstone, the end of its grace.
func modified(st *unix.Stat_t) time.Time { return time.Unix(st.Mtim.Unix()) }

// finish closes the file's data after a change that ended with err. It returns
// err; if that is nil, the error of the close, unless everything written is
// confirmed already.
func (e *entry) finish(err error) error {
	if closing := e.closeData(); err == nil && closing != nil && e.unconfirmed {
		err = e.fail("close", closing)
	}
	return err
}

// close closes the file and its directory and releases the lock.
func (e *entry) close() {
	e.closeData()
	closeFD(e.shard)
	e.release()
}

// closeData closes the file's data, if it is open. The lock is on another
// descriptor and stays.
func (e *entry) closeData() error {
	if e.fd < 0 {
		return nil
	}
	fd := e.fd
	e.fd = -1
	return closeFD(fd)
}

// fail returns the error of an operation on the session's file. No message
// holds an id: the path holds the handle only.
func (e *entry) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: e.f.Path(e.handle), Err: err}
}
