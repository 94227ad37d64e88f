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
		if _, moved := err.(movedError); moved {
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

// move renames the session's file and carries out a change, under its lock: in
// this order, so that what a log-in stores is never found by the old handle
// alone. The index of users leads to the new handle before the session is there.
func (e *entry) move(s *store.Session, at located, to string, grace time.Duration, change store.Change) error {
	until := store.GraceEnd(time.Now(), grace)
	outcome, err := change.Moving(s, until)
	if err != nil {
		return err
	}
	if err := e.f.addUser(s.User, to); err != nil {
		return err
	}
	shard, err := e.f.openShard(to, true)
	if err != nil {
		return err
	}
	defer closeFD(shard)
	var left *entry
	if grace > 0 {
		if left, err = e.leaveTombstone(shard, to, until); err == nil {
			defer left.closeData()
		}
	} else if err = renameNew(e.shard, e.handle, shard, to); err == unix.ENOENT {
		err = store.ErrNotFound // removed by one who takes no lock
	} else if err != nil {
		err = e.fail("rename", err)
	}
	if err != nil {
		return err
	}
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
	e.f.dropUser(s.User, e.handle)
	return nil
}

// leaveTombstone moves the session and leaves a tombstone at the old handle. It
// is whole on the disk before the exchange that brings it there, so that a crash
// leaves either the session where it was, or the tombstone in its place. It is
// locked from its making until the caller closes it, once the move is done or undone:
// if this process is stopped for longer than the grace, a cleanup would take it for
// one that is over, and both exchanges need it. What takes no lock, such as
// find -delete, may still remove it; then it is made again.
func (e *entry) leaveTombstone(shard int, to string, until int64) (*entry, error) {
	var op string
	var err error
	for range store.MaxHops {
		t := &entry{f: e.f, handle: to, shard: shard, fd: -1, release: func() {}}
		op, err = "make a tombstone for", t.makeTombstone(record{version: 1, created: time.Now().Unix(), movedTo: to, until: until})
		if err == nil {
			op, err = "exchange", exchange(e.shard, e.handle, shard, to)
		}
		if err == nil {
			return t, nil
		}
		if t.linkedAt(shard, to) {
			unlinkat(shard, to)
		}
		t.closeData()
		if err != unix.ENOENT {
			break
		}
		if gone := e.stillLinked(); gone == errReplaced {
			return nil, store.ErrNotFound // the session was removed by one who takes no lock
		} else if gone != nil {
			return nil, gone
		}
	}
	if err == unix.ENOSYS || err == unix.EINVAL {
		err = fmt.Errorf("%w: it cannot exchange two names; leave out --grace", store.ErrUnsupported)
	}
	return nil, e.fail(op, err)
}

// makeTombstone writes the record to a new file, which stays open and locked, and
// syncs it and its directory. To stat, mode 0400 and a time in the past are a
// tombstone that is over, so the file gets the time first and then the mode.
func (e *entry) makeTombstone(r record) error {
	var err error
	e.fd, err = createat(e.shard, e.handle, unix.O_EXCL, 0o600)
	if err != nil {
		return err
	}
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

// isTombstone tells a tombstone by its mode.
func isTombstone(st *unix.Stat_t) bool { return st.Mode&0o777 == 0o400 }

// syncDirs puts a rename on the disk: both directories, if they are two. The
// file goes first: btrfs writes a file's old and new names together then, while
// a power cut between the directories would leave it under both.
func (e *entry) syncDirs(to int) error {
	if err := e.syncDir(e.fd); err != nil {
		return err
	}
	if err := e.syncDir(to); err != nil {
		return err
	}
	return e.syncDir(e.shard)
}

// moveBack undoes a move that will be reported as not done: the client would
// never learn the new id. It does not replace a session that was made at the
// old handle meanwhile; nothing is there if one who takes no lock removed the
// tombstone that was left.
func (e *entry) moveBack(shard int, to string, left *entry) {
	var err error
	if left == nil || !left.linkedAt(e.shard, e.handle) {
		err = renameNew(shard, to, e.shard, e.handle)
	} else if err = exchange(e.shard, e.handle, shard, to); err == nil {
		unlinkat(shard, to)
	}
	if err != nil {
		e.f.opts.LogEvent("not moved back: "+err.Error(), to)
	}
}

// movedError says that a tombstone stands where the session was.
type movedError struct{ to string }

func (e movedError) Error() string { return "moved to " + e.to }

// endMoved removes the tombstones from the handle on, once the session that they lead
// to has ended. One that stays leads nowhere.
func (f *Store) endMoved(handle string) {
	for range store.MaxHops + 1 {
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

// removeTombstone removes the tombstone at the handle, and returns where it led; empty:
// there is none.
func (f *Store) removeTombstone(handle string) (next string, err error) {
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
