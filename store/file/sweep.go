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

// sweepers is how many directories are swept at the same time: most of the
// time, a sweep waits for the file system.
const sweepers = 8

// Sweep implements [store.Operator]. It removes the sessions that were not used
// for longer than the timeout, and everything else of that age: files without a
// record, corrupt files, and entries of the index of users without a session.
// It also removes tombstones that are over.
//
// It looks at each file with stat(2). Only a candidate is opened and locked,
// without waiting, and looked at again before it is removed. A file with a time
// in the future, from before a clock was set back, gets the present time, or it
// would never be old.
//
// A file that cannot be removed stays; the first such error is returned at the
// end. A sweep begins in the directory where the last one was stopped. It ends
// early when ctx is done. Other sweeps and all other calls may run at the same
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
	w := sweep{
		f: f, uid: os.Geteuid(), how: how, ctx: ctx,
		before: now.Add(-f.opts.Timeout), until: now.Add(how.MaxTime),
	}
	_, first := f.lastSweep()
	w.next.Store(int64(first))

	// Each sweeper takes the next directory until all are taken.
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

// A sweep is a Sweep in progress. Its sweepers share it.
type sweep struct {
	f      *Store
	uid    int // of this process
	how    store.Sweep
	ctx    context.Context
	before time.Time    // what was last used before this time is too old
	until  time.Time    // the end of MaxTime
	next   atomic.Int64 // the directory that the next free sweeper takes

	stopped atomic.Int64          // 1 + the first directory that was not swept to its end; 0: none
	failure atomic.Pointer[error] // the first error

	finished atomic.Int64 // directories that were swept to their end

	seen, removed, busy, kept, corrupt, bytes atomic.Int64 // as in store.Swept

	large sync.Mutex // guards text
	text  []byte     // buffer for large files, one at a time
}

// run is one sweeper: it sweeps one directory after another, up to number end.
// Numbers above the last directory go on with the first one. The very first
// directory is swept even when the time is over, so that each sweep achieves
// something.
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
		w.finished.Add(1)
	}
}

// errStop ends a sweep early.
var errStop = errors.New("stop")

// sweepShard sweeps the sessions in directory n.
func (w *sweep) sweepShard(n int, e *entry) error {
	return w.f.eachInShard(shardName(n), e, func(e *entry) error {
		if err := w.visit(e); err != nil {
			return err
		}
		return w.pause()
	})
}

// visit removes the file if it is too old and not in use, corrects its time if
// that is in the future, or else leaves and counts it.
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

// tooOld reports whether a file is a candidate by stat(2). The time of a
// tombstone is the end of its grace.
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

// setBack sets a time in the future to the present. A tombstone that is being
// made has its time before its mode, so the record decides whether it is one.
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

// lock opens and locks the file without waiting, and fills e.stat again. It
// reports false, and counts the file, if that fails: it is in use, was
// replaced, or is unsafe.
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
		err = checkFile(&e.stat, w.uid) // the name may lead to another file by now
	}
	if err != nil {
		w.kept.Add(1)
	}
	return err == nil
}

// remove locks a candidate, assesses it and removes it.
func (w *sweep) remove(e *entry) error {
	if !w.lock(e) {
		return nil
	}
	a := w.assess(e)
	// No link is left if another process removed it before the lock was taken.
	if e.stat.Nlink != 1 || !a.removable {
		w.kept.Add(1)
		return nil
	}
	if n := w.removed.Add(1); w.how.MaxDelete > 0 && n > w.how.MaxDelete {
		// Another sweeper removed the last one of MaxDelete. The next sweep sees this file.
		w.removed.Add(-1)
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
		w.f.dropUser(&store.Session{User: a.user, CookieName: a.name}, e.handle)
		w.f.opts.LogEvent(a.event(), e.handle)
	}
	w.bytes.Add(e.stat.Size)
	if a.corrupt {
		w.corrupt.Add(1)
	}
	return nil
}

// An assessment is what a sweep sees in a locked file.
type assessment struct {
	removable bool // it is too old, or a tombstone that is over
	tombstone bool
	corrupt   bool   // no whole record
	oversize  bool   // its data is too large to be read
	user      string // of the session; empty: nobody
	name      string // of its cookie
}

// event returns the removal's message for the log.
func (a assessment) event() string {
	if a.oversize {
		return "removed, too large to be read"
	}
	return "removed"
}

// manyBytes is the size in bytes above which files are read one at a time.
// Otherwise memory would grow with the number of sweepers that meet large
// files.
const manyBytes = 64 << 10

// assess reads the locked file. Its time decides whether it is removable, or,
// for a tombstone, the end of the grace in its record: the file of one that is
// being made does not have its time yet.
func (w *sweep) assess(e *entry) assessment {
	if e.stat.Size > manyBytes {
		w.large.Lock()
		defer w.large.Unlock()
		e.text, w.text = w.text, e.text
		defer func() { e.text, w.text = w.text, e.text }()
	}
	a := assessment{removable: modified(&e.stat).Before(w.before)}
	text, err := e.read()
	if errors.Is(err, store.ErrTooLarge) {
		at, err := e.skim()
		a.oversize, a.corrupt, a.user, a.name = err == nil, err != nil, at.user, at.name
		return a
	}
	if err != nil {
		a.corrupt = true
		return a
	}
	if anonymous, size := isWholeAnonymous(text); anonymous {
		a.oversize = size > w.f.opts.MaxRead()
		return a
	}
	at, err := current(text)
	a.user, a.name = at.user, at.name
	a.corrupt, a.oversize = err != nil, len(at.data) > w.f.opts.MaxRead()
	if at.movedTo != "" {
		a.tombstone = true
		a.removable = at.movedTo == e.handle || time.Now().Unix() >= at.until
	}
	return a
}

// sweepUsers removes the entries of the index of users in directory n that are
// too old and have no session. The entry of a session stays as long as the
// session does, whatever its time, which is marked after the session's own.
func (w *sweep) sweepUsers(n int) error {
	return w.f.eachUserEntry(n, func(u userEntry) error {
		switch {
		case w.how.DryRun:
		case fromFuture(&u.stat):
			setTime(u.dir, u.file, time.Now())
		case w.tooOld(&u.stat) && !w.f.fileExists(u.handle):
			u.remove(w.f.fileExists)
		}
		return w.pause()
	})
}

// pause reports the progress, and returns errStop when the sweep must end.
func (w *sweep) pause() error {
	w.f.opts.ReportProgress(store.Progress{
		Seen: w.seen.Load(), Removed: w.removed.Load(), Share: float64(w.finished.Load()) / shards,
	})
	removed := w.removed.Load()
	full := w.how.MaxDelete > 0 && removed >= w.how.MaxDelete
	if full || removed > 0 && w.late() || w.ctx.Err() != nil {
		return errStop
	}
	return nil
}

// late reports whether MaxTime is over. A sweep that is late still removes a
// file, or finishes a directory, before it stops. Otherwise each sweep would
// see only the same first files.
func (w *sweep) late() bool { return w.how.MaxTime > 0 && time.Now().After(w.until) }

// stopAt notes that directory n was not swept to its end. The lowest number
// counts.
func (w *sweep) stopAt(n int64) {
	for {
		first := w.stopped.Load()
		if first != 0 && first <= n+1 || w.stopped.CompareAndSwap(first, n+1) {
			return
		}
	}
}

// cursor returns the directory in which the next sweep begins.
func (w *sweep) cursor() int { return max(0, int(w.stopped.Load())-1) % shards }

// swept returns the counts so far.
func (w *sweep) swept() store.Swept {
	return store.Swept{
		Seen: w.seen.Load(), Removed: w.removed.Load(), Busy: w.busy.Load(),
		Kept: w.kept.Load(), Corrupt: w.corrupt.Load(), Bytes: w.bytes.Load(),
	}
}

// keepError keeps err, if it is the first.
func (w *sweep) keepError(err error) {
	if err != nil {
		w.failure.CompareAndSwap(nil, &err)
	}
}
