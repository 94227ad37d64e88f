package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// link gives the session's file a second name, and returns that.
func (l *layout) link() string {
	l.t.Helper()
	dir, err := os.MkdirTemp(l.f.config.Dir, "backup")
	second := dir + "/second"
	if err == nil {
		err = os.Link(l.f.Path(l.handle), second)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return second
}

// A repair gives a file with a second name one of its own, which has the same text, time and
// mode; the second name keeps the file.
func TestMendLinks(t *testing.T) {
	then := time.Unix(1764000000, 123456789)
	later := time.Now().Add(time.Hour).Truncate(time.Second)
	session := record{version: 3, created: 1, user: "ann", data: store.Data(`{"a":1}`)}
	tombstone := record{version: 1, created: 1, movedTo: store.Handle("layout", store.NewID()), until: later.Unix()}
	for what, c := range map[string]struct {
		mode     os.FileMode
		modified time.Time
		text     []byte
		mended   os.FileMode
	}{
		"session":          {0o600, then, session.encode(), 0o600},
		"one others read":  {0o640, then, session.encode(), 0o600},
		"tombstone":        {0o400, later, tombstone.encode(), 0o400},
		"empty":            {0o600, then, nil, 0o600},
		"with many pages":  {0o600, then, padded(9000, session.encode(), 9000), 0o600},
		"many other names": {0o600, then, session.encode(), 0o600},
	} {
		l := newLayout(t)
		l.mendable(c.mode, c.modified, c.text)
		second := l.link()
		if what == "many other names" {
			l.link()
		}
		if _, state, wrong := l.look(); state != store.Unsafe || wrong == nil {
			t.Errorf("%s: %s, %v", what, state, wrong)
		}
		if did, err := l.f.mend(l.handle); err != nil || len(did) == 0 {
			t.Errorf("%s: %q, %v", what, did, err)
		}
		old, err := os.Stat(second)
		if err != nil {
			t.Fatal(err)
		}
		own, err := os.Stat(l.f.Path(l.handle))
		if err != nil || os.SameFile(own, old) || own.Mode() != c.mended || !own.ModTime().Equal(c.modified) {
			t.Errorf("%s: %v, %v, %v", what, own.Mode(), own.ModTime(), err)
		}
		for _, path := range []string{second, l.f.Path(l.handle)} {
			if text, err := os.ReadFile(path); err != nil || string(text) != string(c.text) {
				t.Errorf("%s: %s holds %.99q, %v", what, path, text, err)
			}
		}
		if left, _ := filepath.Glob(l.f.config.Dir + "/.damaged/*"); len(left) > 0 {
			t.Errorf("%s: left are %q", what, left)
		}
	}
}

// A file whose lock is held may still be written to: it is not copied, and stays.
func TestMendLinksInUse(t *testing.T) {
	l := newLayout(t)
	l.f.opts.LockTimeout = time.Hour // it does not wait
	l.save(store.Data(`{"a":1}`), store.Save)
	l.link()
	held, err := os.Open(l.f.Path(l.handle))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := setLock(int(held.Fd()), unix.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	if did, err := l.f.mend(l.handle); !errors.Is(err, store.ErrLocked) || len(did) > 0 {
		t.Errorf("%q, %v", did, err)
	}
	now, err := os.Stat(l.f.Path(l.handle))
	was, _ := held.Stat()
	if err != nil || !os.SameFile(now, was) {
		t.Errorf("it was replaced: %v", err)
	}
}

// What is done to the name just before the exchange, by a program that takes no lock, wins: a
// session that was removed stays so, and another in its place is not replaced.
func TestMendLinksReplaced(t *testing.T) {
	for what, change := range map[string]func(path string) error{
		"removed": os.Remove,
		"another": func(path string) error {
			return errors.Join(os.Remove(path), os.WriteFile(path, []byte("another"), 0o600))
		},
	} {
		l := newLayout(t)
		l.save(store.Data(`{"a":1}`), store.Save)
		l.link()
		shard, err := l.f.openShard(l.handle, false)
		if err != nil {
			t.Fatal(err)
		}
		e := &entry{f: l.f, handle: l.handle, shard: shard, fd: -1}
		if linked, err := e.lockLinked(); !linked || err != nil {
			t.Fatalf("%v, %v", linked, err)
		}
		dir, err := l.f.openDamaged()
		if err != nil {
			t.Fatal(err)
		}
		name, _, err := l.f.copyTo(dir, l.handle, l.file(), time.Now())
		path := l.f.Path(l.handle)
		if err = errors.Join(err, change(path)); err != nil {
			t.Fatal(err)
		}
		if err := e.exchangeFor(dir, name); err != errReplaced {
			t.Errorf("%s: %v", what, err)
		}
		text, err := os.ReadFile(path)
		if what == "removed" && !os.IsNotExist(err) || what == "another" && string(text) != "another" {
			t.Errorf("%s: there is %q, %v", what, text, err)
		}
	}
}

// A process that waits for the file's lock during the exchange goes on with the copy: its save is
// not lost, and does not reach the other name.
func TestMendLinksWaiter(t *testing.T) {
	l := newLayout(t)
	l.f.opts.LockTimeout = time.Minute
	l.save(store.Data(`{"a":1}`), store.Save)
	before := l.file()
	shard, err := l.f.openShard(l.handle, false)
	if err != nil {
		t.Fatal(err)
	}
	e := &entry{f: l.f, handle: l.handle, shard: shard, fd: -1}
	if err = e.open(unix.O_RDONLY); err == nil {
		err = tryFlock(e.fd, time.Time{})
	}
	if err != nil {
		t.Fatal(err)
	}
	other := Open(l.f.config, l.f.opts) // as another process has it
	saved := make(chan error, 1)
	go func() {
		_, err := other.Update(l.handle, false, func(s *store.Session) (store.Outcome, error) {
			s.Data = store.Data(`{"a":2}`)
			return store.Save, nil
		})
		saved <- err
	}()
	// It has to look at the file before that has a second name.
	for try := 0; countWaiters(t, &e.stat) == 0; try++ {
		if time.Sleep(time.Millisecond); try == 10000 {
			t.Fatal("it does not wait for the lock")
		}
	}
	second := l.link()
	dir, err := l.f.openDamaged()
	if err != nil {
		t.Fatal(err)
	}
	name, fd, err := l.f.copyTo(dir, l.handle, before, time.Now())
	if err == nil {
		err = e.exchangeFor(dir, name)
	}
	closeFD(fd)
	e.closeData()
	if failed := <-saved; err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	if s, _, wrong := l.look(); wrong != nil || string(s.Data) != `{"a":2}` {
		t.Errorf("there is %s, %v", s.Data, wrong)
	}
	if text, err := os.ReadFile(second); err != nil || string(text) != string(before) {
		t.Errorf("the other name holds %.99q, %v", text, err)
	}
}

// countWaiters returns how many processes wait for the file's lock, as proc_locks(5) lists them.
func countWaiters(t *testing.T, st *unix.Stat_t) (n int) {
	t.Helper()
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(locks)) {
		if strings.Contains(line, "->") && strings.Contains(line, fmt.Sprintf(":%d ", st.Ino)) {
			n++
		}
	}
	return n
}
