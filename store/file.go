package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// page is the unit in which files grow and are cut, in bytes.
	page = 4096

	// maxHops bounds how many tombstones are followed from a handle.
	maxHops = 8

	// maxTries bounds how often a session's file is opened again because
	// it was removed, moved or rewritten meanwhile.
	maxTries = 1000
)

// File is a [Store] that keeps each session in a file of its own,
// DIR/ab/<handle>, with 256 directories ab for the first two digits of the
// handle. A file's modification time is the session's last access. Directories
// have mode 0700 and files 0600; a directory or file that is not this user's
// alone is ErrUnsafe.
type File struct {
	dir  string
	opts Options
	mu   sync.Mutex // guards root
	root int        // descriptor of the directory; -1 until it is needed
	// stuck says why a lock of this process was not released: whatever needs one
	// fails from then on, for it could wait for itself.
	stuck atomic.Pointer[error]
}

// NewFile returns the store in dir, which is made when the first session is.
func NewFile(dir string, opts Options) *File {
	return &File{dir: dir, opts: opts, root: -1}
}

// Path returns where the file of the session with this handle is.
func (f *File) Path(handle string) string { return f.dir + "/" + handle[:2] + "/" + handle }

// Close gives back what the store holds of the system.
func (f *File) Close() error {
	if f.root < 0 {
		return nil
	}
	defer func() { f.root = -1 }()
	return unix.Close(f.root)
}

// Read implements [Store].
func (f *File) Read(handle string, how Reading) (*Session, error) {
	s, err := f.read(handle, how)
	if err == nil && how == Touch && s.Created > time.Now().Unix() {
		f.mendCreated(s)
	}
	return s, err
}

// mendCreated stores that a session was created now: a clock was set back, and
// with a time in the future it would never grow old. If it cannot be stored, the
// session is read all the same.
func (f *File) mendCreated(s *Session) {
	mended, err := f.Update(s.Handle, false, func(*Session) (Outcome, error) { return Keep, nil })
	if err != nil {
		f.opts.log("time of creation in the future not mended: "+err.Error(), s.Handle)
		return
	}
	s.Created, s.Version = mended.Created, mended.Version
}

func (f *File) read(handle string, how Reading) (*Session, error) {
	return f.follow(handle, false, func(handle string, _ bool) (*Session, error) {
		if how == Snapshot {
			return f.snapshot(handle)
		}
		e, err := f.lock(handle, shared, false)
		if err != nil {
			return nil, err
		}
		defer e.close()
		s, _, err := e.load()
		if err == nil && how == Touch {
			err = e.touch(s)
		}
		return s, err
	})
}

// Update implements [Store].
func (f *File) Update(handle string, create bool, change Change) (*Session, error) {
	return f.follow(handle, create, func(handle string, create bool) (*Session, error) {
		e, err := f.lock(handle, exclusive, create)
		if err != nil {
			return nil, err
		}
		defer e.close()
		s, err := e.update(create, change)
		return s, e.finish(err)
	})
}

// Move implements [Store].
func (f *File) Move(from, to string, grace time.Duration, change Change) (*Session, error) {
	s, err := f.follow(from, false, func(from string, _ bool) (*Session, error) {
		e, err := f.lock(from, exclusive, false)
		if err != nil {
			return nil, err
		}
		defer e.close()
		s, at, err := e.load()
		if _, moved := err.(movedError); moved {
			return nil, ErrMoved
		}
		if err != nil {
			return nil, e.invalidate(err)
		}
		if err := e.move(s, at, to, grace, change); err != nil {
			return nil, err
		}
		s.Handle, s.Path = to, f.Path(to)
		return s, nil
	})
	return MovedBefore(f, from, s, err)
}

// movedError says that a tombstone stands where the session was.
type movedError struct{ to string }

func (e movedError) Error() string { return "moved to " + e.to }

// follow runs visit on the handle and then where tombstones lead from it. What
// a tombstone leads to is never created.
func (f *File) follow(handle string, create bool, visit func(string, bool) (*Session, error)) (*Session, error) {
	for range maxHops + 1 {
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
	return nil, ErrNotFound
}

// An entry is a session's file, open, and locked unless it is a snapshot's.
type entry struct {
	f       *File
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

func (e *entry) close() {
	e.closeData()
	unix.Close(e.shard)
	e.release()
}

// fail says what failed on the session's file. No message holds an id; the
// path holds the handle only.
func (e *entry) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: e.f.Path(e.handle), Err: err}
}

// mode is how a session's file is locked: chosen once, since raising a shared
// lock would drop it first.
type mode int

const (
	shared    mode = iota
	exclusive      // until this call is over
	kept           // exclusive, on a descriptor that outlives this call
)

// lock opens and locks the session's file; where it is missing and create is
// set, it makes an empty one. The lock counts only if it is on the file that
// the name leads to once it is held.
func (f *File) lock(handle string, how mode, create bool) (*entry, error) {
	shard, err := f.openShard(handle, create)
	if err != nil {
		return nil, err
	}
	e := &entry{f: f, handle: handle, shard: shard, fd: -1}
	deadline := time.Now().Add(f.opts.LockTimeout)
	for range maxTries {
		err = e.tryLock(how, deadline)
		if err == unix.ENOENT && create {
			err = e.make()
		}
		if err != errReplaced {
			break
		}
	}
	switch err {
	case nil:
		return e, nil
	case unix.ENOENT:
		err = ErrNotFound
	case errReplaced, ErrLocked:
		err = e.busy()
	default:
		err = e.fail("lock", err)
	}
	e.takeBack()
	unix.Close(shard)
	return nil, err
}

// errReplaced says that the name leads to another file than before: look again.
var errReplaced = errors.New("file replaced")

// tryLock takes the lock and opens the file, for reading only if it must be:
// on a read-only file system, or to look at a tombstone.
func (e *entry) tryLock(how mode, deadline time.Time) error {
	if how == shared {
		return e.lockAndOpen(how, unix.O_RDONLY, deadline)
	}
	err := e.lockAndOpen(how, unix.O_RDWR, deadline)
	if err == unix.EROFS || err == unix.EACCES {
		e.refused = err
		err = e.lockAndOpen(how, unix.O_RDONLY, deadline)
	}
	return err
}

// lockAndOpen takes the lock and then opens the same file for its data.
func (e *entry) lockAndOpen(how mode, access int, deadline time.Time) error {
	locked, release, err := e.take(how, access, deadline)
	if err != nil {
		return openError(err)
	}
	if err = e.open(access); err == unix.ENOENT || err == nil && inodeOf(&e.stat) != locked {
		err = errReplaced
	}
	if err != nil {
		release()
		e.closeData()
		return err
	}
	e.release = release
	return nil
}

// unsafeError says why a file is ErrUnsafe. Its values are constants, so that
// they take no time before they happen.
type unsafeError string

func (e unsafeError) Error() string { return ErrUnsafe.Error() + ": " + string(e) }
func (e unsafeError) Unwrap() error { return ErrUnsafe }

const (
	errSymlink = unsafeError("a symbolic link stands where a session's file belongs; remove it")
	errNotFile = unsafeError("not a regular file; remove it")
)

// openError names what stands in the place of a session's file (open(2)).
func openError(err error) error {
	switch err {
	case unix.ELOOP:
		return errSymlink
	case unix.EISDIR, unix.ENXIO: // a directory; a socket
		return errNotFile
	}
	return err
}

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

// finish closes the file after a change.
func (e *entry) finish(err error) error {
	if closing := e.closeData(); err == nil && closing != nil && e.unconfirmed {
		err = e.fail("close", closing)
	}
	return err
}

func (e *entry) closeData() error {
	if e.fd < 0 {
		return nil
	}
	fd := e.fd
	e.fd = -1
	if err := unix.Close(fd); err != unix.EINTR { // closed all the same (close(2))
		return err
	}
	return nil
}

// check is open without keeping the file: whether it is worth waiting for.
func (e *entry) check() error {
	defer e.closeData()
	if err := e.open(unix.O_RDONLY); err != unix.ENOENT {
		return err
	}
	return nil
}

// checkFile refuses what no session's file is. The user is an argument because to ask
// for it is a system call, as much as to look at a file.
func checkFile(st *unix.Stat_t, uid int) error {
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return errNotFile
	case st.Nlink > 1:
		return fmt.Errorf("%w: has %d hard links; remove all of them", ErrUnsafe, st.Nlink)
	}
	return checkOwned(st, uid, 0o077)
}

// make makes the session's file, empty, for the lock to be taken on it by
// whoever comes first: errReplaced if it is there now.
func (e *entry) make() error {
	err := touchat(e.shard, e.handle)
	e.fresh = e.fresh || err == nil
	if err == nil || err == unix.EEXIST {
		return errReplaced
	}
	return err
}

// takeBack removes the empty file that this call made but could not lock, unless
// another process has it by now: that would hold its lock, or have stored something.
// Where there are no locks at all nobody can store anything.
func (e *entry) takeBack() {
	if !e.fresh {
		return
	}
	defer e.closeData()
	if e.open(unix.O_RDWR) != nil {
		return
	}
	switch tryLock(e.fd, time.Time{}) {
	case nil, unix.ENOLCK, unix.ENOSYS, unix.EOPNOTSUPP:
		if fstat(e.fd, &e.stat) == nil && e.stat.Size == 0 && e.stillNamed() == nil {
			unlinkat(e.shard, e.handle)
		}
	}
}

// load reads the session and judges it. With ErrNotFound (a file in which
// nothing was ever stored) the session is a new one, to be created; with
// ErrTooLarge it is all but its data.
func (e *entry) load() (*Session, found, error) {
	text, err := e.read()
	var s *Session
	var at found
	if err == nil {
		s, at, err = e.judge(text)
	} else if errors.Is(err, ErrTooLarge) {
		s, at, err = e.judgeUnread(err)
	}
	if s != nil {
		other, failed := e.f.holdsOther(&e.stat)
		if other {
			failed = ErrOtherLock
		}
		if failed != nil {
			return nil, at, e.fail("lock", failed)
		}
	}
	return s, at, err
}

// judge makes the session of a file's text.
func (e *entry) judge(text []byte) (*Session, found, error) {
	now := time.Now()
	at, err := current(text)
	switch {
	case err == ErrNotFound:
		return e.session(record{created: now.Unix(), data: Empty}, now), at, err
	case err == ErrCorrupt && e.f.opts.InvalidateCorrupt:
		e.f.opts.log("corrupt", e.handle)
		return nil, at, ErrInvalidated
	case err != nil:
		e.f.opts.log("corrupt", e.handle)
		return nil, at, e.fail("read", fmt.Errorf("%w; remove it, or set --invalidate-corrupt", err))
	case at.moved != "" && (at.moved == e.handle || now.Unix() >= at.until):
		return nil, at, ErrNotFound
	case at.moved != "":
		return nil, at, movedError{at.moved}
	}
	e.stored = true
	s := e.session(at.record, time.Unix(e.stat.Mtim.Unix()))
	switch {
	case e.f.opts.expired(s, now):
		return nil, at, ErrInvalidated
	case len(at.data) > e.f.opts.MaxRead():
		s.Data = nil
		return s, at, e.unread()
	}
	return s, at, nil
}

func (e *entry) session(r record, accessed time.Time) *Session {
	return &Session{
		Handle: e.handle, Version: r.version, Created: r.created, Accessed: accessed,
		User: r.user, OldKeys: inGrace(r.old, time.Now()), Data: r.data, Path: e.f.Path(e.handle), Size: e.stat.Size,
	}
}

// read returns the whole file, in e.text. One too large for a session of MaxRead
// bytes, as [place] has it, is not read.
func (e *entry) read() ([]byte, error) {
	if e.stat.Size > e.f.fileLimit() {
		return nil, e.unread()
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

// preadAll fills text from the offset on, or up to the file's end.
func preadAll(fd int, text []byte, offset int64) (n int, err error) {
	for n < len(text) {
		var m int
		err = retry(func() (err error) {
			m, err = unix.Pread(fd, text[n:], offset+int64(n))
			return err
		})
		if err != nil || m == 0 {
			return n, err
		}
		n += m
	}
	return n, nil
}

// update is one change: load, change, save.
func (e *entry) update(create bool, change Change) (*Session, error) {
	s, at, err := e.load()
	switch {
	case err == nil:
	case errors.Is(err, ErrTooLarge) && s != nil:
		change = change.Unread(err)
	case err == ErrNotFound && create && s == nil: // a tombstone that is over
		if err = e.remove(); err == nil {
			err = errReplaced
		}
		return nil, err
	case err == ErrNotFound && create:
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
	if (err != nil && err != ErrNotFound) || s.Version == 0 {
		e.discard()
	}
	return s, err
}

// carryOut does what a change says.
func (e *entry) carryOut(outcome Outcome, s *Session, at found) error {
	if now := time.Now().Unix(); s.Created > now { // see mendCreated
		s.Created = now
		if outcome == Keep && e.stored {
			s.User, s.OldKeys, s.Data, outcome = at.user, inGrace(at.old, time.Now()), at.data, Save
		}
	}
	switch {
	case outcome == Remove:
		err := e.remove()
		if err == nil {
			e.f.dropUser(s.User, e.handle)
		}
		return err
	case outcome != Keep:
		return e.save(s, at, outcome)
	case e.stored:
		return e.touch(s)
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
	if err != ErrInvalidated {
		return err
	}
	if err := e.remove(); err != nil {
		return err
	}
	return ErrInvalidated
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

// touch marks the access, and nothing else. Where the file system is read-only
// it cannot, and the session is read all the same.
func (e *entry) touch(s *Session) error {
	err := setTime(e.shard, e.handle, time.Now())
	switch err {
	case nil, unix.ENOENT:
		e.markUser(s)
		return nil
	case unix.EROFS:
		e.f.opts.log("access not marked: read-only file system", e.handle)
		return nil
	}
	return e.fail("mark the access of", err)
}

// setTime sets the times of a file, which is no symbolic link, in directory dir.
func setTime(dir int, name string, t time.Time) error {
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		return err
	}
	return retry(func() error {
		return unix.UtimesNanoAt(dir, name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// markUser keeps the index of users as young as the session, so that what
// removes old files leaves both or none.
func (e *entry) markUser(s *Session) {
	if err := e.f.addUser(s.User, e.handle); err != nil {
		e.f.opts.log("user index not marked: "+err.Error(), e.handle)
	}
}

// snapshot reads the session without its lock: until two reads in a row are
// equal, and the name still leads to the file that was read.
func (f *File) snapshot(handle string) (*Session, error) {
	shard, err := f.openShard(handle, false)
	if err != nil {
		return nil, err
	}
	e := &entry{f: f, handle: handle, shard: shard, fd: -1, release: func() {}}
	defer e.close()
	for range maxTries {
		e.closeData()
		if err := e.open(unix.O_RDONLY); err == unix.ENOENT {
			return nil, ErrNotFound
		} else if err != nil {
			return nil, e.fail("open", err)
		}
		text, err := e.stable()
		if err == errReplaced {
			continue
		}
		var s *Session
		if errors.Is(err, ErrTooLarge) {
			s, _, err = e.judgeUnread(err)
		} else if err == nil {
			s, _, err = e.judge(text)
		}
		return s, err
	}
	return nil, ErrLocked
}

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
			return text, e.stillNamed()
		}
		last, e.text, e.last = text, e.last, e.text
		if err := fstat(e.fd, &e.stat); err != nil {
			return nil, e.fail("stat", err)
		}
	}
	return nil, errReplaced
}

// stillNamed reports errReplaced unless the name leads to the open file.
func (e *entry) stillNamed() error {
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
