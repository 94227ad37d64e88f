package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cgisession/store"
	"cgisession/store/storetest/oracle"
)

const goldenDir = "../../testdata/sessions"

// A golden is a session's file with the result that want.txt lists for it.
type golden struct {
	name string
	file []byte
	want string
}

// goldens returns all session files in testdata, each with its verdict.
func goldens(t testing.TB) (all []golden) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(goldenDir, "want.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		name, want, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !ok || name == "#" {
			continue
		}
		file, err := os.ReadFile(filepath.Join(goldenDir, name))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, golden{name, file, want})
		names = append(names, filepath.Join(goldenDir, name))
	}
	files, _ := filepath.Glob(filepath.Join(goldenDir, "*.session"))
	slices.Sort(names)
	if !slices.Equal(names, files) {
		t.Fatalf("want.txt is about %q, but there are %q", names, files)
	}
	return all
}

// verdict returns the result of current in the form of want.txt.
func verdict(at located, err error) string {
	switch {
	case err == store.ErrNotFound:
		return "none"
	case err == store.ErrCorrupt:
		return "corrupt"
	case err != nil:
		return err.Error()
	case at.movedTo != "":
		return fmt.Sprintf("moved %s %d", at.movedTo, at.until)
	case at.user != "":
		return fmt.Sprintf("version %d %s of %s", at.version, at.data, at.user)
	}
	return fmt.Sprintf("version %d %s", at.version, at.data)
}

func TestGoldenDecoded(t *testing.T) {
	for _, g := range goldens(t) {
		before := string(g.file)
		at, err := current(g.file)
		if got := verdict(at, err); got != g.want {
			t.Errorf("%s: %s; want %s", g.name, got, g.want)
		}
		if string(g.file) != before {
			t.Errorf("%s: reading changed the text", g.name)
		}
		if err == nil && at.created != 1764000000 {
			t.Errorf("%s: created %d", g.name, at.created)
		}
	}
}

// TestGoldenStored puts each golden file where a session's file belongs.
func TestGoldenStored(t *testing.T) {
	for _, g := range goldens(t) {
		if strings.HasPrefix(g.want, "moved ") {
			continue // leads to a session that is not there
		}
		for _, invalidate := range []bool{false, true} {
			f := Open(Config{Dir: t.TempDir()}, store.Options{MaxSize: 1 << 20, InvalidateCorrupt: invalidate})
			h := store.Handle("golden", store.NewID())
			if err := os.Mkdir(filepath.Dir(f.Path(h)), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(f.Path(h), g.file, 0o600); err != nil {
				t.Fatal(err)
			}
			wantErr := map[string]error{"none": store.ErrNotFound, "corrupt": store.ErrCorrupt}[g.want]
			if wantErr == store.ErrCorrupt && invalidate {
				wantErr = store.ErrInvalidated
			}
			for _, how := range []store.Reading{store.Peek, store.Snapshot, store.Touch} {
				s, err := f.Read(h, how)
				if !errors.Is(err, wantErr) || err == nil && verdict(located{record: record{version: s.Version, user: s.User, data: s.Data}}, nil) != g.want {
					t.Errorf("%s, invalidate %v: Read %d = %+v, %v; want %s", g.name, invalidate, how, s, err, g.want)
				}
				if wantErr != nil && err == nil {
					t.Errorf("%s: Read %d = %+v; want %v", g.name, how, s, wantErr)
				}
			}
			if file, _ := os.ReadFile(f.Path(h)); !bytes.Equal(file, g.file) {
				t.Errorf("%s: reading changed the file", g.name)
			}

			s, err := f.Update(h, true, func(s *store.Session) (store.Outcome, error) {
				s.Data = store.Data(`{"next":1}`)
				return store.Save, nil
			})
			file, readErr := os.ReadFile(f.Path(h))
			switch {
			case wantErr == store.ErrCorrupt:
				if !errors.Is(err, store.ErrCorrupt) || !bytes.Equal(file, g.file) {
					t.Errorf("%s: Update = %+v, %v; want %v and the same file", g.name, s, err, store.ErrCorrupt)
				}
			case wantErr == store.ErrInvalidated:
				if !errors.Is(err, store.ErrInvalidated) || !os.IsNotExist(readErr) {
					t.Errorf("%s: Update = %+v, %v, file: %v; want %v and no file", g.name, s, err, readErr, store.ErrInvalidated)
				}
			default:
				var before uint64
				fmt.Sscanf(g.want, "version %d", &before)
				if err != nil || s.Version != before+1 {
					t.Errorf("%s: Update = %+v, %v; want version %d", g.name, s, err, before+1)
				}
				if at, err := current(file); err != nil || at.version != before+1 || string(at.data) != `{"next":1}` {
					t.Errorf("%s: the file then holds %s", g.name, verdict(at, err))
				}
			}
		}
	}
}

// TestEncodeIsStable pins the format, with checksums of another program.
func TestEncodeIsStable(t *testing.T) {
	for _, tt := range []struct {
		r    record
		name string
	}{
		{record{version: 7, created: 1764000000, data: store.Data(`{"user":"alice","cart":["x","y"],"n":0.10}`)}, "bare.session"},
		{record{
			version: 3, created: 1764000000, user: "ann", data: store.Data(`{"a":1}`),
			old: []store.OldKey{{Key: "abcdefghijklmnopqrstuvwxyz0123456789ABC-_DE", Until: 1764000060}, {Key: "other", Until: 4102444800}},
		}, "old.session"},
		{record{
			version: 3, created: 1764000000, user: "ann", name: "appA", note: "a\x1b\"ë\ufffd", data: store.Data(`{"a":1}`),
		}, "note.session"},
		{record{version: 1, created: 1764000000, movedTo: "ab" + strings.Repeat("0123456789", 6) + "cd", until: 1764000061}, "tombstone.session"},
	} {
		want, err := os.ReadFile(filepath.Join(goldenDir, tt.name))
		if err != nil {
			t.Fatal(err)
		}
		if got := tt.r.encode(); string(got) != strings.TrimRight(string(want), "\n")+"\n" {
			t.Errorf("encode = %q; want %q", got, want)
		}
	}
	// The check value of CRC-32C.
	if sum := checksum([]byte("123456789")); string(sum[:]) != "e3069283" {
		t.Errorf("checksum of 123456789 = %s", sum)
	}
}

// begun matches what a crash leaves of a first save, with what a power cut has not written.
var begun = regexp.MustCompile(`(?s)^\x00*(|\{|\{"|\{"c|\{"cr|\{"crc|\{"crc"|\{"crc":|\{"crc":".*)\x00*$`)

// withoutLine is the rule for a file without a line feed.
func withoutLine(file []byte) string {
	if begun.Match(file) {
		return "none"
	}
	return "corrupt"
}

// newest is the rule for a file that was damaged, without the decoder's own
// logic: of those lines that are still there byte for byte, the highest version.
func newest(file []byte, versions map[string]uint64) string {
	if !bytes.Contains(file, []byte("\n")) {
		return withoutLine(file)
	}
	best, highest := "corrupt", uint64(0)
	for line := range bytes.Lines(file) {
		version, ok := versions[string(line)]
		if ok && version > highest {
			best, highest = fmt.Sprintf("version %d %s", version, dataOf(line)), version
		}
	}
	return best
}

// dataOf cuts the data out of a line that encode made.
func dataOf(line []byte) []byte {
	_, rest, _ := bytes.Cut(line, []byte(`"data":`))
	return rest[:len(rest)-2]
}

// sampleFiles are a session's files in all layouts that a save leaves, but for
// less padding, with the version of each line.
func sampleFiles() (files [][]byte, versions map[string]uint64) {
	old := record{version: 9, created: 1764000000, data: store.Data(`{"user":"alice","s":"\u00e9\n","n":[1,2,{"a":null}]}`)}.encode()
	next := record{version: 10, created: 1764000000, data: store.Data(`{"user":"bob","n":[]}`)}.encode()
	versions = map[string]uint64{string(old): 9, string(next): 10}
	return [][]byte{
		slices.Concat(old),
		padded(0, slices.Clone(old), 300),
		slices.Concat(old, padded(200, slices.Clone(next), 0)), // newer last
		slices.Concat(padded(0, slices.Clone(next), 40), padded(200, slices.Clone(old), 0)), // newer first
		padded(0, slices.Concat(old, next), 300),                                            // as earlier programs left it
		padded(0, slices.Concat(next, old), 300),
	}, versions
}

// probe compares the decoder's result for a damaged file with the rule.
func check(t *testing.T, file []byte, versions map[string]uint64, what string, a ...any) {
	t.Helper()
	at, err := current(file)
	if got, want := verdict(at, err), newest(file, versions); got != want {
		t.Errorf("%s: %s; want %s", fmt.Sprintf(what, a...), got, want)
	}
	if err == nil && versions[string(file[at.begin:at.end])] != at.version {
		t.Errorf("%s: found at %d to %d", fmt.Sprintf(what, a...), at.begin, at.end)
	}
}

func TestFileCutAtEveryByte(t *testing.T) {
	files, versions := sampleFiles()
	for i, file := range files {
		for n := range len(file) + 1 {
			check(t, file[:n:n], versions, "file %d cut to %d bytes", i, n)
		}
	}
}

// TestRecordCutAtEveryByte says it in plain numbers for the two simplest files.
func TestRecordCutAtEveryByte(t *testing.T) {
	files, _ := sampleFiles()
	one := len(files[0])
	two := len(bytes.TrimRight(files[2], "\n")) + 1
	for n := range len(files[1]) + 1 {
		want := "none"
		if n >= one {
			want = "version 9"
		}
		if got := verdict(current(files[1][:n])); !strings.HasPrefix(got, want) {
			t.Errorf("one record, cut to %d: %s; want %s", n, got, want)
		}
		if n >= two {
			want = "version 10"
		}
		if got := verdict(current(files[2][:n])); !strings.HasPrefix(got, want) {
			t.Errorf("two records, cut to %d: %s; want %s", n, got, want)
		}
	}
}

func TestEveryBitFlipped(t *testing.T) {
	files, versions := sampleFiles()
	for i, file := range files {
		for bit := range 8 * len(file) {
			file[bit/8] ^= 1 << (bit % 8)
			check(t, file, versions, "file %d, bit %d flipped", i, bit)
			file[bit/8] ^= 1 << (bit % 8)
		}
	}
}

// TestEveryByteReplaced sets every byte to those that mean something in a record, and to
// those of a lost block.
func TestEveryByteReplaced(t *testing.T) {
	files, versions := sampleFiles()
	for i, file := range files {
		for n, was := range file {
			for _, b := range []byte{0, '\n', '"', '}', '{', ',', ' ', 0xff} {
				file[n] = b
				check(t, file, versions, "file %d, byte %d set to %q", i, n, b)
			}
			file[n] = was
		}
	}
}

// TestRunsLost zeroes every run of a power of two of bytes.
func TestRunsLost(t *testing.T) {
	files, versions := sampleFiles()
	for i, whole := range files {
		for length := 2; length <= 512; length *= 2 {
			for n := 0; n+length <= len(whole); n += max(1, length/16) {
				file := slices.Clone(whole)
				clear(file[n : n+length])
				check(t, file, versions, "file %d, %d bytes at %d zeroed", i, length, n)
			}
		}
	}
}

// TestNeverStored puts together files without a line feed from what a first save writes, what
// a power cut leaves and what another program writes: whatever another program wrote is no
// first save, and is not written over.
func TestNeverStored(t *testing.T) {
	line := record{version: 1, created: 1764000000, data: store.Data(`{"a":"\u0000"}`)}.encode()
	line = line[:len(line)-1]
	verdicts := map[string]int{}
	parts := [][]byte{nil, {0}, make([]byte, 4096), []byte("x"), []byte(" "), []byte("hello world"), {0xff}, []byte(`{"crc":`), []byte("{}")}
	for n := range len(line) + 1 {
		for _, before := range parts {
			for _, after := range parts {
				file := slices.Concat(before, line[:n], after)
				at, err := current(file)
				got, want := verdict(at, err), withoutLine(file)
				if got != want {
					t.Errorf("%.60q: %s; want %s", file, got, want)
				}
				verdicts[got]++
			}
		}
	}
	if verdicts["none"] == 0 || verdicts["corrupt"] == 0 || len(verdicts) != 2 {
		t.Errorf("verdicts: %v", verdicts)
	}
}

// TestLastVersion: the last version that counts can be read, moved and ended, but not saved over:
// the version that follows would not count.
func TestLastVersion(t *testing.T) {
	l := newLayout(t)
	l.mendable(0o600, time.Now(), record{version: math.MaxUint64 - 1, created: 1, data: store.Data(`{"a":1}`)}.encode())
	before := l.file()
	for _, outcome := range []store.Outcome{store.Save, store.Wipe} {
		_, err := l.f.Update(l.handle, true, func(s *store.Session) (store.Outcome, error) {
			s.Data = store.Data(`{"a":2}`)
			return outcome, nil
		})
		if !errors.Is(err, store.ErrCorrupt) || !bytes.Equal(l.file(), before) {
			t.Errorf("outcome %d: %v", outcome, err)
		}
	}
	to := store.Handle("layout", store.NewID())
	if s, err := l.f.Move(l.handle, to, 0, nil); err != nil || s.Version != math.MaxUint64-1 {
		t.Errorf("Move = %+v, %v", s, err)
	}
	_, err := l.f.Update(to, false, func(*store.Session) (store.Outcome, error) { return store.Remove, nil })
	if err != nil {
		t.Error(err)
	}
}

// TestVersionsAreNumbers has versions with many digits, up to the largest.
func TestVersionsAreNumbers(t *testing.T) {
	for _, versions := range [][]uint64{{1, 2}, {9, 10}, {99, 100}, {math.MaxUint64 - 2, math.MaxUint64 - 1}, {math.MaxInt64, math.MaxInt64 + 1}} {
		var file []byte
		for _, v := range versions {
			file = append(file, record{version: v, created: 1, data: store.Empty}.encode()...)
		}
		want := fmt.Sprintf("version %d {}", slices.Max(versions))
		if got := verdict(current(file)); got != want {
			t.Errorf("%d: %s; want %s", versions, got, want)
		}
	}
}

func FuzzCurrent(f *testing.F) {
	for _, g := range goldens(f) {
		f.Add(bytes.TrimRight(g.file, "\n"))
		f.Add(g.file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		before := string(file)
		at, err := current(file)
		if string(file) != before {
			t.Fatal("reading changed the text")
		}
		lines := bytes.SplitAfter(file, []byte("\n"))
		lines = lines[:len(lines)-1]
		var highest uint64
		for _, line := range lines {
			if r, ok := decode(line[:len(line)-1]); ok {
				highest = max(highest, r.version)
			}
		}
		switch {
		case len(lines) == 0:
			if got, want := verdict(at, err), withoutLine(file); got != want {
				t.Fatalf("%s of a file without a line; want %s", got, want)
			}
			return
		case highest == 0:
			if err != store.ErrCorrupt {
				t.Fatalf("%s of a file without a record", verdict(at, err))
			}
			return
		case err != nil || at.version != highest:
			t.Fatalf("%s; want version %d", verdict(at, err), highest)
		}
		if at.begin > 0 && file[at.begin-1] != '\n' || bytes.IndexByte(file[at.begin:], '\n') != at.end-1-at.begin {
			t.Fatalf("record at %d to %d is no line", at.begin, at.end)
		}
		again, ok := decode(bytes.TrimSuffix(at.encode(), []byte("\n")))
		if !ok || verdict(located{record: again}, nil) != verdict(at, nil) || again.created != at.created || !slices.Equal(again.old, at.old) {
			t.Fatalf("%+v encoded decodes as %+v, %v", at.record, again, ok)
		}
		if at.data == nil {
			return
		}
		if parsed, err := store.ParseData(at.data); err != nil || !bytes.Equal(parsed, at.data) {
			t.Fatalf("data %q is not what ParseData makes of it: %q, %v", at.data, parsed, err)
		}
	})
}

// FuzzDecode gives every text a right checksum, and lets encoding/json judge it.
func FuzzDecode(f *testing.F) {
	for _, g := range goldens(f) {
		for line := range bytes.Lines(g.file) {
			if line = bytes.TrimSuffix(line, []byte("\n")); len(line) > recordStart {
				f.Add(line[recordStart:])
			}
		}
	}
	for _, seed := range []string{
		`"version":1,"data":{}}`, `"version":1,"created":1,"data":{"a":1e400}}`, `"version":1,"created":-1,"data":{}}`,
		`"version":1,"created":1.5,"data":{}}`, `"version":1,"created":99999999999999999999,"data":{}}`, `"version":18446744073709551616,"data":{}}`,
		`"version":1,"moved":null,"data":{}}`, `"version":1,"data":{},"crc":"01234567"}`, `"version":1,"d\u0061ta":{}}`, `"version":1,"data":{"a":"\ud800"}}`,
		`"version":1,"user":"a\u00e9\n","data":{}}`, `"version":1,"user":1,"data":{}}`, `"version":1,"cookie_name":"a","note":"\u00e9","data":{}}`, `"version":1,"note":{},"data":{}}`, `"version":1,"user":null,"data":{}}`,
		`"version":1,"old":{"a":1e2},"data":{}}`, `"version":1,"old":null,"data":{}}`, `"version":1,"old":{"\u00e9":-1},"data":{}}`,
		`"version":1 ,"data":{}}`, `"version":1,"until":7,"data":{}}`, `"version":1,"data":{}},`, `"version":1,"data":{},}`, `"version":-1,"data":{}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, rest []byte) {
		if bytes.ContainsRune(rest, '\n') {
			return
		}
		sum := checksum(rest)
		line := slices.Concat([]byte(`{"crc":"`), sum[:], []byte(`",`), rest)
		if bytes.Count(line, []byte("{"))+bytes.Count(line, []byte("[")) >= store.MaxDepth {
			return // only that of data is bounded; too-deep.session has that
		}
		r, ok := decode(line)
		want, counts := oracleDecode(line)
		if ok != counts {
			t.Fatalf("decode(%q) = %+v, %v; want %v", line, r, ok, counts)
		}
		if ok && (verdict(located{record: r}, nil) != verdict(located{record: want}, nil) || r.created != want.created ||
			r.name != want.name || r.note != want.note || !sameKeys(r.old, want.old)) {
			t.Fatalf("decode(%q) = %+v; want %+v", line, r, want)
		}
		if line[8] ^= 1; ok {
			if _, ok := decode(line); ok {
				t.Fatalf("%q counts with a wrong checksum", line)
			}
		}
	})
}

// sameKeys reports whether two lists have the same keys, in any order.
func sameKeys(a, b []store.OldKey) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(key store.OldKey) bool { return !slices.Contains(b, key) })
}

// oracleDecode reads a line with encoding/json: one strict object, whose first
// two members are crc and version.
func oracleDecode(line []byte) (r record, ok bool) {
	var members map[string]json.RawMessage
	if !oracle.StrictJSON(line, store.MaxDepth) || json.Unmarshal(line, &members) != nil || line[len(line)-1] != '}' {
		return r, false
	}
	head, _, _ := bytes.Cut(line[recordStart:], []byte(","))
	digits, isVersion := bytes.CutPrefix(head, []byte(`"version":`))
	version, err := strconv.ParseUint(string(digits), 10, 64)
	if !isVersion || err != nil || version == 0 || version == math.MaxUint64 {
		return r, false
	}
	r.version = version
	for name, number := range map[string]*int64{"created": &r.created, "until": &r.until} {
		if value, has := members[name]; has && (string(value) == "null" || json.Unmarshal(value, number) != nil) {
			return r, false
		}
	}
	for name, text := range map[string]*string{"user": &r.user, "cookie_name": &r.name, "note": &r.note} {
		if value, has := members[name]; has && (string(value) == "null" || json.Unmarshal(value, text) != nil) {
			return r, false
		}
	}
	if value, has := members["old"]; has {
		var keys map[string]json.RawMessage
		if string(value) == "null" || json.Unmarshal(value, &keys) != nil {
			return r, false
		}
		for key, number := range keys {
			var until int64
			if string(number) == "null" || json.Unmarshal(number, &until) != nil {
				return r, false
			}
			if until > time.Now().Unix() {
				r.old = append(r.old, store.OldKey{Key: key, Until: until})
			}
		}
	}
	data, isSession := members["data"]
	moved, isTombstone := members["moved"]
	if isSession == isTombstone {
		return r, false
	}
	if isTombstone {
		err := json.Unmarshal(moved, &r.movedTo)
		return r, err == nil && len(r.movedTo) == 64 && strings.Trim(r.movedTo, "0123456789abcdef") == ""
	}
	var compact bytes.Buffer
	if json.Compact(&compact, data) != nil || !bytes.Equal(compact.Bytes(), data) || data[0] != '{' {
		return r, false
	}
	r.data = store.Data(data)
	return r, true
}
