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

// An entry is a session's file, open, and locked unless it is a snapshot's.
type entry struct {
	f       *Store
	handle  string
	shard   int // descriptor of the directory that it is in
	fd      int
	stat    unix.Stat_t // as it was once locked
	refused error       // why it is open for reading only, if that is so
	fresh   bool        // made by this call
	stored  bool        // holds a record that counts
	lockFD  int         // where the lock is, if that is to be kept
	// unconfirmed: something was written since the descriptor was last closed.
	unconfirmed bool
	release     func()

	text, last []byte // room to read into, for one entry after the other
}

// load reads the session and judges it. With ErrNotFound (a file in which
// nothing was ever stored) the session is a new one, to be created; with
// ErrTooLarge it is all but its data.
func (e *entry) load() (*store.Session, located, error) {
	text, err := e.read()
	var s *store.Session
	var at located
	if err == nil {
		s, at, err = e.sessionIn(text)
	} else if errors.Is(err, store.ErrTooLarge) {
		s, at, err = e.sessionUnread(err)
	}
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

// sessionIn makes the session of a file's text.
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
		return nil, at, e.fail("read", fmt.Errorf("%w; remove it, or set --invalidate-corrupt", err))
	case at.movedTo != "" && (at.movedTo == e.handle || now.Unix() >= at.until):
		return nil, at, store.ErrNotFound
	case at.movedTo != "":
		return nil, at, movedError{at.movedTo}
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

func (e *entry) session(r record, accessed time.Time) *store.Session {
	return &store.Session{
		Handle: e.handle, Version: r.version, Created: r.created, Accessed: accessed,
		User: r.user, OldKeys: r.old, Data: r.data, Path: e.f.Path(e.handle), Size: e.stat.Size,
	}
}

// read returns the whole file, in e.text. One too large for a session of MaxRead
// bytes, as [nextPlacement] has it, is not read.
func (e *entry) read() ([]byte, error) {
	if e.stat.Size > e.f.fileLimit() {
		return nil, e.tooLarge()
	}
	if int64(cap(e.text)) < e.stat.Size {
		e.text = make([]byte, e.stat.Size)
	}
	text := e.text[:e.stat.Size]
	n, err := preadAll(e.fd, text, 0)
	if err != nil {
		return nil, e.fail("read", err)
	}
	return text[:n], nil
}

// snapshot reads the session without its lock: until two reads in a row are
// equal, and the name still leads to the file that was read.
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

// maxTries bounds how often a session's file is opened again because
// it was removed, moved or rewritten meanwhile.
const maxTries = 1000

// stable returns the file's text once two reads in a row were equal; if that
// does not come about, or the name then leads elsewhere, errReplaced.
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
		last, e.text, e.last = text, e.last, e.text
		if err := fstat(e.fd, &e.stat); err != nil {
			return nil, e.fail("stat", err)
		}
	}
	return nil, errReplaced
}

// stillLinked reports errReplaced unless the name leads to the open file.
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

// linkedAt reports whether a name in the directory leads to the open file.
func (e *entry) linkedAt(dir int, name string) bool {
	var own, there unix.Stat_t
	return fstat(e.fd, &own) == nil && lstatat(dir, name, &there) == nil && inodeOf(&own) == inodeOf(&there)
}

// inode tells one file from all others.
type inode struct{ dev, ino uint64 }

func inodeOf(st *unix.Stat_t) inode { return inode{uint64(st.Dev), uint64(st.Ino)} }

// open opens the file for its data and checks that it is a session's.
func (e *entry) open(access int) error {
	var err error
	e.fd, err = openat(e.shard, e.handle, access|unix.O_NONBLOCK, 0)
	if err == nil {
		err = fstat(e.fd, &e.stat)
	}
	if err != nil {
		return openError(err)
	}
	return checkFile(&e.stat, os.Geteuid())
}

// statName looks at the file without opening it.
func (e *entry) statName() error {
	return lstatat(e.shard, e.handle, &e.stat)
}

func modified(st *unix.Stat_t) time.Time { return time.Unix(st.Mtim.Unix()) }

// finish closes the file after a change.
func (e *entry) finish(err error) error {
	if closing := e.closeData(); err == nil && closing != nil && e.unconfirmed {
		err = e.fail("close", closing)
	}
	return err
}

func (e *entry) close() {
	e.closeData()
	closeFD(e.shard)
	e.release()
}

func (e *entry) closeData() error {
	if e.fd < 0 {
		return nil
	}
	fd := e.fd
	e.fd = -1
	return closeFD(fd)
}

// fail says what failed on the session's file. No message holds an id; the
// path holds the handle only.
func (e *entry) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: e.f.Path(e.handle), Err: err}
}
