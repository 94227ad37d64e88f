package cmd_test

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
)

// Faults are injected into a real process by strace(1), one system call at a
// time: the Nth call of a kind is answered with an error, or ended by SIGKILL.
// The signal comes at the entry of the call, before it takes effect, so that a
// kill at a call is a kill right after the one before. strace counts the calls of
// each thread for itself.

// A state is what the session's files hold, and what the visitor's id leads to:
// the data of each session, and then "here", if the session is at its own file,
// "moved", if a tombstone leads to it, or "gone".
type state string

const (
	kept    state = `{"n":1,"old":…} here`
	nothing state = `gone`
	anew    state = `{} gone` // another session is there, and it is empty
)

// A victim is a call that changes a session, or makes one, and the states before
// and after it.
type victim struct {
	name         string
	args         []string
	stdin        string
	before, done state
	between      state    // while the old session has ended and the next is not there yet
	commit       []string // the first of these calls to succeed on a session's file does it
	late         []string // calls that do not undo it if they fail after that
	newID        bool     // it prints the cookie of the session's id
	goesOn       bool     // after an error with one file it does what it can with the others
}

func victims() []victim {
	write, rename, unlink := []string{"pwrite64"}, []string{"renameat", "renameat2"}, []string{"unlinkat"}
	two, saved := state(`{"n":2,"old":…} here`), state(`{"new":true} here`)
	return []victim{
		{name: "set", args: []string{"set", "n:=2"}, before: kept, done: two, commit: write},
		{name: "durable set", args: []string{"set", "n:=2", "--durable"}, before: kept, done: two, commit: write},
		{name: "save", args: []string{"save"}, stdin: `{"new":true}`, before: kept, done: saved, commit: write},
		// To blank the older record is the last step: if it fails, the data are deleted all the same.
		{name: "delete", args: []string{"delete"}, before: kept, done: `{} here`, commit: write, late: write},
		{name: "regenerate", args: []string{"regenerate"}, before: kept, done: `{"n":1,"old":…} gone`, commit: rename, newID: true},
		{name: "regenerate with grace", args: []string{"regenerate", "--grace", "1h"}, before: kept, done: `{"n":1,"old":…} moved`, commit: rename, newID: true},
		// What has ended has ended, whatever becomes of the session that follows.
		{name: "invalidate", args: []string{"invalidate"}, before: kept, between: nothing, done: anew, commit: unlink, late: faultyCalls, newID: true},
		{name: "timeout", args: []string{"load", "--timeout", "1h"}, before: kept, between: nothing, done: anew, commit: unlink, late: faultyCalls, newID: true},
		{name: "destroy", args: []string{"destroy", filepath.Base(sessionFile("cgisession_id", cmdtest.Visitor))}, before: kept, done: nothing, commit: unlink, late: []string{"fsync"}},
		{name: "cleanup", args: []string{"cleanup", "--timeout", "1h"}, before: kept, done: nothing, commit: unlink, goesOn: true},
		{name: "first load", args: []string{"load"}, before: nothing, done: anew, commit: write, newID: true},
		{name: "first set", args: []string{"set", "n:=2"}, before: nothing, done: `{"n":2} gone`, commit: write, newID: true},
		{name: "first durable set", args: []string{"set", "n:=2", "--durable"}, before: nothing, done: `{"n":2} gone`, commit: write, newID: true},
	}
}

// grace reports whether the victim leaves the session's old id in power.
func (v victim) grace() bool { return slices.Contains(v.args, "--grace") }

// creates reports whether the victim makes a file.
func (v victim) creates() bool { return v.newID && v.name != "regenerate" }

// faultyCalls are the system calls by which the program acts on files.
var faultyCalls = []string{
	"openat", "pwrite64", "ftruncate", "fdatasync", "fsync", "renameat", "renameat2", "unlinkat", "flock", "utimensat",
	"mkdirat", "pread64", "fstat", "newfstatat", "fchmod", "getdents64", "close",
}

// maxCalls bounds how often a call is looked for in one process.
const maxCalls = 40

// sizes are those of a session that has one page, and of one that is synced at
// each save.
func sizes() map[string]string {
	return map[string]string{"one page": "x", "many pages": strings.Repeat("y", 9000)}
}

func TestKilledAtEverySystemCall(t *testing.T) {
	needStrace(t)
	forEachVictim(t, func(t *testing.T, p prepared) {
		kills := 0
		p.forEachCall(t, append([]string{"write"}, faultyCalls...), func(call string, n int) bool {
			r := p.restore(t)
			got, trace := r.injected(t, p.victim, call, fmt.Sprintf("signal=KILL:when=%d", n))
			if got.Code != 128+9 {
				return false // there is no Nth call of the kind
			}
			kills++
			where := fmt.Sprintf("killed at %s %d", call, n)
			p.checkState(t, r, where, p.afterKill(trace, call))
			p.checkLeft(t, r, where, p.creates())
			r.checkNextRun(t, where)
			return true
		})
		if kills == 0 {
			t.Error("nothing was killed")
		}
		t.Logf("%d kills", kills)
	})
}

func TestErrorAtEverySystemCall(t *testing.T) {
	needStrace(t)
	forEachVictim(t, func(t *testing.T, p prepared) {
		failures := 0
		for _, errno := range errnos(p) {
			p.forEachCall(t, faultyCalls, func(call string, n int) bool {
				r := p.restore(t)
				got, trace := r.injected(t, p.victim, call, fmt.Sprintf("error=%s:when=%d", errno, n))
				if len(trace.failed) == 0 {
					return false
				}
				where := fmt.Sprintf("%s at %s %d", errno, call, n)
				if got.Code != 0 {
					failures++
					checkFailure(t, where, got)
				}
				checkReported(t, where, errno, trace, got)
				if len(trace.failed) == 1 { // not in two threads, each of which has an Nth call
					p.checkState(t, r, where, p.afterError(trace, call, got.Code))
				}
				if got.Code == 0 && p.newID {
					p.checkPrinted(t, r, where, got)
				}
				// What failed may fail again where it is to be taken back: each thread has an Nth call.
				p.checkLeft(t, r, where, p.creates() && len(trace.failed) > 1)
				r.checkNextRun(t, where)
				return true
			})
		}
		if failures == 0 {
			t.Error("nothing failed")
		}
		t.Logf("%d failures", failures)
	})
}

// errnos are the errors to inject: for the large session those that a longer way
// may meet, and with -short one.
func errnos(p prepared) []string {
	all := []string{"EIO", "EINTR", "ENOSPC", "EROFS", "EDQUOT", "ENOLCK", "EMFILE"}
	switch {
	case testing.Short():
		return all[:1]
	case len(p.filling) > 1:
		return all[:3]
	}
	return all
}

// forEachVictim runs a test for each victim and each size, with -short for two of
// them.
func forEachVictim(t *testing.T, test func(*testing.T, prepared)) {
	for _, v := range victims() {
		for name, filling := range sizes() {
			if v.before == nothing && len(filling) > 1 {
				continue // there is no session that could be large
			}
			if testing.Short() && (len(filling) > 1 || v.name != "set" && v.name != "regenerate with grace") {
				continue
			}
			t.Run(v.name+", "+name, func(t *testing.T) {
				t.Parallel()
				test(t, rehearse(t, v, filling))
			})
		}
	}
}

func needStrace(t *testing.T) {
	t.Helper()
	if err := exec.Command("strace", "-qq", "-o", os.DevNull, "true").Run(); err != nil {
		t.Skipf("strace does not work here: %v", err)
	}
}

// A prepared victim has the file of its session, from which each run begins, and
// if it was rehearsed, the calls that it makes.
type prepared struct {
	victim
	filling string
	text    []byte   // nil: there is no session
	calls   []traced // of a run without a fault
}

// prepare makes a session with two records in its file, for what reads them to
// choose from.
func prepare(t *testing.T, v victim, filling string) prepared {
	t.Helper()
	p := prepared{victim: v, filling: filling}
	if v.before == nothing {
		return p
	}
	r := begin(t, `{"n":0,"old":"`+filling+`"}`)
	if got := r.Call(t, "incr", "n"); got.Code != 0 {
		t.Fatalf("%+v", got)
	}
	id := cmdtest.Visitor
	if v.grace() { // of a user, so that it has the index to keep too
		id = cmdtest.NewIDs(r.Call(t, "regenerate", "--user", "ann").Stdout)[0]
	}
	var err error
	if p.text, err = os.ReadFile(r.file(id)); err != nil {
		t.Fatal(err)
	}
	return p
}

// rehearse is prepare and a run without faults. Of two it takes the longer one: a
// directory that the new id needs may be there by chance.
func rehearse(t *testing.T, v victim, filling string) prepared {
	t.Helper()
	p := prepare(t, v, filling)
	for range 2 {
		r := p.restore(t)
		got, trace := r.injected(t, v, "", "")
		if got.Code != 0 {
			t.Fatalf("%s: %+v", v.name, got)
		}
		p.checkState(t, r, "without a fault", []state{v.done})
		if len(trace.calls) > len(p.calls) {
			p.calls = trace.calls
		}
	}
	return p
}

// forEachCall calls try for the first, second... call of each kind that the
// victim makes, until try reports that there was none. It leaves out those of the
// Go runtime, which come before the first that is about sessions.
func (p prepared) forEachCall(t *testing.T, kinds []string, try func(call string, n int) bool) {
	aboutSessions := func(c traced) bool { return strings.Contains(c.args, "/sessions") }
	start := slices.IndexFunc(p.calls, aboutSessions)
	if start < 0 {
		t.Fatalf("no call is about sessions: %q", p.calls)
	}
	for _, call := range kinds {
		before, all := count(p.calls[:start], call), count(p.calls, call)
		for n := before + 1; all > before && n <= before+maxCalls; n++ {
			if !try(call, n) {
				break
			}
		}
	}
}

// count returns how many of the calls have the name.
func count(calls []traced, name string) (n int) {
	for _, c := range calls {
		if c.name == name {
			n++
		}
	}
	return n
}

// restore returns a request with the prepared session, which was last used two
// hours ago if that is what the victim is about.
func (p prepared) restore(t *testing.T) request { return p.restoreIn(t, t.TempDir()) }

func (p prepared) restoreIn(t *testing.T, dir string) request {
	t.Helper()
	r := in(dir)
	if p.text == nil {
		return r
	}
	r = r.bound(cmdtest.Visitor)
	file := r.file(cmdtest.Visitor)
	err := os.MkdirAll(filepath.Dir(file), 0o700)
	if err == nil {
		err = os.WriteFile(file, p.text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if p.name == "cleanup" || p.name == "timeout" {
		age(t, file)
	}
	return r
}

// injected runs the victim under strace with a fault, if there is one.
func (r request) injected(t *testing.T, v victim, call, fault string) (cmdtest.Ended, trace) {
	t.Helper()
	r = r.with("GOMAXPROCS=2") // else the Go runtime looks at files now and then to find out
	args := []string{"-f", "-y", "-qq", "-o", r.Dir + "/trace", "-e", "trace=write," + strings.Join(faultyCalls, ",")}
	if call != "" {
		args = append(args, "-e", "inject="+call+":"+fault)
	}
	c := r.Command("strace", append(append(args, cmdtest.Program), v.args...)...)
	c.Stdin = strings.NewReader(v.stdin)
	got := cmdtest.Finish(t, c)
	text, err := os.ReadFile(r.Dir + "/trace")
	if err != nil {
		t.Fatal(err)
	}
	return got, readTrace(string(text))
}

// A trace is what strace wrote of the system calls.
type trace struct {
	calls   []traced // in the order in which they ended
	failed  []traced // of them, those that an error was injected into
	pending []string // names of those that did not end
}

// A traced call is one line of strace's: "fsync(6</dir>) = 0".
type traced struct{ name, args, result string }

var tracedLine = regexp.MustCompile(`^(\w+)\((.*)\) += (.*)$`)

// readTrace reads the trace, and puts together what strace parted because
// another thread came between.
func readTrace(text string) (tr trace) {
	begun := make(map[string]string) // by the thread
	for line := range strings.Lines(text) {
		pid, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		rest = strings.TrimLeft(rest, " ")
		if start, ok := strings.CutSuffix(rest, " <unfinished ...>"); ok {
			begun[pid] = start
			continue
		}
		if _, end, ok := strings.Cut(rest, " resumed>"); ok {
			rest = begun[pid] + end
			delete(begun, pid)
		}
		m := tracedLine.FindStringSubmatch(rest)
		if m == nil {
			continue
		}
		c := traced{m[1], m[2], m[3]}
		if c.result == "?" {
			tr.pending = append(tr.pending, c.name)
			continue
		}
		if tr.calls = append(tr.calls, c); strings.Contains(c.result, "(INJECTED)") {
			tr.failed = append(tr.failed, c)
		}
	}
	for _, start := range begun {
		name, _, _ := strings.Cut(start, "(")
		tr.pending = append(tr.pending, name)
	}
	return tr
}

var handleInArgs = regexp.MustCompile(`[0-9a-f]{64}`)

// commits reports whether the call is the one that does what the victim is to do.
func (v victim) commits(c traced) bool {
	return slices.Contains(v.commit, c.name) && handleInArgs.MatchString(c.args) && !strings.HasPrefix(c.result, "-1 ")
}

// ended are the states that the victim may leave once it has committed.
func (v victim) ended() []state {
	if v.between != "" {
		return []state{v.between, v.done}
	}
	return []state{v.done}
}

// afterKill are the states that are allowed after a kill at a call: what was
// there before, until the call that commits has ended, and from then on no more.
func (v victim) afterKill(tr trace, call string) []state {
	switch other := slices.ContainsFunc(tr.pending, func(name string) bool { return name != call && slices.Contains(v.commit, name) }); {
	case slices.ContainsFunc(tr.calls, v.commits):
		return v.ended()
	case other: // another thread was at it
		return append(v.ended(), v.before)
	}
	return []state{v.before}
}

// afterError are the states that are allowed after an error from a call. A
// success has done it. A failure has not, but where the call came too late to
// undo it; then the next session is not there.
func (v victim) afterError(tr trace, call string, code int) []state {
	calls := tr.calls
	if !v.goesOn {
		calls = calls[:slices.Index(calls, tr.failed[0])]
	}
	committed := slices.ContainsFunc(calls, v.commits)
	switch {
	case code == 0:
		return []state{v.done}
	case committed && call == "close" && v.name == "delete": // it closes before it blanks the older record, and after
		return append(v.ended(), v.before)
	case committed && (v.goesOn || slices.Contains(v.late, call)):
		return v.ended()[:1]
	}
	return []state{v.before}
}

// checkFailure checks what a failure says: one line, nothing on stdout, an exit
// code of its kind.
func checkFailure(t *testing.T, where string, got cmdtest.Ended) {
	t.Helper()
	if got.Stdout != "" {
		t.Errorf("%s: stdout %q", where, got.Stdout)
	}
	if strings.Count(got.Stderr, "\n") != 1 || !strings.HasPrefix(got.Stderr, "cgisession: ") {
		t.Errorf("%s: stderr %.200q", where, got.Stderr)
	}
	if got.Code != 74 {
		t.Errorf("%s: exit code %d, %.200q", where, got.Code, got.Stderr)
	}
}

var descriptorInArgs = regexp.MustCompile(`^\d+<[^>]*>`)

// descriptor returns the number and the path of the call's file.
func (c traced) descriptor() string { return descriptorInArgs.FindString(c.args) }

func (c traced) syncs() bool { return c.name == "fsync" || c.name == "fdatasync" }

// checkReported checks that the call which failed was taken for what it is: an
// interruption is no failure; what could not be synced is never stored, and a
// second fsync(2) would only say that it is; nor is what close(2) could not
// write, unless a sync has.
func checkReported(t *testing.T, where, errno string, tr trace, got cmdtest.Ended) {
	t.Helper()
	if errno == "EINTR" {
		if got.Code != 0 {
			t.Errorf("%s: an interruption is no failure: %+v", where, got)
		}
		return
	}
	failed := tr.failed[0]
	at := slices.Index(tr.calls, failed)
	if failed.syncs() {
		again := func(c traced) bool { return c.syncs() && c.descriptor() == failed.descriptor() }
		if slices.ContainsFunc(tr.calls[at+1:], again) {
			t.Errorf("%s: %s is synced again: %q", where, failed.descriptor(), tr.calls[at:])
		}
	}
	if failed.syncs() || failed.name == "close" && unsynced(tr.calls[:at], failed.descriptor()) {
		if got.Code == 0 {
			t.Errorf("%s is not reported: %+v", where, got)
		}
	}
}

// unsynced reports whether the descriptor is a session's, and was written to
// after it was last synced.
func unsynced(calls []traced, descriptor string) (written bool) {
	for _, c := range calls {
		switch {
		case c.descriptor() != descriptor || !handleInArgs.MatchString(descriptor):
		case c.name == "pwrite64":
			written = true
		case c.syncs():
			written = false
		}
	}
	return written
}

// checkState checks that the stored state is one of those that are allowed.
func (p prepared) checkState(t *testing.T, r request, where string, allowed []state) {
	t.Helper()
	if got := r.state(t, where, p.filling); !slices.Contains(allowed, got) {
		t.Errorf("%s: %s: the state is %.200q, want one of %.200q", p.name, where, got, allowed)
	}
}

// state finds out the state.
func (r request) state(t *testing.T, where, filling string) state {
	t.Helper()
	short := strings.NewReplacer(`"old":"`+filling+`"`, `"old":…`)
	var words []string
	live, _ := r.found(t)
	for _, path := range live {
		handle := filepath.Base(path)
		got := r.Call(t, "show", handle, "--data")
		_, data, found := strings.Cut(strings.TrimSuffix(got.Stdout, "}\n"), `"data":`)
		if got.Code != 0 || !found {
			t.Errorf("%s: %s cannot be read: %+v", where, handle, got)
		}
		words = append(words, short.Replace(data))
	}
	slices.Sort(words)
	got := r.with("CGISESSION_ID="+cmdtest.Visitor).Call(t, "get", "--no-lock")
	reached := short.Replace(strings.TrimSuffix(got.Stdout, "\n"))
	switch {
	case got.Code == 1:
		words = append(words, "gone")
	case got.Code != 0 || !slices.Contains(words, reached):
		t.Errorf("%s: the visitor gets %+v, stored is %.200q", where, got, words)
	case slices.Contains(live, r.file(cmdtest.Visitor)):
		words = append(words, "here")
	default:
		words = append(words, "moved")
	}
	return state(strings.Join(words, " "))
}

// found is files for a data directory that may not be there yet.
func (r request) found(t *testing.T) (live, others []string) {
	t.Helper()
	if _, err := os.Lstat(r.Dir + "/sessions"); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return r.files(t)
}

// checkPrinted checks that the cookie which was printed leads to the session.
func (p prepared) checkPrinted(t *testing.T, r request, where string, got cmdtest.Ended) {
	t.Helper()
	ids := cmdtest.NewIDs(got.Stdout)
	if len(ids) != 1 || r.with("CGISESSION_ID="+ids[0]).Call(t, "get").Code != 0 {
		t.Errorf("%s: no cookie of the session: %+v", where, got)
	}
}

// checkLeft checks what is there besides the sessions, before any cleanup. A call
// that did not come to its end may leave these files and no others:
//   - if empty is set, an empty one, of a session or tombstone that it was making;
//   - a tombstone, of regenerate with grace: either where it leads on, or a step
//     before, still at the new name, pointing at itself, which is no session;
//   - an empty entry of the index of users, which finds what is there and no more;
//   - cleanup's note of how far it came.
func (p prepared) checkLeft(t *testing.T, r request, where string, empty bool) {
	t.Helper()
	grace := p.grace()
	_, others := r.found(t)
	for _, path := range others {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		switch name := filepath.Base(path); {
		case name == ".cleanup" && p.name == "cleanup":
		case strings.Contains(path, "/.users/") && grace && len(text) == 0:
		case len(text) == 0 && len(name) == 64 && empty:
		case grace && path == r.file(cmdtest.Visitor) && isTombstone(t, path):
		case grace && pointsAt(text, name):
		default:
			t.Errorf("%s: %s: %s is left, with %.100q", p.name, where, path, text)
		}
	}
}

var (
	movedTo = regexp.MustCompile(`"moved":"([0-9a-f]{64})"`)
	untilAt = regexp.MustCompile(`"until":\d+`)
)

// pointsAt reports whether the text is a tombstone's that leads to the handle.
func pointsAt(text []byte, handle string) bool {
	m := movedTo.FindSubmatch(text)
	return m != nil && string(m[1]) == handle
}

// isTombstone reports whether the file leads to a session's new place.
func isTombstone(t *testing.T, path string) bool {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return movedTo.Match(text) && !pointsAt(text, filepath.Base(path))
}

// checkNextRun checks that the next request works, and that cleanup, once the
// time of all is over, leaves nothing but its own note.
func (r request) checkNextRun(t *testing.T, where string) {
	t.Helper()
	next := in(r.Dir, "CGISESSION_ADOPT_ID="+cmdtest.Visitor)
	if got := next.Call(t, "set", "works=yes"); got.Code != 0 {
		t.Errorf("%s: the next run fails: %+v", where, got)
	}
	live, others := r.files(t)
	for _, path := range append(live, others...) {
		forge(t, path, untilAt, `"until":1000000000`)
		age(t, path)
	}
	var left []string
	for range 2 { // an entry of the index may lead to a file that is removed after it was looked at
		if got := next.Call(t, "cleanup", "--timeout", "1h"); got.Code != 0 {
			t.Errorf("%s: cleanup fails: %+v", where, got)
		}
		left = slices.Concat(r.files(t))
		left = slices.DeleteFunc(left, func(path string) bool { return filepath.Base(path) == ".cleanup" })
		if len(left) == 0 {
			return
		}
	}
	t.Errorf("%s: left after cleanup: %q", where, left)
}

// ageAll makes every file two hours old.
func (r request) ageAll(t *testing.T) {
	t.Helper()
	live, others := r.files(t)
	for _, path := range append(live, others...) {
		age(t, path)
	}
}

// age makes the file two hours old.
func age(t *testing.T, path string) {
	t.Helper()
	long := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(path, long, long); err != nil {
		t.Fatal(err)
	}
}

// forge replaces what fits the pattern in each record of a file, and makes the
// checksums right: {"crc":"<8 hex>",<what it is of>}.
func forge(t *testing.T, path string, pattern *regexp.Regexp, with string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !pattern.Match(text) {
		return
	}
	var forged strings.Builder
	for line := range strings.Lines(string(text)) {
		if crc := `{"crc":"12345678",`; strings.HasPrefix(line, crc[:8]) {
			rest := pattern.ReplaceAllString(strings.TrimSuffix(line[len(crc):], "\n"), with)
			sum := crc32.Checksum([]byte(rest), crc32.MakeTable(crc32.Castagnoli))
			line = fmt.Sprintf(`{"crc":"%08x",%s`, sum, rest) + "\n"
		}
		forged.WriteString(line)
	}
	if err := os.WriteFile(path, []byte(forged.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}
