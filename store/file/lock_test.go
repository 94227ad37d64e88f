package file_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
	"cgisession/store/file"
)

// flocks returns how many flock(2) locks are held and waited for on the file
// (proc_locks(5)).
func flocks(t *testing.T, path string) (held, waiting int) {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	return flocksOf(t, info.Sys().(*syscall.Stat_t).Ino)
}

func flocksOf(t *testing.T, ino uint64) (held, waiting int) {
	t.Helper()
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(locks)) {
		if !strings.Contains(line, " FLOCK ") || !strings.Contains(line, fmt.Sprintf(":%d ", ino)) {
			continue
		}
		if strings.Contains(line, "->") {
			waiting++
		} else {
			held++
		}
	}
	return held, waiting
}

// eventually waits until done returns true, and fails the test if that takes too long.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not yet: %s", what)
		}
	}
}

// An answer is the result of a call on another goroutine.
type answer struct {
	session *store.Session
	err     error
}

// waiter starts call and returns once the call waits for the lock of the file at path.
func waiter(t *testing.T, path string, call func() (*store.Session, error)) <-chan answer {
	t.Helper()
	_, before := flocks(t, path)
	done := make(chan answer, 1)
	go func() {
		s, err := call()
		done <- answer{s, err}
	}()
	eventually(t, "a waiter for the lock", func() bool {
		_, now := flocks(t, path)
		return now > before
	})
	return done
}

// result returns the result of a waiter's call.
func result(t *testing.T, done <-chan answer) (*store.Session, error) {
	t.Helper()
	select {
	case a := <-done:
		return a.session, a.err
	case <-time.After(time.Minute):
		t.Fatal("a waiter for the lock hangs")
		return nil, nil
	}
}

// holder starts a process that holds the session's lock.
func holder(t *testing.T, dir, handle string) *child {
	t.Helper()
	c := start(t, "hold", dir, handle)
	if got := c.line(); got != "locked" {
		t.Fatalf("the process that is to hold the lock says %q", got)
	}
	return c
}

// findDelete empties dir as a cron job with find -delete does.
func findDelete(t *testing.T, dir string) {
	t.Helper()
	if out, err := exec.Command("find", dir, "-type", "f", "-delete").CombinedOutput(); err != nil {
		t.Fatalf("find: %v, %s", err, out)
	}
}

func TestLockedByOtherProcess(t *testing.T) {
	dir := t.TempDir()
	s := create(t, open(t, dir, patient), `{"a":1}`)
	c := holder(t, dir, s.Handle)
	before := state(t, dir, nil)
	impatient := open(t, dir, store.Options{MaxSize: 1 << 20})
	for name, access := range accesses {
		want := store.ErrLocked
		if name == "Snapshot" || name == "LockPath" { // which do not lock
			want = nil
		}
		err := within(t, patience, name, func() error { return access(impatient, s.Handle) })
		if !errors.Is(err, want) {
			t.Errorf("%s: %v; want %v", name, err, want)
		}
		if after := state(t, dir, nil); after != before {
			t.Errorf("%s changed\n%sto\n%s", name, before, after)
		}
	}
	c.end(t)
	if _, err := impatient.Update(s.Handle, false, save(`{"a":2}`)); err != nil {
		t.Errorf("after the holder's end: %v", err)
	}
}

// TestReadersShare has another process with the shared lock: readers go on, writers
// wait.
func TestReadersShare(t *testing.T) {
	dir := t.TempDir()
	s := create(t, open(t, dir, patient), `{"a":1}`)
	file, err := os.Open(s.Path)
	must(t, err)
	defer file.Close()
	must(t, unix.Flock(int(file.Fd()), unix.LOCK_SH))
	impatient := open(t, dir, store.Options{MaxSize: 1 << 20})
	for _, how := range []store.Reading{store.Touch, store.Peek, store.Snapshot} {
		if _, err := impatient.Read(s.Handle, how); err != nil {
			t.Errorf("Read %d beside a reader: %v", how, err)
		}
	}
	if _, err := impatient.Update(s.Handle, false, keep); !errors.Is(err, store.ErrLocked) {
		t.Errorf("Update beside a reader: %v; want %v", err, store.ErrLocked)
	}
}

// TestLockTimeout gives up a wait, and does not get the lock later, when no call would
// release it.
func TestLockTimeout(t *testing.T) {
	dir := t.TempDir()
	s := create(t, open(t, dir, patient), `{"a":1}`)
	c := holder(t, dir, s.Handle)
	brief := open(t, dir, store.Options{MaxSize: 1 << 20, LockTimeout: 50 * time.Millisecond})
	for name, access := range accesses {
		if name == "Snapshot" || name == "LockPath" {
			continue
		}
		started := time.Now()
		if err := access(brief, s.Handle); !errors.Is(err, store.ErrLocked) {
			t.Errorf("%s: %v; want %v", name, err, store.ErrLocked)
		}
		if waited := time.Since(started); waited < 50*time.Millisecond {
			t.Errorf("%s gave up after %v", name, waited)
		}
	}
	c.end(t)
	eventually(t, "the file free of all locks", func() bool {
		held, waiting := flocks(t, s.Path)
		return held+waiting == 0
	})
	holds(t, brief, s.Handle, 1, `{"a":1}`)
}

// descriptors returns how many of this process are on the file at path.
func descriptors(t *testing.T, path string) (n int) {
	t.Helper()
	all, err := filepath.Glob("/proc/self/fd/*")
	must(t, err)
	for _, fd := range all {
		if target, err := os.Readlink(fd); err == nil && target == path {
			n++
		}
	}
	return n
}

// TestHoldTimeout gives up a wait for a lock that was to last. Its descriptor stays open
// as long as the wait does, so that no other file can get the number.
func TestHoldTimeout(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	s := create(t, open(t, dir, patient), `{"a":1}`)
	c := holder(t, dir, s.Handle)
	brief := open(t, dir, store.Options{MaxSize: 1 << 20, LockTimeout: 10 * time.Millisecond})
	if _, err := brief.Hold(s.Handle, false); !errors.Is(err, store.ErrLocked) {
		t.Errorf("%v; want %v", err, store.ErrLocked)
	}
	if n := descriptors(t, s.Path); n != 1 {
		t.Errorf("%d descriptors are open during the wait; want 1", n)
	}
	c.end(t)
	eventually(t, "the descriptor closed", func() bool { return descriptors(t, s.Path) == 0 })
	if _, err := open(t, dir, store.Options{}).Hold(s.Handle, false); err != nil {
		t.Errorf("after the holder's end: %v", err)
	}
}

// TestHolderKilled frees the lock as kill -9 ends its holder.
func TestHolderKilled(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, patient)
	s := create(t, f, `{}`)
	c := holder(t, dir, s.Handle)
	var waiters []<-chan answer
	for range 3 {
		waiters = append(waiters, waiter(t, s.Path, func() (*store.Session, error) { return f.Update(s.Handle, false, count) }))
	}
	waiters = append(waiters, waiter(t, s.Path, func() (*store.Session, error) { return f.Read(s.Handle, store.Touch) }))
	c.kill()
	for _, w := range waiters {
		if s, err := result(t, w); err != nil {
			t.Errorf("%+v, %v", s, err)
		}
	}
	holds(t, f, s.Handle, 4, `{"n":3}`)
}

// TestDeletedUnderWaiter deletes the file with find while calls wait for its lock: those
// that may create the session do so.
func TestDeletedUnderWaiter(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, patient)
	s := create(t, f, `{"a":1}`)
	c := holder(t, dir, s.Handle)
	reading := waiter(t, s.Path, func() (*store.Session, error) { return f.Read(s.Handle, store.Touch) })
	updating := waiter(t, s.Path, func() (*store.Session, error) { return f.Update(s.Handle, false, keep) })
	creating := waiter(t, s.Path, func() (*store.Session, error) { return f.Update(s.Handle, true, count) })
	findDelete(t, dir)
	c.end(t)
	made, err := result(t, creating)
	if err != nil || made.Version != 1 || string(made.Data) != `{"n":1}` {
		t.Errorf("creating: %+v, %v; want a new session", made, err)
	}
	for name, w := range map[string]<-chan answer{"reading": reading, "updating": updating} {
		// No session before it was created again, or the new one.
		if s, err := result(t, w); !errors.Is(err, store.ErrNotFound) && (err != nil || string(s.Data) != `{"n":1}`) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	holds(t, f, s.Handle, 1, `{"n":1}`)
}

// TestReplacedUnderWaiter has another process create the session again before the lock
// of the old file is released: the waiting calls go on with the new file.
func TestReplacedUnderWaiter(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, patient)
	s := create(t, f, `{"a":1}`)
	c := holder(t, dir, s.Handle)
	var waiters []<-chan answer
	for _, may := range []bool{false, true} {
		waiters = append(waiters, waiter(t, s.Path, func() (*store.Session, error) { return f.Update(s.Handle, may, count) }))
	}
	findDelete(t, dir)
	if s, err := f.Update(s.Handle, true, save(`{"n":5}`)); err != nil || s.Version != 1 {
		t.Fatalf("created anew: %+v, %v", s, err)
	}
	c.end(t)
	for _, w := range waiters {
		if s, err := result(t, w); err != nil {
			t.Errorf("%+v, %v", s, err)
		}
	}
	holds(t, f, s.Handle, 3, `{"n":7}`)
}

// TestNewFileLockedUnderWaiter has the new file locked too. The lock of the old one is
// useless, so the waiting calls wait again.
func TestNewFileLockedUnderWaiter(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, patient)
	s := create(t, f, `{"a":1}`)
	first := holder(t, dir, s.Handle)
	waiters := map[string]<-chan answer{
		"Touch":  waiter(t, s.Path, func() (*store.Session, error) { return f.Read(s.Handle, store.Touch) }),
		"Update": waiter(t, s.Path, func() (*store.Session, error) { return f.Update(s.Handle, false, count) }),
		"create": waiter(t, s.Path, func() (*store.Session, error) { return f.Update(s.Handle, true, count) }),
		"Hold": waiter(t, s.Path, func() (*store.Session, error) {
			g := file.Open(file.Config{Dir: dir}, patient)
			held, err := g.Hold(s.Handle, false)
			if err == nil {
				unix.Close(held.FD)
			}
			return nil, err
		}),
	}
	findDelete(t, dir)
	if _, err := f.Update(s.Handle, true, save(`{"n":5}`)); err != nil {
		t.Fatal(err)
	}
	second := holder(t, dir, s.Handle)
	first.end(t)
	eventually(t, "all waiters for the new file's lock", func() bool {
		for name, w := range waiters {
			select {
			case a := <-w:
				t.Fatalf("%s went on without the lock: %+v, %v", name, a.session, a.err)
			default:
			}
		}
		_, waiting := flocks(t, s.Path)
		return waiting == len(waiters)
	})
	second.end(t)
	for name, w := range waiters {
		if _, err := result(t, w); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	holds(t, f, s.Handle, 3, `{"n":7}`)
}

// TestDeletedWithoutCreator is the same with calls that may not create: they return
// ErrNotFound, and no file is made.
func TestDeletedWithoutCreator(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, patient)
	s := create(t, f, `{"a":1}`)
	c := holder(t, dir, s.Handle)
	var waiters []<-chan answer
	for _, access := range []string{"Touch", "Peek", "Update", "Move", "Move with grace"} {
		waiters = append(waiters, waiter(t, s.Path, func() (*store.Session, error) { return nil, accesses[access](f, s.Handle) }))
	}
	findDelete(t, dir)
	c.end(t)
	for _, w := range waiters {
		if _, err := result(t, w); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%v; want %v", err, store.ErrNotFound)
		}
	}
	if left := regularFiles(t, dir); len(left) > 0 {
		t.Errorf("made %q", left)
	}
}

// TestDeletedWhileChanging deletes the file during a change. The save is lost with the
// file, and reported as ErrNotFound.
func TestDeletedWhileChanging(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, patient)
	for _, create := range []bool{false, true} {
		for _, outcome := range []store.Outcome{store.Save, store.Wipe} {
			s, err := f.Update(store.Handle("test", store.NewID()), true, save(`{"a":1}`))
			must(t, err)
			_, err = f.Update(s.Handle, create, func(s *store.Session) (store.Outcome, error) {
				findDelete(t, dir)
				return outcome, nil
			})
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("outcome %d, create %v: %v; want %v", outcome, create, err, store.ErrNotFound)
			}
			if left := regularFiles(t, dir); len(left) > 0 {
				t.Errorf("made %q", left)
			}
		}
	}
	h := store.Handle("test", store.NewID())
	_, err := f.Update(h, true, func(s *store.Session) (store.Outcome, error) {
		findDelete(t, dir)
		return store.Save, nil
	})
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a new session: %v; want %v", err, store.ErrNotFound)
	}
}

// TestDeletedWhileMoving deletes the file just before it is moved.
func TestDeletedWhileMoving(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, patient)
	for _, grace := range []time.Duration{0, time.Hour} {
		for _, outcome := range []store.Outcome{store.Keep, store.Save} {
			s := create(t, f, `{"a":1}`)
			_, err := f.Move(s.Handle, store.Handle("test", store.NewID()), grace, func(s *store.Session) (store.Outcome, error) {
				findDelete(t, dir)
				return outcome, nil
			})
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("grace %v, outcome %d: %v; want %v", grace, outcome, err, store.ErrNotFound)
			}
			if left := regularFiles(t, dir); len(left) > 0 {
				t.Errorf("grace %v, outcome %d: made %q", grace, outcome, left)
			}
		}
	}
}

// TestMovedUnderWaiter moves the session while calls wait for its lock by the old
// handle.
func TestMovedUnderWaiter(t *testing.T) {
	for _, grace := range []time.Duration{0, time.Hour} {
		dir := t.TempDir()
		f := open(t, dir, patient)
		s := create(t, f, `{}`)
		to := store.Handle("test", store.NewID())
		c := holder(t, dir, s.Handle)
		moving := waiter(t, s.Path, func() (*store.Session, error) { return f.Move(s.Handle, to, grace, nil) })
		waiters := map[string]<-chan answer{}
		for _, name := range []string{"Touch", "Peek", "Update"} {
			waiters[name] = waiter(t, s.Path, func() (*store.Session, error) {
				switch name {
				case "Touch":
					return f.Read(s.Handle, store.Touch)
				case "Peek":
					return f.Read(s.Handle, store.Peek)
				}
				return f.Update(s.Handle, false, count)
			})
		}
		c.end(t)
		if s, err := result(t, moving); err != nil || s.Handle != to {
			t.Fatalf("moving: %+v, %v", s, err)
		}
		counted := 0
		for name, w := range waiters {
			got, err := result(t, w)
			switch {
			case err == nil && (got.Handle == to && grace > 0 || got.Handle == s.Handle):
				// By the tombstone; or it came before the move.
				if name == "Update" {
					counted++
				}
			case errors.Is(err, store.ErrNotFound) && grace == 0:
			default:
				t.Errorf("grace %v, %s: %+v, %v", grace, name, got, err)
			}
		}
		want := `{}`
		if counted > 0 {
			want = `{"n":1}`
		}
		holds(t, f, to, 1+uint64(counted), want)
		if _, err := f.Read(s.Handle, store.Peek); (err == nil) != (grace > 0) {
			t.Errorf("grace %v, by the old handle: %v", grace, err)
		}
	}
}

// TestRenamedUnderWaiter moves the file away while only one call waits, so that this
// call certainly comes after the move.
func TestRenamedUnderWaiter(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, patient)
	s := create(t, f, `{"a":1}`)
	to := store.Handle("test", store.NewID())
	must(t, os.MkdirAll(strings.TrimSuffix(f.Path(to), to), 0o700))
	for _, may := range []bool{false, true} {
		c := holder(t, dir, s.Handle)
		updating := waiter(t, s.Path, func() (*store.Session, error) { return f.Update(s.Handle, may, count) })
		must(t, os.Rename(s.Path, f.Path(to)))
		c.end(t)
		got, err := result(t, updating)
		if !may && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%+v, %v; want %v", got, err, store.ErrNotFound)
		}
		if may && (err != nil || got.Version != 1 || string(got.Data) != `{"n":1}`) {
			t.Errorf("%+v, %v; want a new session", got, err)
		}
		holds(t, f, to, 1, `{"a":1}`)
		must(t, os.Rename(f.Path(to), s.Path))
	}
}

// TestCounterOfProcesses has processes that count in one session, which the
// first of them creates.
func TestCounterOfProcesses(t *testing.T) {
	const processes, each = 8, 50
	dir := t.TempDir() + "/sessions"
	h := store.Handle("test", store.NewID())
	var running []*child
	for range processes {
		running = append(running, start(t, "increment", dir, h, strconv.Itoa(each)))
	}
	for _, c := range running {
		c.end(t)
	}
	holds(t, open(t, dir, patient), h, processes*each, fmt.Sprintf(`{"n":%d}`, processes*each))
	if left := regularFiles(t, dir); len(left) != 1 {
		t.Errorf("left behind: %q", left)
	}
}

// TestWriterKilled kills a process at any moment of its saves. The saves that it
// reported are stored, and at most one more.
func TestWriterKilled(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 4))
	for _, most := range []int{500, 20_000} {
		dir := t.TempDir()
		f := open(t, dir, patient)
		s := create(t, f, text(1, most))
		last := s.Version
		for range 15 {
			c := start(t, "write", dir, s.Handle, strconv.Itoa(most))
			for range 1 + rng.IntN(30) {
				line := c.line()
				version, err := strconv.ParseUint(line, 10, 64)
				if err != nil || version != last+1 {
					t.Fatalf("the writer says %q after version %d", line, last)
				}
				last = version
			}
			c.cmd.Process.Kill()
			for c.stdout.Scan() { // the saves that it reported before
				if version, err := strconv.ParseUint(c.stdout.Text(), 10, 64); err == nil {
					last = version
				}
			}
			c.cmd.Wait()
			now, err := f.Read(s.Handle, store.Peek)
			if err != nil || now.Version != last && now.Version != last+1 || string(now.Data) != text(now.Version, most) {
				t.Fatalf("after version %d was reported: %+v, %v", last, now, err)
			}
			last = now.Version
		}
		if left := regularFiles(t, dir); len(left) != 1 {
			t.Errorf("left behind: %q", left)
		}
	}
}

// TestSnapshotsOfOtherProcess reads without the lock while another process saves. The
// version never goes back, and each reading is a whole record.
func TestSnapshotsOfOtherProcess(t *testing.T) {
	for _, most := range []int{500, 20_000} {
		dir := memory(t)
		f := open(t, dir, patient)
		s := create(t, f, text(1, most))
		c := start(t, "write", dir, s.Handle, strconv.Itoa(most))
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for c.stdout.Scan() {
			}
		}()
		last, changes := s.Version, 0
		for changes < 1000 {
			s, err := f.Read(s.Handle, store.Snapshot)
			if err != nil {
				t.Fatal(err)
			}
			if s.Version < last || string(s.Data) != text(s.Version, most) {
				t.Fatalf("version %d after %d: %.100s", s.Version, last, s.Data)
			}
			if s.Version > last {
				changes++
			}
			last = s.Version
		}
		c.cmd.Process.Kill()
		<-ended
	}
}

// memory returns a new directory, in memory if there is one.
func memory(t testing.TB) string {
	t.Helper()
	if file.CheckMemory("/dev/shm") != nil {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "store-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// TestFindDeleteWhileCounting deletes the session over and over while processes count
// in it. Each new session has a name of its own in its data. For each name every
// version is reported once, and none in between is missing.
func TestFindDeleteWhileCounting(t *testing.T) {
	const workers, each = 6, 150
	dir := memory(t)
	h := store.Handle("test", store.NewID())
	var mu sync.Mutex
	seen := map[string]map[uint64]bool{} // by the session's own name
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			f := file.Open(file.Config{Dir: dir}, patient)
			defer f.Close()
			for range each {
				s, err := f.Update(h, true, func(s *store.Session) (store.Outcome, error) {
					if s.Version == 0 {
						s.Data = store.Data(`{"name":"` + store.NewID() + `"}`)
					}
					return count(s)
				})
				if errors.Is(err, store.ErrNotFound) {
					continue // deleted while it was changed
				}
				if err != nil {
					t.Error(err)
					return
				}
				name, _, _ := s.Data.Get("name")
				n, _, _ := s.Data.Get("n")
				if n.Text() != fmt.Sprint(s.Version) {
					t.Errorf("version %d counts %s", s.Version, n)
				}
				mu.Lock()
				if seen[name.Text()] == nil {
					seen[name.Text()] = map[uint64]bool{}
				}
				if seen[name.Text()][s.Version] {
					t.Errorf("two calls stored version %d of one session", s.Version)
				}
				seen[name.Text()][s.Version] = true
				mu.Unlock()
			}
		})
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				exec.Command("find", dir, "-type", "f", "-delete").Run()
			}
		}
	}()
	wg.Wait()
	close(stop)
	<-stopped
	if len(seen) < 2 {
		t.Errorf("%d sessions were made, so that this proves nothing", len(seen))
	}
	for _, versions := range seen {
		for v := range uint64(len(versions)) {
			if !versions[v+1] {
				t.Errorf("of %d saves of a session, version %d was not reported", len(versions), v+1)
			}
		}
	}
}
