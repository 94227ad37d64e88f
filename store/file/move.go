package file

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// Move implements [store.Store].
func (f *Store) Move(from, to string, grace time.Duration, change store.Change) (*store.Session, error) {
	s, err := f.follow(from, false, func(from string, _ bool) (*store.Session, error) {
		e, err := f.lock(from, exclusive, false)
		if err != nil {
			return nil, err
		}
		defer e.close()
		s, at, err := e.load()
		if _, moved := err.(store.MovedError); moved {
			return nil, store.ErrMoved
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
	return store.MovedBefore(f, from, s, err)
}

// move renames the session's file to the new handle and carries out the change,
// under its lock. The rename comes first: what a log-in stores must never be
// found by the old handle alone. The index of users leads to the new handle
// before the session is there. If anything fails later, the session is moved
// back.
func (e *entry) move(s *store.Session, at located, to string, grace time.Duration, change store.Change) error {
	until := store.GraceEnd(time.Now(), grace)
	outcome, err := change.Moving(s, until)
	if err != nil {
		return err
	}
	// An entry for a move that fails leads nowhere, and does no harm.
	if err := e.f.addUser(s, to); err != nil {
		return err
	}
	shard, err := e.f.openShard(to, true)
	if err != nil {
		return err
	}
	defer closeFD(shard)
	var left *entry // the tombstone at the old handle
	if grace > 0 {
		if left, err = e.leaveTombstone(shard, to, until); err == nil {
			defer left.closeData()
		}
	} else if err = renameFree(e.shard, e.handle, shard, to); err == unix.ENOENT {
		err = store.ErrNotFound // removed by a program that takes no lock
	} else if err != nil && err != unix.EEXIST {
		err = e.fail("rename", err)
	}
	if err == unix.EEXIST {
		err = store.ErrTaken
	}
	if err != nil {
		return err
	}
	// Any failure from here on moves the session back. The descriptor is the same under
	// both names, so the change goes on with that of the old one.
	if err = e.syncDirs(shard); err == nil {
		target := *e
		target.shard, target.handle = shard, to
		err = target.finish(target.carryOut(outcome, s, at))
		e.fd = target.fd
	}
	if err != nil {
		e.moveBack(shard, to, left)
		return err
	}
	e.f.dropUser(e.session(at.record, s.Accessed), e.handle)
	return nil
}

// renameFree renames a file to a name that no other file has, or returns
// unix.EEXIST. Where renameNew cannot check that, an empty file takes the name
// first and is locked until the rename has replaced it: a call that waits for its
// lock then finds that the name leads elsewhere.
func renameFree(fromDir int, from string, toDir int, to string) error {
	err := renameNew(fromDir, from, toDir, to)
	if err != unix.EINVAL && err != unix.ENOSYS {
		return err
	}
	e := &entry{fd: -1}
	if e.fd, err = createat(toDir, to, unix.O_EXCL, 0o600); err != nil {
		return err
	}
	defer e.closeData()
	if tryFlock(e.fd, time.Time{}) != nil || fstat(e.fd, &e.stat) != nil || e.stat.Size > 0 || !e.linkedAt(toDir, to) {
		return unix.EEXIST // another process was faster to use it
	}
	if err = renameat(fromDir, from, toDir, to); err != nil {
		unlinkat(toDir, to)
	}
	return err
}

// leaveTombstone moves the session and leaves a tombstone at the old handle: it
// makes the tombstone at the new handle and exchanges the two names in one
// step. The tombstone is on the disk by then, so a crash leaves either the
// session where it was, or the tombstone in its place.
//
// The tombstone stays locked until the caller closes it, once the move is done
// or undone. Otherwise, if this process were stopped for longer than the grace,
// a sweep could remove the tombstone, which the exchange and moveBack need. A
// program that takes no lock, such as find -delete, may still remove it; then
// it is made again.
func (e *entry) leaveTombstone(shard int, to string, until int64) (*entry, error) {
	var op string
	var err error
	for range store.MaxHops {
		t := &entry{f: e.f, handle: to, shard: shard, fd: -1, release: func() {}}
		tombstone := record{version: 1, created: time.Now().Unix(), movedTo: to, until: until}
		op, err = "make a tombstone for", t.makeTombstone(tombstone)
		if err == nil {
			op, err = "exchange", exchange(e.shard, e.handle, shard, to)
		}
		if err == nil || err == unix.EEXIST {
			return t, err
		}
		// The tombstone is removed again, but no other file that has the new handle.
		if t.linkedAt(shard, to) {
			unlinkat(shard, to)
		}
		t.closeData()
		if err != unix.ENOENT {
			break
		}
		if gone := e.stillLinked(); gone == errReplaced {
			return nil, store.ErrNotFound // a program that takes no lock removed the session
		} else if gone != nil {
			return nil, gone
		}
	}
	// Of the kernel, and of the file system (renameat2(2)).
	if err == unix.ENOSYS || err == unix.EINVAL {
		err = fmt.Errorf("%w by the file system: it cannot exchange two names; leave out --grace", store.ErrUnsupported)
	}
	return nil, e.fail(op, err)
}

// makeTombstone writes the record to a new file, and syncs the file and its
// directory. The file stays open and locked. It gets its time, the end of the
// grace, before its mode: to stat(2), mode 0400 with a time in the past is a
// tombstone that is over, and a sweep would remove it.
func (e *entry) makeTombstone(r record) error {
	var err error
	e.fd, err = createat(e.shard, e.handle, unix.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	// Before the file has its mode and its time, so that no sweep takes it for an old one.
	err = lockWithin(e.fd, time.Now().Add(e.f.opts.LockTimeout))
	if err == nil {
		err = pwriteAll(e.fd, r.encode(), 0)
	}
	if err == nil {
		err = setTime(e.shard, e.handle, time.Unix(r.until, 0))
	}
	if err == nil {
		err = fchmod(e.fd, 0o400)
	}
	if err == nil {
		err = fsync(e.fd)
	}
	if err == nil {
		err = fsync(e.shard)
	}
	return err
}

// isTombstone reports whether stat(2) shows a tombstone: mode 0400, which no
// session has. It needs no open file.
func isTombstone(st *unix.Stat_t) bool { return st.Mode&0o777 == 0o400 }

// syncDirs makes a rename durable: it syncs the file, the new directory and the
// old one. The file comes first, because btrfs then writes the file's old and
// new names together; without that, a power cut between the two directories
// would leave the session under both handles.
func (e *entry) syncDirs(to int) error {
	if err := e.syncDir(e.fd); err != nil {
		return err
	}
	if err := e.syncDir(to); err != nil {
		return err
	}
	return e.syncDir(e.shard)
}

// moveBack undoes a move that will be reported as failed: the client never
// learns the new id. left is the tombstone at the old handle, nil for a move
// without a grace. If a program that takes no lock removed it, the session is
// renamed back, but not over one that was made at the old handle meanwhile. A
// failure is logged.
func (e *entry) moveBack(shard int, to string, left *entry) {
	var err error
	if left == nil || !left.linkedAt(e.shard, e.handle) {
		err = renameFree(shard, to, e.shard, e.handle)
	} else if err = exchange(e.shard, e.handle, shard, to); err == nil {
		unlinkat(shard, to)
	}
	if err != nil {
		e.f.opts.LogEvent("not moved back: "+err.Error(), to)
	}
}

// endMoved removes the tombstones from the handle on, until one leads to a
// session. An error is logged only: a tombstone that stays leads nowhere.
func (f *Store) endMoved(handle string) {
	for range store.MaxHops + 1 {
		if _, err := f.read(handle, store.Snapshot); !errors.Is(err, store.ErrNotFound) {
			return
		}
		next, err := f.removeTombstone(handle)
		if err != nil {
			f.opts.LogEvent("old id not removed: "+err.Error(), handle)
		}
		if next == "" {
			return
		}
		handle = next
	}
}

// removeTombstone removes the tombstone at the handle under its lock, and
// returns the handle that it led to; empty if there is none.
func (f *Store) removeTombstone(handle string) (next string, err error) {
	var st unix.Stat_t
	if err := lstatat(f.root, handle[:2]+"/"+handle, &st); err != nil || !isTombstone(&st) {
		return "", nil
	}
	e, err := f.lock(handle, exclusive, false)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer e.close()
	text, err := e.read()
	if err != nil {
		return "", err
	}
	at, err := current(text)
	if err != nil || at.movedTo == "" || at.movedTo == handle {
		return "", nil
	}
	return at.movedTo, e.remove()
}
