package storetest

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"cgisession/store"
)

// locked accesses a session while a change of it runs.
func locked(t *testing.T, b suite) {
	if b.Repeats() {
		t.Skip("changes are made without the lock; Held tests locks that stay")
	}
	impatient := b.Open(t, store.Options{MaxSize: maxSize})
	h := b.begin(t, `{"a":1}`)
	b.Age(t, h, time.Hour, time.Hour)
	was, err := b.Read(h, store.Peek)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Update(h, false, func(s *store.Session) (store.Outcome, error) {
		to := handle()
		for name, try := range map[string]func() (*store.Session, error){
			"Peek":            func() (*store.Session, error) { return impatient.Read(h, store.Peek) },
			"Touch":           func() (*store.Session, error) { return impatient.Read(h, store.Touch) },
			"Update":          func() (*store.Session, error) { return impatient.Update(h, true, mustNotBeCalled(t)) },
			"Move":            func() (*store.Session, error) { return impatient.Move(h, to, 0, nil) },
			"Move with grace": func() (*store.Session, error) { return impatient.Move(h, to, never, nil) },
		} {
			if s, err := try(); !errors.Is(err, store.ErrLocked) {
				t.Errorf("%s of a locked session = %+v, %v; want %v", name, s, err, store.ErrLocked)
			}
		}
		snapshot, err := impatient.Read(h, store.Snapshot)
		if err != nil || snapshot.Version != was.Version || !snapshot.Accessed.Equal(was.Accessed) {
			t.Errorf("Snapshot of a locked session = %+v, %v; want %+v", snapshot, err, was)
		}
		b.gone(t, to)
		s.Data = store.Data(`{"a":2}`)
		return store.Save, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.holds(t, h, was.Version+1, `{"a":2}`)
	if _, err := impatient.Update(h, false, only(store.Keep)); err != nil {
		t.Errorf("Update after the lock was released: %v", err)
	}
}

// handed returns the options of a store that was handed the lock.
func handed(lock store.Lock) store.Options {
	opts := store.Options{MaxSize: maxSize, LockTimeout: patience, LockFD: lock.FD}
	if lock.Lease != nil {
		opts.LockToken = lock.Value
	}
	return opts
}

// hold has a store take the lock, and returns the function that releases it.
func hold(t *testing.T, s store.Backend, h string, create bool) (store.Lock, func()) {
	t.Helper()
	lock, err := s.Hold(h, create)
	if err != nil {
		t.Fatal(err)
	}
	release := func() { syscall.Close(lock.FD) }
	if lock.Lease != nil {
		if err := lock.Lease.Renew(); err != nil {
			t.Errorf("Renew: %v", err)
		}
		release = func() {
			if err := lock.Lease.Release(); err != nil {
				t.Errorf("Release: %v", err)
			}
		}
	}
	return lock, release
}

// held tests that a lock keeps others out of the session, but not its holder.
func held(t *testing.T, b suite) {
	impatient := b.Open(t, store.Options{MaxSize: maxSize})
	h := b.begin(t, `{"a":1}`)
	lock, release := hold(t, b.Open(t, store.Options{MaxSize: maxSize}), h, false)
	if lock.Name == "" || lock.Value == "" {
		t.Errorf("a lock that no variable hands on: %+v", lock)
	}
	to := handle()
	for name, try := range map[string]func() (*store.Session, error){
		"Peek":   func() (*store.Session, error) { return impatient.Read(h, store.Peek) },
		"Touch":  func() (*store.Session, error) { return impatient.Read(h, store.Touch) },
		"Update": func() (*store.Session, error) { return impatient.Update(h, true, mustNotBeCalled(t)) },
		"Move":   func() (*store.Session, error) { return impatient.Move(h, to, 0, nil) },
		"Hold":   func() (*store.Session, error) { _, err := impatient.Hold(h, true); return nil, err },
	} {
		if s, err := try(); !errors.Is(err, store.ErrLocked) {
			t.Errorf("%s of a held session = %+v, %v; want %v", name, s, err, store.ErrLocked)
		}
	}
	if s, err := impatient.Read(h, store.Snapshot); err != nil || string(s.Data) != `{"a":1}` {
		t.Errorf("Snapshot of a held session = %+v, %v", s, err)
	}
	holder := b.Open(t, handed(lock))
	if err := holder.CheckLock(); err != nil {
		t.Errorf("CheckLock: %v", err)
	}
	if s, err := holder.Update(h, false, set(`{"a":2}`)); err != nil || s.Version != 2 {
		t.Errorf("Update by the holder = %+v, %v", s, err)
	}
	release()
	if s, err := impatient.Update(h, false, set(`{"a":3}`)); err != nil || s.Version != 3 {
		t.Errorf("Update after the lock = %+v, %v", s, err)
	}
}

// heldThrough has the holder move the session and then end it.
func heldThrough(t *testing.T, b suite) {
	impatient := b.Open(t, store.Options{MaxSize: maxSize})
	h, to := b.begin(t, `{"a":1}`), handle()
	lock, release := hold(t, b.Open(t, store.Options{MaxSize: maxSize}), h, false)
	holder := b.Open(t, handed(lock))
	if _, err := holder.Move(h, to, 0, nil); err != nil {
		t.Fatalf("Move by the holder: %v", err)
	}
	if _, err := impatient.Update(to, false, mustNotBeCalled(t)); !errors.Is(err, store.ErrLocked) {
		t.Errorf("after the move others get %v; want %v", err, store.ErrLocked)
	}
	if _, err := holder.Update(to, false, set(`{"a":2}`)); err != nil {
		t.Errorf("after the move the holder gets %v", err)
	}
	if lock.Lease != nil {
		if err := lock.Lease.Renew(); err != nil {
			t.Errorf("Renew after the move: %v", err)
		}
	}
	if _, err := holder.Update(to, false, only(store.Remove)); err != nil {
		t.Errorf("Remove by the holder: %v", err)
	}
	if _, err := holder.Update(to, false, mustNotBeCalled(t)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after the end the holder gets %v; want %v", err, store.ErrNotFound)
	}
	if !holder.LockedEnded() {
		t.Error("the session of the lock has ended, but LockedEnded says no")
	}
	release()
	b.gone(t, to)
}

// heldToCome locks a handle that has no session yet.
func heldToCome(t *testing.T, b suite) {
	impatient := b.Open(t, store.Options{MaxSize: maxSize})
	h := handle()
	if _, err := impatient.Hold(h, false); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Hold of no session: %v; want %v", err, store.ErrNotFound)
	}
	lock, release := hold(t, b.Open(t, store.Options{MaxSize: maxSize}), h, true)
	defer release()
	if _, err := impatient.Update(h, true, mustNotBeCalled(t)); !errors.Is(err, store.ErrLocked) {
		t.Errorf("others get %v; want %v", err, store.ErrLocked)
	}
	holder := b.Open(t, handed(lock))
	if s, err := holder.Update(h, true, set(`{"a":1}`)); err != nil || s.Version != 1 {
		t.Errorf("created by the holder: %+v, %v", s, err)
	}
	if _, err := impatient.Read(h, store.Peek); !errors.Is(err, store.ErrLocked) {
		t.Errorf("then others get %v; want %v", err, store.ErrLocked)
	}
}

// heldElsewhere hands a store the lock of one session and has it change another.
func heldElsewhere(t *testing.T, b suite) {
	h, other := b.begin(t, `{"a":1}`), b.begin(t, `{"b":1}`)
	lock, release := hold(t, b.Open(t, store.Options{MaxSize: maxSize}), h, false)
	want := store.ErrOtherLock
	if lock.Lease != nil {
		want = store.ErrLockLost
	}
	holder := b.Open(t, handed(lock))
	if _, err := holder.Update(other, false, mustNotBeCalled(t)); !errors.Is(err, want) {
		t.Errorf("Update of another session: %v; want %v", err, want)
	}
	if _, err := holder.Move(other, handle(), 0, nil); !errors.Is(err, want) {
		t.Errorf("Move of another session: %v; want %v", err, want)
	}
	b.holds(t, other, 1, `{"b":1}`)

	elsewhere := handed(lock)
	elsewhere.LockElsewhere = true
	if s, err := b.Open(t, elsewhere).Update(other, false, set(`{"b":2}`)); err != nil || s.Version != 2 {
		t.Errorf("Update of another session with LockElsewhere = %+v, %v", s, err)
	}

	// A lock says nothing about other sessions once its own has ended.
	if _, err := holder.Update(h, false, only(store.Remove)); err != nil {
		t.Fatal(err)
	}
	if s, err := b.Open(t, handed(lock)).Update(other, false, set(`{"b":3}`)); err != nil || s.Version != 3 {
		t.Errorf("Update of another session after the end = %+v, %v", s, err)
	}
	release()
}

// notOpen is no descriptor of this process: it is more than Linux lets it have.
const notOpen = 1 << 20

// checkLock tests what CheckLock and LockedEnded say of locks that were handed down.
func checkLock(t *testing.T, b suite) {
	if err := b.CheckLock(); err != nil || b.LockedEnded() {
		t.Errorf("without a lock: CheckLock = %v, LockedEnded = %v", err, b.LockedEnded())
	}
	none := b.Open(t, store.Options{MaxSize: maxSize, LockFD: notOpen})
	if err := none.CheckLock(); !errors.Is(err, store.ErrOtherLock) {
		t.Errorf("CheckLock of a descriptor that is not open: %v; want %v", err, store.ErrOtherLock)
	}
	h, to := b.begin(t, `{"a":1}`), handle()
	lock, release := hold(t, b.Open(t, store.Options{MaxSize: maxSize}), h, false)
	defer release()
	for _, do := range []func() error{
		func() error { return nil },
		func() error { _, err := b.Open(t, handed(lock)).Update(h, false, only(store.Save)); return err },
		func() error { _, err := b.Open(t, handed(lock)).Move(h, to, never, nil); return err },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
		holder := b.Open(t, handed(lock))
		if err := holder.CheckLock(); err != nil || holder.LockedEnded() {
			t.Errorf("of a live session: CheckLock = %v, LockedEnded = %v", err, holder.LockedEnded())
		}
	}
}

// descriptors locks a session by a descriptor that the caller opens, where the store
// has such locks.
func descriptors(t *testing.T, b suite) {
	impatient := b.Open(t, store.Options{MaxSize: maxSize})
	h, other := b.begin(t, `{"a":1}`), b.begin(t, `{"b":1}`)
	path, err := impatient.LockPath(h, false)
	if errors.Is(err, store.ErrUnsupported) {
		if err := impatient.UseFD(0); !errors.Is(err, store.ErrUnsupported) {
			t.Errorf("UseFD: %v; want %v", err, store.ErrUnsupported)
		}
		if err := impatient.UnlockFD(h, 0); !errors.Is(err, store.ErrUnsupported) {
			t.Errorf("UnlockFD: %v; want %v", err, store.ErrUnsupported)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fd := int(file.Fd())
	holder := b.Open(t, store.Options{MaxSize: maxSize})
	if err := holder.UseFD(fd); err != nil {
		t.Fatalf("UseFD: %v", err)
	}
	if lock, err := holder.Hold(h, false); err != nil || lock.FD != fd {
		t.Errorf("Hold = %+v, %v; want descriptor %d", lock, err, fd)
	}
	if _, err := impatient.Update(h, false, mustNotBeCalled(t)); !errors.Is(err, store.ErrLocked) {
		t.Errorf("others get %v; want %v", err, store.ErrLocked)
	}
	if s, err := holder.Update(h, false, set(`{"a":2}`)); err != nil || s.Version != 2 {
		t.Errorf("Update by the holder = %+v, %v", s, err)
	}
	for name, err := range map[string]error{
		"Update of another session":   second(holder.Update(other, false, mustNotBeCalled(t))),
		"UnlockFD of another session": impatient.UnlockFD(other, fd),
		"UseFD of none":               b.Open(t, store.Options{}).UseFD(notOpen),
	} {
		if !errors.Is(err, store.ErrOtherLock) {
			t.Errorf("%s: %v; want %v", name, err, store.ErrOtherLock)
		}
	}
	if err := impatient.UnlockFD(h, fd); err != nil {
		t.Errorf("UnlockFD: %v", err)
	}
	if s, err := impatient.Update(h, false, set(`{"a":3}`)); err != nil || s.Version != 3 {
		t.Errorf("Update after UnlockFD = %+v, %v", s, err)
	}
	if _, err := impatient.LockPath(handle(), false); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("LockPath of no session: %v; want %v", err, store.ErrNotFound)
	}
	if _, err := impatient.LockPath(handle(), true); err != nil {
		t.Errorf("LockPath of a session to come: %v", err)
	}
}

// second returns the error of a call that also returns a session.
func second(_ *store.Session, err error) error { return err }

// liveOfHeld tests that Live finds a locked session without a wait.
func liveOfHeld(t *testing.T, b suite) {
	h, other := b.begin(t, `{"a":1}`), b.begin(t, `{"b":1}`)
	lock, release := hold(t, b.Open(t, store.Options{MaxSize: maxSize}), h, false)
	defer release()
	for name, s := range map[string]store.Backend{
		"another":    b.Open(t, store.Options{MaxSize: maxSize}),
		"the holder": b.Open(t, handed(lock)),
	} {
		if at, err := s.Live([]string{h, other}, 2); err != nil || at[0] != h || at[1] != other {
			t.Errorf("%s: Live = %q, %v", name, at, err)
		}
	}
}

// endOfHeld ends a session while another process holds its lock: at once, and for
// the holder too.
func endOfHeld(t *testing.T, b suite) {
	h, own := b.begin(t, `{"a":1}`), b.begin(t, `{"b":1}`)
	lock, release := hold(t, b.Open(t, store.Options{MaxSize: maxSize}), h, false)
	ownLock, releaseOwn := hold(t, b.Open(t, store.Options{MaxSize: maxSize}), own, false)
	defer releaseOwn()
	if err := b.Open(t, handed(ownLock)).End(h); err != nil {
		t.Errorf("End: %v", err)
	}
	holder := b.Open(t, handed(lock))
	if s, err := holder.Update(h, false, mustNotBeCalled(t)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Update by the holder = %+v, %v; want %v", s, err, store.ErrNotFound)
	}
	if !holder.LockedEnded() {
		t.Error("the holder is not told that the session has ended")
	}
	if s, err := b.Read(own, store.Snapshot); err != nil || string(s.Data) != `{"b":1}` {
		t.Errorf("the other's own session: %+v, %v", s, err)
	}
	if lock.Lease == nil {
		release()
	}
	b.gone(t, h)
}
