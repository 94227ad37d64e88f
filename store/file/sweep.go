package file

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// sweepers is how many directories are swept at a time: removing is mostly
// waiting.
const sweepers = 8

// Sweep removes the sessions that were idle for too long, and what else is as
// old: files in which nothing was stored, corrupt ones, entries of the index of
// users; and tombstones that are over. A file is looked at with stat(2) alone
// unless it is to go; then it is locked, without waiting, and looked at again.
// So is one with a time in the future, from before a clock was set back: it gets
// the time that it is now, or it would never grow old.
// What cannot be removed stays, and the first such error is returned at the end.
// A sweep goes on in the directory in which the last one stopped early, and
// stops when ctx is done. Other sweeps and all other verbs may run at the same
// time.
func (f *Store) Sweep(ctx context.Context, how store.Sweep) (store.Swept, error) {
	if err := f.openRoot(false); err != nil {
		if errors.Is(err, store.ErrNotFound) {
			return store.Swept{Done: true}, nil
		}
		return store.Swept{}, err
	}
	if !how.DryRun {
		f.removeTrials()
	}
	now := time.Now()
	w := sweep{f: f, uid: os.Geteuid(), how: how, ctx: ctx, before: now.Add(-how.Timeout), until: now.Add(how.MaxTime)}
	_, first := f.lastSweep()
	w.next.Store(int64(first))
	var group sync.WaitGroup
	for range sweepers {
		group.Go(func() { w.run(int64(first) + shards) })
	}
	group.Wait()
	done := w.swept()
	done.Done = w.stopped.Load() == 0
	if !how.DryRun {
		w.keepError(f.writeCursor(w.cursor(), done))
	}
	if failed := w.failure.Load(); failed != nil {
		return done, *failed
	}
	return done, nil
}

// sweep is a sweep under way.
type sweep struct {
	f      *Store
	uid    int // of this process
	how    store.Sweep
	ctx    context.Context
	before time.Time    // what was last used before this goes
	until  time.Time    // when MaxTime is over
	next   atomic.Int64 // the directory to take on next

	stopped  atomic.Int64 // 1 + the first directory that was not swept to its end
	failure  atomic.Pointer[error]
	reported atomic.Int64 // when Progress was called last

	seen, removed, busy, kept, corrupt, bytes atomic.Int64

	large sync.Mutex // guards text
	text  []byte     // room to read a large file into
}

// run sweeps one directory after the other.
func (w *sweep) run(end int64) {
	e := w.f.closedEntry()
	for {
		n := w.next.Add(1) - 1
		if n >= end {
			return
		}
		err := errStop
		if n == end-shards || !w.late() {
			err = w.sweepShard(int(n%shards), e)
		}
		if err == nil {
			err = w.sweepUsers(int(n % shards))
		}
		if err == errStop {
			w.stopAt(n)
			return
		}
		w.keepError(err)
	}
}

var errStop = errors.New("stop")

func (w *sweep) sweepShard(n int, e *entry) error {
	return w.f.eachInShard(shardName(n), e, func(e *entry) error {
		if err := w.visit(e); err != nil {
			return err
		}
		return w.pause()
	})
}

// inspect removes the file if it is too old and nobody uses it.
func (w *sweep) visit(e *entry) error {
	err := e.statName()
	if err == unix.ENOENT {
		return nil
	}
	w.seen.Add(1)
	if err == nil && checkFile(&e.stat, w.uid) == nil {
		defer e.closeData()
		switch {
		case w.tooOld(&e.stat):
			return w.remove(e)
		case fromFuture(&e.stat) && !w.how.DryRun:
			w.setBack(e)
			return nil
		}
	}
	w.kept.Add(1)
	if err != nil {
		w.keepError(e.fail("stat", err))
	}
	return nil
}

// tooOld reports whether the file may go, as far as stat tells. A tombstone has
// the time at which it is over.
func (w *sweep) tooOld(st *unix.Stat_t) bool {
	if isTombstone(st) {
		return modified(st).Before(time.Now())
	}
	return modified(st).Before(w.before)
}

// fromFuture reports whether the file was last used at a time that is still to
// come. A tombstone has such a time on purpose.
func fromFuture(st *unix.Stat_t) bool {
	return !isTombstone(st) && modified(st).After(time.Now())
}

// setBack gives a file from the future the time that it is now. A tombstone that
// is being made has its time before it has its mode.
func (w *sweep) setBack(e *entry) {
	if !w.lock(e) {
		return
	}
	w.kept.Add(1)
	if !fromFuture(&e.stat) || w.assess(e).tombstone {
		return
	}
	if err := setTime(e.shard, e.handle, time.Now()); err != nil && err != unix.ENOENT {
		w.keepError(e.fail("set the time of", err))
	}
}

// claim opens and locks the file and looks at it again. It reports false, and
// counts the file, if that is not to be had: it is in use, or was replaced.
func (w *sweep) lock(e *entry) bool {
	var err error
	if e.fd, err = openat(e.shard, e.handle, unix.O_RDONLY|unix.O_NONBLOCK|noAtime, 0); err != nil {
		w.kept.Add(1)
		if err = openError(err); err != unix.ENOENT && !errors.Is(err, store.ErrUnsafe) {
			w.keepError(e.fail("open", err))
		}
		return false
	}
	err = tryFlock(e.fd, time.Time{})
	if err == unix.EWOULDBLOCK || err == store.ErrLocked {
		w.busy.Add(1)
		return false
	}
	if err == nil {
		err = fstat(e.fd, &e.stat)
	}
	if err != nil {
		w.keepError(e.fail("lock", err))
	} else {
		err = checkFile(&e.stat, w.uid) // it may be another file by now
	}
	if err != nil {
		w.kept.Add(1)
	}
	return err == nil
}

// remove locks a candidate, looks at it again and removes it.
func (w *sweep) remove(e *entry) error {
	if !w.lock(e) {
		return nil
	}
	v := w.assess(e)
	if e.stat.Nlink != 1 || !v.removable {
		w.kept.Add(1)
		return nil
	}
	if n := w.removed.Add(1); w.how.MaxDelete > 0 && n > w.how.MaxDelete {
		w.removed.Add(-1) // another sweeper was faster
		w.seen.Add(-1)
		return errStop
	}
	if !w.how.DryRun {
		if err := unlinkat(e.shard, e.handle); err != nil && err != unix.ENOENT {
			w.removed.Add(-1)
			w.kept.Add(1)
			w.keepError(e.fail("remove", err))
			return nil
		}
		w.f.dropUser(v.user, e.handle)
		w.f.opts.LogEvent(v.event(), e.handle)
	}
	w.bytes.Add(e.stat.Size)
	if v.corrupt {
		w.corrupt.Add(1)
	}
	return nil
}

// A assessment is what the locked file holds, and whether it may go.
type assessment struct {
	removable bool
	tombstone bool
	corrupt   bool   // no whole record
	oversize  bool   // too large to be read
	user      string // whose session it is
}

func (j assessment) event() string {
	if j.oversize {
		return "removed, too large to be read"
	}
	return "removed"
}

// manyBytes is from which size on files are read one at a time, so that
// memory is flat however many sweepers meet large ones.
const manyBytes = 64 << 10

// sessionIn reads the locked file. Only a tombstone's record says that it may go
// before the file is old: one that is being made is still empty, and one that
// was just made has not yet its time.
func (w *sweep) assess(e *entry) assessment {
	if e.stat.Size > manyBytes {
		w.large.Lock()
		defer w.large.Unlock()
		e.text, w.text = w.text, e.text
		defer func() { e.text, w.text = w.text, e.text }()
	}
	j := assessment{removable: modified(&e.stat).Before(w.before)}
	text, err := e.read()
	if errors.Is(err, store.ErrTooLarge) {
		at, err := e.skim()
		j.oversize, j.corrupt, j.user = err == nil, err != nil, at.user
		return j
	}
	if err != nil {
		j.corrupt = true
		return j
	}
	if anonymous, size := isWholeAnonymous(text); anonymous {
		j.oversize = size > w.f.opts.MaxRead()
		return j
	}
	at, err := current(text)
	j.corrupt, j.user, j.oversize = err != nil, at.user, len(at.data) > w.f.opts.MaxRead()
	if at.movedTo != "" {
		j.tombstone = true
		j.removable = at.movedTo == e.handle || time.Now().Unix() >= at.until
	}
	return j
}

// sweepUsers removes old entries of the index of users that lead to no file. A
// session's entry stays for as long as the session does, whatever its time: that
// is marked after the session's own.
func (w *sweep) sweepUsers(n int) error {
	return w.f.eachUserEntry(n, func(u userEntry) error {
		switch {
		case w.how.DryRun:
		case fromFuture(&u.stat):
			setTime(u.dir, u.name, time.Now())
		case w.tooOld(&u.stat) && !w.f.fileExists(u.handle):
			u.remove(w.f.fileExists)
		}
		return w.pause()
	})
}

// reportEvery is how often Progress is called.
const reportEvery = 200 * time.Millisecond

// pause reports progress if that is due, and errStop when it is time to stop.
func (w *sweep) pause() error {
	if w.how.Progress != nil {
		now, last := time.Now().UnixNano(), w.reported.Load()
		if now-last > int64(reportEvery) && w.reported.CompareAndSwap(last, now) {
			w.how.Progress(w.swept())
		}
	}
	removed := w.removed.Load()
	full := w.how.MaxDelete > 0 && removed >= w.how.MaxDelete
	if full || removed > 0 && w.late() || w.ctx.Err() != nil {
		return errStop
	}
	return nil
}

// late reports whether MaxTime is over. To stop before anything is removed, or
// a directory seen to its end, would be to begin with the same files for ever.
func (w *sweep) late() bool { return w.how.MaxTime > 0 && time.Now().After(w.until) }

// stopAt notes that directory n was not swept to its end.
func (w *sweep) stopAt(n int64) {
	for {
		first := w.stopped.Load()
		if first != 0 && first <= n+1 || w.stopped.CompareAndSwap(first, n+1) {
			return
		}
	}
}

// cursor returns the directory with which the next sweep begins.
func (w *sweep) cursor() int { return max(0, int(w.stopped.Load())-1) % shards }

func (w *sweep) swept() store.Swept {
	return store.Swept{
		Seen: w.seen.Load(), Removed: w.removed.Load(), Busy: w.busy.Load(),
		Kept: w.kept.Load(), Corrupt: w.corrupt.Load(), Bytes: w.bytes.Load(),
	}
}

// failed keeps the first error.
func (w *sweep) keepError(err error) {
	if err != nil {
		w.failure.CompareAndSwap(nil, &err)
	}
}
