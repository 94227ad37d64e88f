package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Sweep says what to clean up.
type Sweep struct {
	Timeout   time.Duration // sessions that were idle for longer go
	MaxDelete int64         // stop after so many; 0: no limit
	DryRun    bool          // count what would go
	// Progress, if set, is called from time to time with the counts so far.
	Progress func(Swept)
}

// Swept is what a sweep has come to.
type Swept struct {
	Seen    int64 // files of sessions
	Removed int64 // of them, or that would be
	Busy    int64 // left because they were locked
	Kept    int64 // left because they are in use, or no files of this user's alone
	Corrupt int64 // of the removed: without a whole record
	Bytes   int64 // of the removed
	Done    bool  // the whole directory was seen
}

// shards is how many directories sessions are in.
const shards = 256

// sweepers is how many directories are swept at a time.
const sweepers = 2

// Sweep removes the sessions that were idle for too long, and what else is as
// old: files in which nothing was stored, corrupt ones, tombstones that are
// over, entries of the index of users. A file is looked at with stat(2) alone
// unless it is to go; then it is locked, without waiting, and looked at again.
// It goes on where the last sweep stopped early, if that was not at the end,
// and stops when ctx is done. Other sweeps and all other verbs may run at the
// same time.
func (f *File) Sweep(ctx context.Context, how Sweep) (Swept, error) {
	if err := f.openRoot(false); err != nil {
		if errors.Is(err, ErrNotFound) {
			return Swept{Done: true}, nil
		}
		return Swept{}, err
	}
	w := sweep{f: f, how: how, ctx: ctx, before: time.Now().Add(-how.Timeout)}
	first := f.sweepStart()
	w.next.Store(int64(first))
	var group sync.WaitGroup
	errs := make([]error, sweepers)
	for i := range sweepers {
		group.Go(func() { errs[i] = w.run(int64(first)) })
	}
	group.Wait()
	done := w.swept()
	done.Done = w.stopped.Load() == 0
	err := errors.Join(errs...)
	if !how.DryRun {
		err = errors.Join(err, f.writeCursor(w.cursor(first), done))
	}
	return done, err
}

// sweep is a sweep under way.
type sweep struct {
	f      *File
	how    Sweep
	ctx    context.Context
	before time.Time    // what was last used before this goes
	next   atomic.Int64 // the directory to take on next

	stopped atomic.Int64 // 1 + the directory in which the sweep first stopped early

	seen, removed, busy, kept, corrupt, bytes atomic.Int64
}

func (w *sweep) swept() Swept {
	return Swept{
		Seen: w.seen.Load(), Removed: w.removed.Load(), Busy: w.busy.Load(),
		Kept: w.kept.Load(), Corrupt: w.corrupt.Load(), Bytes: w.bytes.Load(),
	}
}

var errStop = errors.New("stop")

// run sweeps one directory after the other, from first around to first again.
func (w *sweep) run(first int64) error {
	for {
		n := w.next.Add(1) - 1
		if n >= first+shards {
			return nil
		}
		shard := int(n % shards)
		err := w.sweepShard(shard)
		if err == nil {
			err = w.sweepUsers(shard)
		}
		switch {
		case err == errStop:
			w.stopped.CompareAndSwap(0, n+1)
			return nil
		case err != nil:
			return err
		}
	}
}

// cursor returns the directory with which the next sweep begins: where this one
// stopped, or the one after it if it did not get beyond its first.
func (w *sweep) cursor(first int) int {
	stopped := int(w.stopped.Load())
	switch {
	case stopped == 0:
		return 0
	case stopped-1 == first:
		return stopped % shards
	}
	return (stopped - 1) % shards
}

func (w *sweep) sweepShard(n int) error {
	return w.f.eachInShard(shardName(n), func(e *entry) error {
		if err := w.look(e); err != nil {
			return err
		}
		return w.pause()
	})
}

// pause reports errStop when it is time to stop.
func (w *sweep) pause() error {
	seen := w.seen.Load()
	if w.how.Progress != nil && seen%namesAtOnce == 0 {
		w.how.Progress(w.swept())
	}
	full := w.how.MaxDelete > 0 && w.removed.Load() >= w.how.MaxDelete
	if full || w.ctx.Err() != nil {
		return errStop
	}
	return nil
}

// look removes the file if it is too old and nobody uses it.
func (w *sweep) look(e *entry) error {
	if err := e.statName(); err == unix.ENOENT {
		return nil
	} else if err != nil {
		return e.fail("stat", err)
	}
	w.seen.Add(1)
	if checkFile(&e.stat) != nil || !w.tooOld(&e.stat) {
		w.kept.Add(1)
		return nil
	}
	defer e.closeData()
	return w.remove(e)
}

// tooOld reports whether the file may go, as far as stat tells. A tombstone,
// which has mode 0400, has the time at which it is over.
func (w *sweep) tooOld(st *unix.Stat_t) bool {
	modified := time.Unix(st.Mtim.Unix())
	if isTombstone(st) {
		return modified.Before(time.Now())
	}
	return modified.Before(w.before)
}

func isTombstone(st *unix.Stat_t) bool { return st.Mode&0o777 == 0o400 }

// remove locks a candidate, looks at it again and removes it.
func (w *sweep) remove(e *entry) error {
	if err := e.open(unix.O_RDONLY); err != nil {
		w.kept.Add(1)
		return nil // gone, or replaced by what is no session's file
	}
	err := retry(func() error { return unix.Flock(e.fd, unix.LOCK_EX|unix.LOCK_NB) })
	if err == unix.EWOULDBLOCK {
		w.busy.Add(1)
		return nil
	}
	if err == nil {
		err = unix.Fstat(e.fd, &e.stat)
	}
	if err != nil {
		return e.fail("lock", err)
	}
	whole, over := w.judge(e)
	if e.stat.Nlink != 1 || !w.tooOld(&e.stat) || !over {
		w.kept.Add(1)
		return nil
	}
	if n := w.removed.Add(1); w.how.MaxDelete > 0 && n > w.how.MaxDelete {
		w.removed.Add(-1) // another sweeper was faster
		return errStop
	}
	if !w.how.DryRun {
		if err := unix.Unlinkat(e.shard, e.handle, 0); err != nil && err != unix.ENOENT {
			return e.fail("remove", err)
		}
		w.f.opts.log("removed", e.handle)
	}
	w.bytes.Add(e.stat.Size)
	if !whole {
		w.corrupt.Add(1)
	}
	return nil
}

// judge reports whether the file holds a whole record, and whether it is over
// for good: a tombstone may still have its time to come.
func (w *sweep) judge(e *entry) (whole, over bool) {
	text, err := e.read()
	if err != nil {
		return false, true
	}
	at, err := current(text)
	if err != nil {
		return false, true
	}
	return true, at.moved == "" || at.moved == e.handle || time.Now().Unix() >= at.until
}

// sweepUsers removes old entries of the index of users.
func (w *sweep) sweepUsers(n int) error {
	fd, err := w.f.openUsers(shardName(n), false)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return eachName(fd, w.f.dir+"/"+usersDir+"/"+shardName(n), func(name string) error {
		var st unix.Stat_t
		err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if err == nil && checkFile(&st) == nil && st.Size == 0 && w.tooOld(&st) && !w.how.DryRun {
			unix.Unlinkat(fd, name, 0)
		}
		return w.pause()
	})
}

// cursorFile tells the next sweep where to go on, and when the last one ended:
// "<directory> <Unix seconds> <seen> <removed>". Nothing depends on it.
const cursorFile = ".cleanup"

// A LastSweep is what the last sweep left word of.
type LastSweep struct {
	At            time.Time // when it ended; zero: never
	Seen, Removed int64
	next          int
}

// LastSweep returns what is known of the last sweep.
func (f *File) LastSweep() LastSweep {
	var last LastSweep
	var seconds int64
	text := f.readCursor()
	n, _ := fmt.Sscanf(text, "%02x %d %d %d\n", &last.next, &seconds, &last.Seen, &last.Removed)
	if n < 4 || last.next < 0 || last.next >= shards {
		return LastSweep{}
	}
	last.At = time.Unix(seconds, 0)
	return last
}

func (f *File) sweepStart() int { return f.LastSweep().next }

func (f *File) readCursor() string {
	if err := f.openRoot(false); err != nil {
		return ""
	}
	fd, err := unix.Openat(f.root, cursorFile, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	text := make([]byte, 128)
	n, _ := preadAll(fd, text)
	return string(text[:n])
}

func (f *File) writeCursor(next int, done Swept) error {
	text := strings.Join([]string{
		shardName(next), strconv.FormatInt(time.Now().Unix(), 10),
		strconv.FormatInt(done.Seen, 10), strconv.FormatInt(done.Removed, 10),
	}, " ") + "\n"
	var fd int
	err := private(func() (err error) {
		fd, err = unix.Openat(f.root, cursorFile, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
		return err
	})
	if err == nil {
		err = pwriteAll(fd, []byte(text), 0)
		unix.Close(fd)
	}
	if err != nil {
		return &dirError{f.dir, fmt.Errorf("write %s: %w", cursorFile, err)}
	}
	return nil
}
