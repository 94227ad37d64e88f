//go:build linux

package file_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// TestNothingLeft creates sessions but stores nothing in them: no file is left.
func TestNothingLeft(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, store.Options{MaxSize: 100})
	for name, change := range map[string]store.Change{
		"Keep":      keep,
		"Remove":    remove,
		"error":     func(*store.Session) (store.Outcome, error) { return store.Save, errors.New("failed") },
		"too large": save(sized(101)),
	} {
		f.Update(store.Handle("test", store.NewID()), true, change)
		if left := regularFiles(t, dir); len(left) > 0 {
			t.Errorf("%s: left %q", name, left)
		}
	}
	s := create(t, f, sized(100))
	if _, err := f.Update(s.Handle, false, remove); err != nil {
		t.Fatal(err)
	}
	if left := regularFiles(t, dir); len(left) > 0 {
		t.Errorf("Remove of a session that is there: left %q", left)
	}
}

// TestOversizedFile has a file that is larger than any session of the store's MaxSize.
// It is not read, whatever it holds; it can be locked and ended.
func TestOversizedFile(t *testing.T) {
	dir := t.TempDir()
	s := create(t, open(t, dir, patient), sized(20_000))
	small := open(t, dir, store.Options{MaxSize: 1000})
	for name, access := range accesses {
		if name == "Hold" || name == "LockPath" || name == "Remove" {
			continue
		}
		if err := access(small, s.Handle); !errors.Is(err, store.ErrTooLarge) {
			t.Errorf("%s: %v; want %v", name, err, store.ErrTooLarge)
		}
	}
	holds(t, open(t, dir, patient), s.Handle, 1, sized(20_000))
	if path, err := small.LockPath(s.Handle, true); err != nil || path != small.Path(s.Handle) {
		t.Errorf("LockPath = %s, %v", path, err)
	}
	if err := accesses["Remove"](small, s.Handle); err != nil {
		t.Errorf("Remove: %v", err)
	}
	if left := regularFiles(t, dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestOversizedPlaces deletes the data of large sessions, with their record at each
// place that it can have in a file, beside a torn record, and after lines that only
// look like records. The file is small afterwards, and holds the next version.
func TestOversizedPlaces(t *testing.T) {
	const size = 300_000
	for name, spoil := range map[string]func(t *testing.T, path string){
		"whole": func(*testing.T, string) {},
		"torn": func(t *testing.T, path string) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			torn := append([]byte(`{"crc":"01234567","version":99,"created":1,"user":"bob","data":{"a":"`), bytes.Repeat([]byte("y"), size)...)
			if err := os.WriteFile(path, append(append(text, torn...), "\"}}\n"...), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		for saves := 1; saves <= 4; saves++ {
			dir := t.TempDir()
			large, small := open(t, dir, store.Options{MaxSize: 1 << 20}), open(t, dir, store.Options{MaxSize: 1000, LockTimeout: time.Second})
			h := store.Handle("test", store.NewID())
			for range saves {
				if _, err := large.Update(h, true, func(s *store.Session) (store.Outcome, error) {
					s.User = "ann"
					return save(sized(size))(s)
				}); err != nil {
					t.Fatal(err)
				}
			}
			spoil(t, large.Path(h))
			if err := small.Look(h, func(s *store.Session, state store.State, _ error) error {
				if state != store.Oversize || s.User != "ann" || s.Version != uint64(saves) || s.Data != nil {
					t.Errorf("%s, %d saves: seen is %s, %+v", name, saves, state, s)
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
			s, err := small.Update(h, false, func(s *store.Session) (store.Outcome, error) {
				s.Data = store.Empty
				return store.Wipe, nil
			})
			if err != nil || s.Version != uint64(saves+1) || s.User != "ann" {
				t.Fatalf("%s, %d saves: Wipe = %+v, %v", name, saves, s, err)
			}
			holds(t, small, h, uint64(saves+1), "{}")
			if info, err := os.Stat(large.Path(h)); err != nil || info.Size() > 2*4096 || info.Size() != s.Size {
				t.Errorf("%s, %d saves: the file has %d bytes, and the session says %d", name, saves, info.Size(), s.Size)
			}
			if _, err := small.Update(h, false, save(sized(900))); err != nil {
				t.Errorf("%s, %d saves: %v", name, saves, err)
			}
			holds(t, large, h, uint64(saves+2), sized(900))
		}
	}
}

// TestFileSizeLimit runs a process that may not let files grow (ulimit -f): its writes
// are short, and then fail with EFBIG. The signal SIGXFSZ must not end the process.
func TestFileSizeLimit(t *testing.T) {
	for _, tt := range []struct {
		before int // bytes of data of the session; 0: none
		limit  int
		size   int
		want   string
	}{
		{0, 0, 100, "EFBIG"},
		{0, 50, 100, "EFBIG"},
		{0, 4096, 100, "version 1"},
		{0, 4096, 5000, "EFBIG"},
		{100, 4096, 3000, "version 2"},
		{100, 4096, 5000, "EFBIG"},  // short at the end of the page
		{100, 100, 50, "EFBIG"},     // nothing at all
		{100, 200, 100, "EFBIG"},    // within the new record
		{100, 4000, 200, "EFBIG"},   // all of the new record, but not all of its padding
		{5000, 8192, 5000, "EFBIG"}, // after the current one
		{5000, 16384, 5000, "version 2"},
	} {
		t.Run(fmt.Sprintf("%d then %d with %d", tt.before, tt.size, tt.limit), func(t *testing.T) {
			dir := t.TempDir()
			f := open(t, dir, patient)
			h := store.Handle("test", store.NewID())
			if tt.before > 0 {
				h = create(t, f, sized(tt.before)).Handle
			}
			c := start(t, "limited", dir, h, fmt.Sprint(tt.limit), fmt.Sprint(tt.size))
			if got := c.line(); got != tt.want {
				t.Errorf("saved with %q; want %q", got, tt.want)
			}
			c.end(t)
			switch {
			case tt.want != "EFBIG":
				s, err := f.Read(h, store.Peek)
				if err != nil || string(s.Data) != sized(tt.size) {
					t.Errorf("then: %+v, %v", s, err)
				}
			case tt.before == 0:
				if left := regularFiles(t, dir); len(left) > 0 {
					t.Errorf("left behind: %q", left)
				}
			default:
				holds(t, f, h, 1, sized(tt.before))
			}
			// A failed save must not keep the next one from succeeding.
			if _, err := f.Update(h, true, save(sized(tt.size))); err != nil {
				t.Errorf("save without the limit: %v", err)
			}
		})
	}
}

// smallDisk mounts a file system of 64 KiB and returns its directory.
func smallDisk(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k,mode=0700"); err != nil {
		t.Skip("mount: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill leaves no room in dir.
func fill(t *testing.T, dir string) {
	t.Helper()
	file, err := os.Create(filepath.Join(dir, ".filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for range 64 {
		if _, err = file.Write(make([]byte, 4096)); err != nil {
			break
		}
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("filled up: %v", err)
	}
}

func TestFullDisk(t *testing.T) {
	dir := smallDisk(t)
	f := open(t, dir, patient)
	small, large := create(t, f, sized(1000)), create(t, f, sized(5000))
	var err error
	for version := uint64(2); version <= 3; version++ { // large now has its room for two
		if large, err = f.Update(large.Handle, false, save(sized(5000+int(version)))); err != nil {
			t.Fatal(err)
		}
	}
	fill(t, dir)
	before := regularFiles(t, dir)

	for i := range 20 {
		if small, err = f.Update(small.Handle, false, save(sized(900+i))); err != nil {
			t.Fatalf("save %d of a session that is there: %v", i, err)
		}
		holds(t, f, small.Handle, small.Version, sized(900+i))
		if large, err = f.Update(large.Handle, false, save(sized(4900+i))); err != nil {
			t.Fatalf("save %d of a large session that is there: %v", i, err)
		}
		holds(t, f, large.Handle, large.Version, sized(4900+i))
	}

	// Changes that need room fail, and leave the sessions as they were.
	for range 3 {
		for _, s := range []*store.Session{small, large} {
			if _, err := f.Update(s.Handle, false, save(sized(40_000))); !errors.Is(err, unix.ENOSPC) {
				t.Errorf("save of a session that outgrows the disk: %v; want %v", err, unix.ENOSPC)
			}
			holds(t, f, s.Handle, s.Version, string(s.Data))
		}
		h := store.Handle("test", store.NewID())
		if _, err := f.Update(h, true, save(sized(100))); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("new session: %v; want %v", err, unix.ENOSPC)
		}
		if _, err := f.Read(h, store.Peek); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a session that could not be stored: %v; want %v", err, store.ErrNotFound)
		}
		to := store.Handle("test", store.NewID())
		if _, err := f.Move(small.Handle, to, time.Hour, save(`{"user":"alice"}`)); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("move with a tombstone that finds no room: %v; want %v", err, unix.ENOSPC)
		}
		holds(t, f, small.Handle, small.Version, string(small.Data))
	}
	if after := regularFiles(t, dir); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("files: %q; want %q", after, before)
	}

	// A move without a tombstone needs no room.
	to := store.Handle("test", store.NewID())
	if _, err := f.Move(small.Handle, to, 0, nil); err != nil {
		t.Fatal(err)
	}
	holds(t, f, to, small.Version, string(small.Data))
	if _, err := f.Update(to, false, remove); err != nil {
		t.Fatal(err)
	}
	create(t, f, sized(100)) // in the room of the one removed
}

// line returns the record of a version as it stands in a session's file, with its
// line feed.
func line(t *testing.T, s *store.Session) string {
	t.Helper()
	text, err := os.ReadFile(s.Path)
	must(t, err)
	for l := range strings.Lines(string(text)) {
		if strings.Contains(l, fmt.Sprintf(`"version":%d,`, s.Version)) {
			return l
		}
	}
	t.Fatalf("version %d is not in the file", s.Version)
	return ""
}

// blocks returns how large the file is, and how much of the disk it takes, in bytes.
func blocks(t *testing.T, path string) (size, taken int64) {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Stat(path, &st))
	return st.Size, int64(st.Blocks) * 512
}

// TestFullDiskFits saves to sessions with any history on a full disk. A record that
// fits into the file's blocks beside the current one is stored without a new block. One
// that does not fit fails and takes no block.
func TestFullDiskFits(t *testing.T) {
	dir := smallDisk(t)
	f := open(t, dir, patient)
	rng := rand.New(rand.NewPCG(13, 1))
	for round := range 200 {
		s := create(t, f, sized(10+rng.IntN(6000)))
		if rng.IntN(3) == 0 { // as earlier programs left it: anywhere in the file
			text := line(t, s)
			before := rng.IntN(8000)
			room := (before + len(text) + 4095) / 4096 * 4096
			text = strings.Repeat("\n", before) + text + strings.Repeat("\n", room-before-len(text))
			must(t, os.WriteFile(s.Path, []byte(text), 0o600))
		}
		change := func(n int, outcome store.Outcome) error {
			t.Helper()
			next, err := f.Update(s.Handle, false, func(s *store.Session) (store.Outcome, error) {
				s.Data = store.Data(sized(n))
				return outcome, nil
			})
			if err == nil {
				s = next
			}
			holds(t, f, s.Handle, s.Version, string(s.Data))
			return err
		}
		for range rng.IntN(6) {
			outcome := store.Save
			if rng.IntN(5) == 0 {
				outcome = store.Wipe
			}
			must(t, change(10+rng.IntN(1+rng.IntN(8000)), outcome))
		}
		must(t, change(10+rng.IntN(6000), store.Save))

		fill(t, dir)
		size, taken := blocks(t, s.Path)
		for range 20 {
			now := line(t, s)
			n := 10 + rng.IntN(int(size)+500)
			if rng.IntN(3) == 0 { // a write that fails may come some of the way
				n = int(size) + 5000
				must(t, spare(dir))
			}
			fits := len(now)+len(now)-len(s.Data)+n <= int(size)-2 // the version may get a digit
			err := change(n, store.Save)
			longer, more := blocks(t, s.Path)
			now = line(t, s)
			switch {
			case fits && err != nil:
				t.Fatalf("round %d: %d bytes of data beside %d in %d: %v", round, n, len(now), size, err)
			case err != nil && (!errors.Is(err, unix.ENOSPC) || longer != size || more != taken):
				t.Fatalf("round %d: %v: %d bytes in %d of the disk; it was %d in %d", round, err, longer, more, size, taken)
			case err == nil && more > taken, longer < size && int(longer) < 2*len(now):
				t.Fatalf("round %d: a record of %d, %d bytes in %d of the disk; it was %d in %d", round, len(now), longer, more, size, taken)
			}
			taken, size = more, longer
			must(t, refill(dir))
		}
		must(t, os.Remove(filepath.Join(dir, ".filler")))
		if _, err := f.Update(s.Handle, false, remove); err != nil {
			t.Fatal(err)
		}
	}
}

// spare leaves one block of room.
func spare(dir string) error {
	info, err := os.Stat(filepath.Join(dir, ".filler"))
	if err == nil {
		err = os.Truncate(filepath.Join(dir, ".filler"), info.Size()-4096)
	}
	return err
}

// refill takes all room that there is.
func refill(dir string) error {
	file, err := os.OpenFile(filepath.Join(dir, ".filler"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	for err == nil {
		_, err = file.Write(make([]byte, 4096))
	}
	if errors.Is(err, unix.ENOSPC) {
		return nil
	}
	return err
}

// TestFailedFirstSave has a first save that fails, in an empty file that was there
// before, as lock-path leaves it: the file stays, without a session.
func TestFailedFirstSave(t *testing.T) {
	for _, limit := range []int{60, 4000} { // within the record, and after it
		dir := t.TempDir()
		f := open(t, dir, patient)
		h := store.Handle("test", store.NewID())
		path, err := f.LockPath(h, true)
		must(t, err)
		c := start(t, "limited", dir, h, fmt.Sprint(limit), "100")
		if got := c.line(); got != "EFBIG" {
			t.Fatalf("saved with %q; want EFBIG", got)
		}
		c.end(t)
		if info, err := os.Stat(path); err != nil || info.Size() != 0 {
			t.Errorf("limit %d: %v, %v; want an empty file", limit, info, err)
		}
		if s, err := f.Read(h, store.Peek); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("limit %d: %+v, %v; want %v", limit, s, err, store.ErrNotFound)
		}
	}
}

// TestFailedSaveIsNotSeen has a save that reports a failure after its whole record was
// written: no reader may see that record.
func TestFailedSaveIsNotSeen(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, patient)
	s := create(t, f, sized(100))
	c := start(t, "limited", dir, s.Handle, "4095", "200") // the last line feed fails, and stood there before
	if got := c.line(); got != "EFBIG" {
		t.Fatalf("saved with %q; want EFBIG", got)
	}
	c.end(t)
	file, err := os.ReadFile(s.Path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(file, []byte(sized(200))) {
		t.Fatal("the record was not written in full, so that this proves nothing")
	}
	holds(t, f, s.Handle, 1, sized(100))
	if s, err := f.Update(s.Handle, false, save(sized(300))); err != nil || s.Version != 2 {
		t.Errorf("the next save: %+v, %v; want version 2", s, err)
	}
}
