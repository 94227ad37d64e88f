package file

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cgisession/store"
)

// sector is the least that a disk writes as a whole, in bytes.
const sector = 512

// memoryDir returns a new directory, in memory if the system has such a file
// system: what is synced thousands of times here needs no disk.
func memoryDir(t testing.TB) string {
	t.Helper()
	if err := CheckMemory("/dev/shm"); err != nil {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "store-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// A layout is one session's file over many saves.
type layout struct {
	t       *testing.T
	f       *Store
	handle  string
	largest int // bytes of the longest record so far
}

func newLayout(t *testing.T) *layout {
	f := Open(Config{Dir: memoryDir(t)}, store.Options{MaxSize: 1 << 20})
	t.Cleanup(func() { f.Close() })
	return &layout{t: t, f: f, handle: store.Handle("layout", store.NewID())}
}

// file returns the file as it is, empty if there is none.
func (l *layout) file() []byte {
	l.t.Helper()
	text, err := os.ReadFile(l.f.Path(l.handle))
	if err != nil && !os.IsNotExist(err) {
		l.t.Fatal(err)
	}
	return text
}

// A step is one save: what it must write, and what the file held before.
type step struct {
	before, after []byte
	old, next     located
	err           error  // of the record before
	from          int    // where the write began
	block         []byte // what was written there, in one pwrite
}

// save stores data and checks the file against the rules of the layout.
func (l *layout) save(data store.Data, outcome store.Outcome) step {
	l.t.Helper()
	s := step{before: l.file()}
	s.old, s.err = current(s.before)
	session, err := l.f.Update(l.handle, true, func(s *store.Session) (store.Outcome, error) {
		s.Data = data
		return outcome, nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	s.after = l.file()
	if s.next, err = current(s.after); err != nil {
		l.t.Fatalf("after the save: %v", err)
	}
	if s.next.version != s.old.version+1 || !bytes.Equal(s.next.data, data) || session.Version != s.next.version {
		l.t.Fatalf("stored version %d, %d bytes of data; want %d, %d", s.next.version, len(s.next.data), s.old.version+1, len(data))
	}
	if again, err := l.f.Read(l.handle, store.Peek); err != nil || again.Version != s.next.version || !bytes.Equal(again.Data, data) {
		l.t.Fatalf("reads back as %+v, %v", again, err)
	}

	line := s.after[s.next.begin:s.next.end]
	at := nextPlacement(s.old, len(line), len(s.before))
	if at.begin != s.next.begin {
		l.t.Fatalf("record at %d; place says %d", s.next.begin, at.begin)
	}
	if at.begin > 0 && s.next.end != max(pages(len(s.before)), at.to) {
		l.t.Fatalf("record from %d to %d of %d: neither first nor last", s.next.begin, s.next.end, len(s.after))
	}
	if at.from < s.old.end && at.to > s.old.begin {
		l.t.Fatalf("written from %d to %d: over the current record at %d to %d", at.from, at.to, s.old.begin, s.old.end)
	}
	s.from, s.block = at.from, padded(at.begin-at.from, slices.Clone(line), at.to-s.next.end)
	written := overlaid(s.before, s.from, s.block)
	if outcome == store.Save && !bytes.HasPrefix(written, s.after) {
		l.t.Fatalf("the save wrote more than its bytes from %d to %d", at.from, at.to)
	}

	// The session and its file's size, whatever came before.
	l.largest = max(l.largest, len(line))
	switch n := len(s.after); {
	case n%page != 0 || session.Size != int64(n):
		l.t.Fatalf("file of %d bytes, said to be %d", n, session.Size)
	case n > 3*l.largest+page:
		l.t.Fatalf("file of %d bytes for records of %d at most", n, l.largest)
	case n != page && l.largest <= page/3:
		l.t.Fatalf("file of %d bytes for records that fit in a page thrice", n)
	case n > max(2*pages(len(line)), pages(s.next.end)):
		l.t.Fatalf("file of %d bytes was not cut for a record of %d that ends at %d", n, len(line), s.next.end)
	}
	return s
}

// overlaid returns file with text at begin.
func overlaid(file []byte, begin int, text []byte) []byte {
	file = append(slices.Clone(file), make([]byte, max(0, begin+len(text)-len(file)))...)
	copy(file[begin:], text)
	return file
}

// holds reports whether file holds the record before the save, or the one after.
func (s step) holds(file []byte) (old, next bool) {
	at, err := current(file)
	is := func(r record, want error) bool {
		return err == want && at.version == r.version && bytes.Equal(at.data, r.data)
	}
	return is(s.old.record, s.err), is(s.next.record, nil)
}

// torn checks that the save, stopped after any number of bytes, leaves the old
// head or, once all of it is written, the new one. all tries every number.
func (s step) torn(t *testing.T, all bool) {
	t.Helper()
	line := s.after[s.next.begin:s.next.end]
	begin, end := s.next.begin-s.from, s.next.end-s.from // of the record in the block
	image := overlaid(s.before, s.from, nil)
	stride := max(97, len(s.block)/20)
	for n := range len(s.block) + 1 {
		if n > 0 {
			image = append(image, make([]byte, max(0, s.from+n-len(image)))...)
			image[s.from+n-1] = s.block[n-1]
		}
		edge := n < 16 || n > begin && n < begin+16 || n > end-32 && n < end+4 || n == len(s.block)
		if !all && !edge && n%stride != 0 {
			continue
		}
		// The last bytes may have been there before.
		complete := len(image) >= s.next.end && bytes.Equal(image[s.next.begin:s.next.end], line)
		if old, next := s.holds(image); next != complete || old == complete {
			t.Fatalf("%d of %d bytes written at %d: %.80s", n, len(s.block), s.from, verdict(current(image)))
		}
	}
}

// sectors checks that a disk which wrote only some of the sectors still holds
// the old record or the new. all tries all subsets, for a file of one page.
func (s step) sectors(t *testing.T, rng *rand.Rand, all bool) {
	t.Helper()
	if s.err != nil {
		return // nothing is stored yet, so nothing can be lost
	}
	written := overlaid(s.before, s.from, s.block)
	first, last := s.from/sector, (s.from+len(s.block)-1)/sector
	all = all && len(written) == page
	tries := 4
	if all {
		tries = 1 << (last - first + 1)
	}
	for subset := range tries {
		image := overlaid(s.before, len(written), nil)
		if !all && rng.IntN(2) == 1 {
			image = image[:len(s.before)] // the new size did not get there
		}
		for i := first; i <= last; i++ {
			here := subset>>(i-first)&1 == 1
			if !all {
				here = rng.IntN(2) == 1
			}
			if from := i * sector; here && from < len(image) {
				copy(image[from:min(from+sector, len(image))], written[from:])
			}
		}
		if old, next := s.holds(image); !old && !next {
			t.Fatalf("some sectors from %d to %d written: %.80s", first, last, verdict(current(image)))
		}
	}
}

// wiped checks that only the new record is left, and that it counts while the rest is
// overwritten.
func (s step) wiped(t *testing.T) {
	t.Helper()
	if rest := slices.Concat(s.after[:s.next.begin], s.after[s.next.end:]); strings.Trim(string(rest), "\n") != "" {
		t.Fatalf("left beside the record: %.80q", rest)
	}
	image := overlaid(s.before, s.from, s.block)
	for n := range image {
		if n >= s.next.begin && n < s.next.end {
			continue
		}
		image[n] = '\n'
		if n%509 != 0 && n != s.next.begin-1 {
			continue
		}
		if _, next := s.holds(image); !next {
			t.Fatalf("wiped up to %d: %.80s", n, verdict(current(image)))
		}
	}
}

// randomData returns data of about n bytes. Some of it looks like a record.
func randomData(rng *rand.Rand, n int) store.Data {
	b := fmt.Appendf(nil, `{"%d":"`, rng.Uint32())
	for len(b) < n {
		switch rng.IntN(20) {
		case 0:
			b = append(b, `{\"crc\":\"`...)
		case 1:
			b = append(b, `\n`...)
		default:
			b = append(b, byte('a'+rng.IntN(26)))
		}
	}
	return append(b, `"}`...)
}

// sizes are kinds of sessions: how many bytes of data the next save has.
var sizes = []struct {
	name  string
	saves int
	next  func(*rand.Rand) int
}{
	{"tiny", 30, func(rng *rand.Rand) int { return 1 + rng.IntN(60) }},
	{"small", 30, func(rng *rand.Rand) int { return 1 + rng.IntN(1200) }},
	{"a page", 30, func(rng *rand.Rand) int { return 1 + rng.IntN(page) }},
	{"around a page", 30, func(rng *rand.Rand) int { return page - 200 + rng.IntN(400) }},
	{"any", 40, func(rng *rand.Rand) int { return 1 + rng.IntN(20_000) }},
	{"mostly small", 30, func(rng *rand.Rand) int {
		if rng.IntN(6) == 0 {
			return 20_000
		}
		return 1 + rng.IntN(200)
	}},
	{"growing", 30, func() func(*rand.Rand) int {
		n := 0
		return func(rng *rand.Rand) int { n += rng.IntN(500); return n }
	}()},
}

func TestSaveLayout(t *testing.T) {
	for i, kind := range sizes {
		t.Run(kind.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			for round := range 2 {
				l := newLayout(t)
				if round == 1 { // after a first save that failed
					l.plant(t, record{version: 9, created: 1, data: randomData(rng, rng.IntN(9000))}.encode())
				}
				for n := range kind.saves {
					outcome := store.Save
					if rng.IntN(8) == 0 {
						outcome = store.Wipe
					}
					s := l.save(randomData(rng, kind.next(rng)), outcome)
					some := n%20 == 10
					s.torn(t, some && len(s.block) <= page)
					s.sectors(t, rng, some)
					if outcome == store.Wipe {
						s.wiped(t)
					}
				}
			}
		})
	}
}

// plant puts the first part of a record, without its line feed, where the
// session's file belongs.
func (l *layout) plant(t *testing.T, line []byte) {
	t.Helper()
	path := l.f.Path(l.handle)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, line[:len(line)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	l.largest = len(line)
}

// TestEveryPrefixOfLongSaves is torn in full for files of many pages.
func TestEveryPrefixOfLongSaves(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	l := newLayout(t)
	for _, n := range []int{10_000, 3000, 12_000, 50, 9000} {
		l.save(randomData(rng, n), store.Save).torn(t, true)
	}
}

// TestShrink has a session that was large once.
func TestShrink(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 3))
	for _, large := range []int{8200, 20_000, 200_000} {
		l := newLayout(t)
		for range 3 {
			l.save(randomData(rng, large), store.Save)
		}
		for range 2 {
			l.save(randomData(rng, 100), store.Save)
		}
		if n := len(l.file()); n > 2*page {
			t.Errorf("%d bytes long after two small saves; it was %d once", n, large)
		}
	}
}

// TestSlack has a file of exactly twice the size that the session needs. It is not cut,
// so that a session that grows and shrinks does not need new blocks all the time.
func TestSlack(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 5))
	l := newLayout(t)
	for _, n := range []int{3000, 3000, 100, 100, 3000, 100} {
		l.save(randomData(rng, n), store.Save)
	}
	if n := len(l.file()); n != 2*page {
		t.Errorf("%d bytes long; want %d", n, 2*page)
	}
}

// TestSnapshotOfReplacedFile reads an open file that its name no longer leads to.
func TestSnapshotOfReplacedFile(t *testing.T) {
	for name, replace := range map[string]func(path string) error{
		"removed": os.Remove,
		"moved":   func(path string) error { return os.Rename(path, path+"x") },
		"another": func(path string) error {
			if err := os.Rename(path, path+"x"); err != nil {
				return err
			}
			return os.WriteFile(path, nil, 0o600)
		},
	} {
		l := newLayout(t)
		l.save(store.Data(`{"a":1}`), store.Save)
		shard, err := l.f.openShard(l.handle, false)
		if err != nil {
			t.Fatal(err)
		}
		e := &entry{f: l.f, handle: l.handle, shard: shard, fd: -1, release: func() {}}
		if err := e.open(os.O_RDONLY); err != nil {
			t.Fatal(err)
		}
		if text, err := e.stable(); err != nil {
			t.Errorf("%q, %v", text, err)
		}
		if err := replace(l.f.Path(l.handle)); err != nil {
			t.Fatal(err)
		}
		if text, err := e.stable(); err != errReplaced {
			t.Errorf("%s: %q, %v; want %v", name, text, err, errReplaced)
		}
		e.close()
	}
}

// TestTombstoneOfItself has the state that a crash in the middle of a move with a grace
// leaves: a tombstone at the new handle that leads to itself. It is not a session, and
// one can be created there.
func TestTombstoneOfItself(t *testing.T) {
	l := newLayout(t)
	future := time.Now().Add(time.Hour).Unix()
	l.plant(t, append(record{version: 1, created: 1, movedTo: l.handle, until: future}.encode(), 'x'))
	for _, how := range []store.Reading{store.Touch, store.Peek, store.Snapshot} {
		if s, err := l.f.Read(l.handle, how); err != store.ErrNotFound {
			t.Errorf("Read %d = %+v, %v; want %v", how, s, err, store.ErrNotFound)
		}
	}
	if s, err := l.f.Update(l.handle, true, func(s *store.Session) (store.Outcome, error) { return store.Save, nil }); err != nil || s.Version != 1 {
		t.Errorf("Update = %+v, %v; want a new session", s, err)
	}
}

// TestPlace tests nextPlacement beside every record in a file of a few pages.
func TestPlace(t *testing.T) {
	lengths := []int{1, 90, 100, 101, 1365, 1366, 2047, 2048, 2049, page - 1, page, page + 1, 3 * page}
	for _, begin := range []int{0, 1, 99, 100, 101, 2048, page - 1, page, page + 1, 2*page + 100} {
		for _, current := range lengths {
			at := located{record{version: 1}, begin, begin + current}
			for _, more := range []int{0, page, 3 * page} {
				size := pages(at.end) + more
				for _, length := range lengths {
					p := nextPlacement(at, length, size)
					if p.to-p.from < length || p.from < at.end && p.to > at.begin || p.begin < p.from || p.begin+length > p.to {
						t.Errorf("%d bytes beside %d to %d: %+v", length, at.begin, at.end, p)
					}
					if first := length <= at.begin; first != (p.begin == 0) || !first && (p.from != at.end || p.begin+length != p.to || p.to%page != 0) {
						t.Errorf("%d bytes beside %d to %d: %+v", length, at.begin, at.end, p)
					}
					// A file grows only where the record fits on neither side, and no more than it must.
					if fits := length <= max(at.begin, size-at.end); p.begin > 0 && fits != (p.to == size) || p.to > size && p.to != pages(at.end+length) {
						t.Errorf("%d bytes beside %d to %d of %d: %+v", length, at.begin, at.end, size, p)
					}
				}
			}
		}
	}
}

// TestCreatedInFuture has a session from before the clock was set back. The next change
// stores the present as its time of creation, and nothing that the change did not
// return.
func TestCreatedInFuture(t *testing.T) {
	for _, outcome := range []store.Outcome{store.Keep, store.Save} {
		l := newLayout(t)
		l.save(store.Data(`{"a":1}`), store.Save)
		future := time.Now().Add(time.Hour).Unix()
		file := record{version: 5, created: future, user: "alice", data: store.Data(`{"a":1}`)}.encode()
		if err := os.WriteFile(l.f.Path(l.handle), file, 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := l.f.Read(l.handle, store.Peek); err != nil || s.Created != future {
			t.Fatalf("Read = %+v, %v", s, err)
		}
		_, err := l.f.Update(l.handle, false, func(s *store.Session) (store.Outcome, error) {
			s.User, s.Data = "bob", store.Data(`{"a":2}`)
			return outcome, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		want := map[store.Outcome]string{store.Keep: `version 6 {"a":1} of alice`, store.Save: `version 6 {"a":2} of bob`}[outcome]
		at, err := current(l.file())
		if got := verdict(at, err); got != want || at.created > time.Now().Unix() {
			t.Errorf("outcome %d: %s, created %d; want %s", outcome, got, at.created, want)
		}
	}
}

// TestAccessChangesNoByte runs every call that only marks the access.
func TestAccessChangesNoByte(t *testing.T) {
	l := newLayout(t)
	l.save(store.Data(`{"a":1}`), store.Save)
	l.save(store.Data(`{"a":2}`), store.Save)
	before := l.file()
	past := time.Now().Add(-time.Hour).Truncate(time.Second)
	for name, access := range map[string]func() error{
		"Touch": func() error { _, err := l.f.Read(l.handle, store.Touch); return err },
		"Keep": func() error {
			_, err := l.f.Update(l.handle, false, func(s *store.Session) (store.Outcome, error) {
				s.Data = store.Data(`{"a":3}`)
				return store.Keep, nil
			})
			return err
		},
	} {
		if err := os.Chtimes(l.f.Path(l.handle), past, past); err != nil {
			t.Fatal(err)
		}
		if err := access(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(l.file(), before) {
			t.Errorf("%s changed the file", name)
		}
		if info, err := os.Stat(l.f.Path(l.handle)); err != nil || !info.ModTime().After(past.Add(time.Minute)) {
			t.Errorf("%s: modification time %v, %v; want now", name, info.ModTime(), err)
		}
	}
}
