package file

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// Each implements [store.Operator].
func (f *Store) Each(visit store.Visit) error {
	return f.eachEntry(func(e *entry) error {
		defer e.closeData()
		s, state, wrong := e.inspect()
		if wrong == unix.ENOENT {
			return nil
		}
		return visit(s, state, wrong)
	})
}

// eachEntry calls visit with an entry for every file that stands where a
// session's file does and is named like one. The files are not open. A data
// directory that is missing has none.
func (f *Store) eachEntry(visit func(*entry) error) error {
	if err := f.openRoot(false); err != nil {
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	}
	e := f.closedEntry()
	at := store.Progress{}
	for n := range shards {
		at.Share = float64(n) / shards
		err := f.eachInShard(shardName(n), e, func(e *entry) error {
			at.Seen++
			f.opts.ReportProgress(at)
			return visit(e)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// closedEntry returns an entry for walks: it is used for one file after
// another, so that its buffers are allocated once.
func (f *Store) closedEntry() *entry {
	return &entry{f: f, shard: -1, fd: -1, release: func() {}}
}

// eachInShard is eachEntry for one directory; it uses the entry e. A missing
// directory has no files. One that is unsafe is skipped and logged.
func (f *Store) eachInShard(name string, e *entry, visit func(*entry) error) error {
	fd, err := openOrMake(f.root, name, false)
	switch {
	case err == store.ErrNotFound:
		return nil
	case errors.Is(err, store.ErrUnsafe):
		f.opts.LogEvent(fmt.Sprintf("skipped: %v", err), name)
		return nil
	case err != nil:
		return &dirError{f.config.Dir + "/" + name, err}
	}
	return eachName(fd, f.config.Dir+"/"+name, func(handle string) error {
		if !store.IsHandle(handle) || handle[:2] != name {
			return nil
		}
		e.shard, e.handle, e.fd = fd, handle, -1
		return visit(e)
	})
}

// Look implements [store.Operator].
func (f *Store) Look(handle string, visit store.Visit) error {
	shard, err := f.openShard(handle, false)
	if err != nil {
		return err
	}
	e := &entry{f: f, handle: handle, shard: shard, fd: -1, release: func() {}}
	defer e.close()
	s, state, wrong := e.inspect()
	if wrong == unix.ENOENT {
		return store.ErrNotFound
	}
	return visit(s, state, wrong)
}

// inspect reads the entry's file for an operator, without its lock, and returns
// the session, its state, and what is wrong with it. It does not mark the file
// as read, where the system allows that. A missing file is unix.ENOENT.
func (e *entry) inspect() (*store.Session, store.State, error) {
	s := &store.Session{Handle: e.handle, Path: e.f.Path(e.handle)}
	err := e.open(unix.O_RDONLY | noAtime)
	if err == unix.EPERM { // O_NOATIME is for the file's owner only (open(2))
		err = e.open(unix.O_RDONLY)
	}
	if err == unix.ENOENT {
		return nil, "", err
	}
	if err != nil {
		return s, store.Unsafe, err
	}
	s.Accessed, s.Size = modified(&e.stat), e.stat.Size
	text, err := e.stable()
	// The session was moved or removed meanwhile: it is no longer here.
	if err == errReplaced {
		return nil, "", unix.ENOENT
	}
	if errors.Is(err, store.ErrTooLarge) {
		return e.inspectUnread(s, err)
	}
	if err != nil {
		return s, store.Corrupt, err
	}
	at, err := current(text)
	wrong := e.defect(text, at, err)
	switch {
	case err == nil && at.movedTo != "": // the time of its file is the end of the grace
		s.Accessed = time.Time{}
	case err == nil:
		s = e.session(at.record, s.Accessed)
	}
	state := e.f.state(s, at.record, err)
	if state == store.Live && len(at.data) > e.f.opts.MaxRead() {
		s.Data = nil
		return s, store.Oversize, e.tooLarge()
	}
	return s, state, wrong
}

// state returns the state of a file with the record r, or whose text could not
// be parsed because of err.
func (f *Store) state(s *store.Session, r record, err error) store.State {
	now := time.Now()
	switch {
	case err == store.ErrNotFound:
		return store.Unused
	case err != nil:
		return store.Corrupt
	case r.movedTo != "" && now.Unix() >= r.until:
		return store.Over
	case r.movedTo != "":
		return store.Moved
	}
	return f.opts.State(s, now)
}

// Find implements [store.Operator].
func (f *Store) Find(prefix string) (string, error) {
	if err := f.openRoot(false); err != nil {
		return "", err
	}
	return store.OnlyHandle(func(visit func(handle string) error) error {
		return f.eachInShard(prefix[:2], f.closedEntry(), func(e *entry) error {
			if !strings.HasPrefix(e.handle, prefix) {
				return nil
			}
			return visit(e.handle)
		})
	})
}

// Count implements [store.Operator]. It opens no file, unless it is deep: stat(2) does
// not tell a corrupt file from a whole one, how much of it is data, or when a session was
// created, so those states are not in it.
func (f *Store) Count(deep bool) (c *store.Count, err error) {
	if deep {
		c, err = store.CountEach(f.Each, store.Live, store.Idle, store.Old, store.Moved, store.Over,
			store.Unused, store.Corrupt, store.Oversize, store.Unsafe)
		c.Deep, c.By = true, "files, each read"
	} else {
		c, err = f.countByStat()
		c.By = "files by time, unread (--deep reads them)"
	}
	left, _ := space(f.config.Dir)
	c.Space = &left
	return c, err
}

// countByStat counts the sessions by what stat(2) tells of their files.
func (f *Store) countByStat() (*store.Count, error) {
	c := store.NewCount(store.Live, store.Idle, store.Moved, store.Over, store.Unused, store.Unsafe)
	uid, now := os.Geteuid(), time.Now()
	limits := store.Options{Timeout: f.opts.Timeout} // stat(2) does not tell the time of creation
	var s store.Session
	err := f.eachEntry(func(e *entry) error {
		if err := e.statName(); err == unix.ENOENT {
			return nil
		} else if err != nil {
			return e.fail("stat", err)
		}
		s.Accessed, s.Size = modified(&e.stat), e.stat.Size
		c.Add(&s, stateByStat(&e.stat, uid, limits, now), now)
		return nil
	})
	return c, err
}

// stateByStat returns the state of a session's file as far as stat(2) tells it.
func stateByStat(st *unix.Stat_t, uid int, limits store.Options, now time.Time) store.State {
	accessed := modified(st)
	switch {
	case checkFile(st, uid) != nil:
		return store.Unsafe
	case isTombstone(st) && accessed.Before(now):
		return store.Over
	case isTombstone(st):
		return store.Moved
	case st.Size == 0:
		return store.Unused
	}
	return limits.State(&store.Session{Accessed: accessed}, now)
}
