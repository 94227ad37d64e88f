package file

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// mendable puts a file in the place of a session, last used at a time.
func (l *layout) mendable(mode os.FileMode, accessed time.Time, text []byte) {
	l.t.Helper()
	path := l.f.Path(l.handle)
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err == nil {
		err = os.Chmod(path, mode)
	}
	if err == nil {
		err = os.Chtimes(path, accessed, accessed)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// inspect returns the state of the session and what is wrong with it, by Look.
func (l *layout) look() (s *store.Session, state store.State, wrong error) {
	l.t.Helper()
	err := l.f.Look(l.handle, func(found *store.Session, as store.State, what error) error {
		found.Data = slices.Clone(found.Data)
		s, state, wrong = found, as, what
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return s, state, wrong
}

// A repair changes nothing but the fault: the last access stays, and a session that has
// timed out is not ended.
func TestMend(t *testing.T) {
	now := time.Now()
	accessed := now.Add(-2 * time.Hour).Truncate(time.Second)
	whole := record{version: 3, created: 1, user: "ann", data: store.Data(`{"a":1}`)}
	line := whole.encode()
	torn := append(record{version: 4, created: 1, data: store.Data(`{"a":2}`)}.encode()[:40], '\n')
	born := whole
	born.created = now.Add(time.Hour).Unix()
	moved := record{version: 1, created: 1, movedTo: strings.Repeat("ab", 32), until: now.Add(time.Hour).Unix()}
	for _, c := range []struct {
		what     string
		mode     os.FileMode
		accessed time.Time
		text     []byte
		want     string // the fault that Look reports before the repair
		version  uint64 // after
		aside    int    // files that are put aside
	}{
		{"whole", 0o600, accessed, line, "", 3, 0},
		{"mode", 0o640, accessed, line, "mode 0640 lets other users in", 3, 0},
		{"protected", 0o400, accessed, line, "mode 0400, not 0600", 3, 0},
		{"no mode", 0, accessed, line, "mode 0, not 0600", 3, 0},
		{"sticky", 0o600 | os.ModeSticky, accessed, line, "mode 01600, not 0600", 3, 0},
		{"torn after", 0o600, accessed, slices.Concat(line, torn), "its newest version was damaged", 3, 1},
		{"torn before", 0o600, accessed, slices.Concat(torn, line), "its newest version was damaged", 3, 1},
		{"torn around", 0o600, accessed, slices.Concat(torn, line, torn, torn), "its newest version was damaged", 3, 1},
		{"torn, large", 0o600, accessed, slices.Concat(line, []byte(strings.Repeat("\n", 9000)), torn), "its newest version was damaged", 3, 1},
		{"created in the future", 0o600, accessed, born.encode(), "", 4, 0},
		{"used in the future", 0o600, now.Add(time.Hour), line, "", 3, 0},
		{"all at once", 0o444, now.Add(time.Hour), slices.Concat(torn, born.encode()), "mode 0444 lets other users in", 4, 1},
		{"old id", 0o400, now.Add(time.Hour), moved.encode(), "", 0, 0},
		{"old id without its mode", 0o600, now.Add(time.Hour), moved.encode(), "mode 0600, not 0400", 0, 0},
		{"old id that others read", 0o444, now.Add(time.Hour), moved.encode(), "mode 0444 lets other users in", 0, 0},
	} {
		l := newLayout(t)
		l.f.opts.Timeout = time.Hour
		l.mendable(c.mode, c.accessed, c.text)
		if _, _, wrong := l.look(); (wrong == nil) != (c.want == "") || wrong != nil && !strings.Contains(wrong.Error(), c.want) {
			t.Errorf("%s: wrong with it is %v, not %q", c.what, wrong, c.want)
		}
		did, err := l.f.mend(l.handle)
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		s, state, wrong := l.look()
		if wrong != nil || s.Version != c.version || s.Created > time.Now().Unix() {
			t.Errorf("%s, mended by %q: version %d, created %d, wrong with it is %v", c.what, did, s.Version, s.Created, wrong)
		}
		want := c.accessed
		if want.After(now) && state != store.Moved {
			want = now
		}
		used := s.Accessed
		if info, err := os.Stat(l.f.Path(l.handle)); state == store.Moved && err == nil {
			used = info.ModTime() // when it is over, which is no access
		}
		if used.Before(want) || used.After(want.Add(time.Minute)) {
			t.Errorf("%s, mended by %q: last used at %v, not %v", c.what, did, used, want)
		}
		if state != store.Moved && (string(s.Data) != `{"a":1}` || s.User != "ann") {
			t.Errorf("%s: %s of %q", c.what, s.Data, s.User)
		}
		aside, _ := filepath.Glob(l.f.config.Dir + "/.damaged/*")
		for _, path := range aside {
			if text, err := os.ReadFile(path); err != nil || string(text) != string(c.text) {
				t.Errorf("%s: set aside is %q, %v", c.what, text, err)
			}
		}
		if len(aside) != c.aside {
			t.Errorf("%s: set aside are %q", c.what, aside)
		}
		if again, err := l.f.mend(l.handle); err != nil || len(again) > 0 {
			t.Errorf("%s: mended again: %q, %v", c.what, again, err)
		}
	}
}

// After a damaged version was removed from a file, saves work as in any other file.
func TestMendThenSave(t *testing.T) {
	l := newLayout(t)
	l.save(store.Data(`{"a":1}`), store.Save)
	text := append(slices.Clone(l.file()), "{\"crc\":\"00000000\",\"version\":99,\n"...)
	l.mendable(0o600, time.Now(), text)
	if did, err := l.f.mend(l.handle); err != nil || len(did) != 1 {
		t.Fatalf("%q, %v", did, err)
	}
	l.largest = page // the file has room for one more record of this size
	for range 5 {
		l.save(store.Data(`{"a":2}`), store.Save)
	}
}

// Something else than a regular file is set aside, but not followed or opened.
func TestMendMovesStrangers(t *testing.T) {
	for what, plant := range map[string]func(path string) error{
		"socket": func(path string) error {
			s, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
			if err == nil {
				s.SetUnlinkOnClose(false)
				err = s.Close()
			}
			return err
		},
		"link":      func(path string) error { return os.Symlink("/etc/passwd", path) },
		"fifo":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"directory": func(path string) error { return os.MkdirAll(path+"/full", 0o700) },
	} {
		l := newLayout(t)
		l.save(store.Data(`{}`), store.Save)
		path := l.f.Path(l.handle)
		err := os.Remove(path)
		if err == nil {
			err = plant(path)
		}
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		before, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if did, err := l.f.mend(l.handle); err != nil || len(did) != 1 {
			t.Errorf("%s: %q, %v", what, did, err)
		}
		aside, _ := filepath.Glob(l.f.config.Dir + "/.damaged/" + l.handle + ".*")
		if len(aside) != 1 {
			t.Fatalf("%s: set aside are %q", what, aside)
		}
		after, err := os.Lstat(aside[0])
		if err != nil || !os.SameFile(before, after) {
			t.Errorf("%s: what is set aside is another: %v", what, err)
		}
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s: it is still there: %v", what, err)
		}
	}
}

// orphan makes the tombstone that a move with a grace makes before its exchange.
func (l *layout) orphan() {
	until := time.Now().Add(time.Hour)
	l.mendable(0o400, until, record{version: 1, created: 1, movedTo: l.handle, until: until.Unix()}.encode())
}

// A tombstone that leads to itself is reported and removed.
func TestMendOrphan(t *testing.T) {
	l := newLayout(t)
	l.orphan()
	if _, state, wrong := l.look(); wrong != errOrphan || state != store.Moved {
		t.Errorf("%s, %v", state, wrong)
	}
	if did, err := l.f.mend(l.handle); err != nil || len(did) != 1 {
		t.Errorf("%q, %v", did, err)
	}
	if _, err := os.Lstat(l.f.Path(l.handle)); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
}

// A tombstone of a move in progress is left alone: the session will take its place.
func TestMendMoveUnderWay(t *testing.T) {
	l := newLayout(t)
	l.f.opts.LockTimeout = time.Minute
	l.save(store.Data(`{"a":1}`), store.Save)
	old := l.f.Path(l.handle)
	l.handle = store.Handle("layout", store.NewID())
	l.orphan()
	path := l.f.Path(l.handle)
	tombstone, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer tombstone.Close()
	if err := setLock(int(tombstone.Fd()), unix.LOCK_EX); err != nil { // as the move has it
		t.Fatal(err)
	}
	mended := make(chan error, 1)
	go func() {
		did, err := l.f.mend(l.handle)
		if err == nil && len(did) > 0 {
			t.Errorf("%q", did)
		}
		mended <- err
	}()
	if err := exchange(unix.AT_FDCWD, old, unix.AT_FDCWD, path); err != nil {
		t.Skip(err)
	}
	tombstone.Close()
	if err := <-mended; err != nil {
		t.Error(err)
	}
	if s, _, wrong := l.look(); wrong != nil || string(s.Data) != `{"a":1}` {
		t.Errorf("the session is %s, %v", s.Data, wrong)
	}
	if _, err := os.Lstat(old); err != nil {
		t.Error(err)
	}
}

// A removed entry of the index of users is made again if its session appeared meanwhile.
func TestUserEntryComesBack(t *testing.T) {
	l := newLayout(t)
	if err := l.f.addUser(&store.Session{User: "ann"}, l.handle); err != nil {
		t.Fatal(err)
	}
	entries := func() (n int) {
		for shard := range shards {
			err := l.f.eachUserEntry(shard, func(u userEntry) error {
				n++
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	remove := func(there bool) {
		for shard := range shards {
			err := l.f.eachUserEntry(shard, func(u userEntry) error {
				if removed := u.remove(func(handle string) bool { return there && handle == l.handle }); removed == there {
					t.Errorf("removed: %v, the session is there: %v", removed, there)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if remove(true); entries() != 1 {
		t.Errorf("%d entries of a session that came meanwhile", entries())
	}
	if remove(false); entries() != 0 {
		t.Errorf("%d entries of none", entries())
	}
}
