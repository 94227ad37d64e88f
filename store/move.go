package store

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// move renames the session's file and carries out a change, under its lock: in
// this order, so that what a log-in stores is never found by the old handle
// alone. The index of users leads to the new handle before the session is there.
func (e *entry) move(s *Session, at found, to string, grace time.Duration, change Change) error {
	until := GraceEnd(time.Now(), grace)
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
	defer unix.Close(shard)
	if grace > 0 {
		err = e.leaveTombstone(shard, to, until)
	} else if err = renameNew(e.shard, e.handle, shard, to); err == unix.ENOENT {
		err = ErrNotFound // removed by one who takes no lock
	} else if err != nil {
		err = e.fail("rename", err)
	}
	if err != nil {
		return err
	}
	if err = e.syncDirs(shard); err == nil {
		moved := *e
		moved.shard, moved.handle = shard, to
		err = moved.finish(moved.carryOut(outcome, s, at))
		e.fd = moved.fd
	}
	if err != nil {
		e.moveBack(shard, to, grace)
		return err
	}
	e.f.dropUser(s.User, e.handle)
	return nil
}

// moveBack undoes a move that will be reported as not done: the client would
// never learn the new id. It does not replace a session that was made at the
// old handle meanwhile.
func (e *entry) moveBack(shard int, to string, grace time.Duration) {
	var err error
	if grace == 0 {
		err = renameNew(shard, to, e.shard, e.handle)
	} else if err = exchange(e.shard, e.handle, shard, to); err == nil {
		unlinkat(shard, to)
	}
	if err != nil {
		e.f.opts.log("not moved back: "+err.Error(), to)
	}
}

// leaveTombstone moves the session and leaves a tombstone at the old handle. It
// is whole on the disk before the exchange that brings it there, so that a crash
// leaves either the session where it was, or the tombstone in its place. Until then
// it is locked: if this process is stopped for longer than the grace, a cleanup
// would take it for one that is over, and after the exchange its name is that of the
// session. What takes no lock, such as find -delete, may still remove it; then it is
// made again.
func (e *entry) leaveTombstone(shard int, to string, until int64) error {
	var err error
	for range maxHops {
		t := entry{f: e.f, handle: to, shard: shard, release: func() {}}
		if err = t.makeTombstone(record{version: 1, created: time.Now().Unix(), moved: to, until: until}); err != nil {
			return err
		}
		err = exchange(e.shard, e.handle, shard, to)
		t.closeData()
		if err == nil {
			return nil
		}
		unlinkat(shard, to)
		if err != unix.ENOENT {
			break
		}
		if gone := e.stillNamed(); gone == errReplaced {
			return ErrNotFound // the session was removed by one who takes no lock
		} else if gone != nil {
			return gone
		}
	}
	if err == unix.ENOSYS || err == unix.EINVAL {
		err = fmt.Errorf("%w: it cannot exchange two names; leave out --grace", ErrUnsupported)
	}
	return e.fail("exchange", err)
}

// makeTombstone writes the record to a new file, which stays open and locked, and
// syncs it and its directory. To stat, mode 0400 and a time in the past are a
// tombstone that is over, so the file gets the time first and then the mode.
func (e *entry) makeTombstone(r record) error {
	var err error
	e.fd, err = createat(e.shard, e.handle, unix.O_EXCL, 0o600)
	if err != nil {
		return e.fail("create", err)
	}
	e.fresh = true
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
	if err != nil {
		e.discard()
		e.closeData()
		return e.fail("make a tombstone at", err)
	}
	return nil
}

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
