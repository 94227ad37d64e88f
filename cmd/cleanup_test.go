package cmd_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
)

// plant makes n sessions, fast: it copies the file of one. Session i was last used
// two hours ago if old(i).
func plant(t *testing.T, n int, old func(i int) bool) request {
	t.Helper()
	r := begin(t, `{"text":"`+strings.Repeat("x", 100)+`"}`)
	path := r.file(cmdtest.Visitor)
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-2 * time.Hour)
	for i := range n {
		path := r.planted(i)
		err := os.WriteFile(path, text, 0o600)
		if os.IsNotExist(err) {
			if err = os.Mkdir(filepath.Dir(path), 0o700); err == nil {
				err = os.WriteFile(path, text, 0o600)
			}
		}
		if err == nil && old(i) {
			err = os.Chtimes(path, then, then)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return in(r.Dir)
}

// planted returns the path of session i of plant.
func (r request) planted(i int) string {
	sum := sha256.Sum256([]byte(strconv.Itoa(i)))
	name := hex.EncodeToString(sum[:])
	return filepath.Join(r.Dir, "sessions", name[:2], name)
}

func all(int) bool           { return true }
func none(int) bool          { return false }
func everySecond(i int) bool { return i%2 == 0 }

// left returns how many of n sessions of plant are there, of those that were
// old and of the others.
func (r request) left(n int, old func(i int) bool) (olds, others int) {
	for i := range n {
		if _, err := os.Lstat(r.planted(i)); err != nil {
			continue
		}
		if old(i) {
			olds++
		} else {
			others++
		}
	}
	return olds, others
}

var summary = regexp.MustCompile(`\Aseen (\d+), (?:removed|would remove) (\d+), busy (\d+), kept (\d+), corrupt (\d+), bytes (\d+), seconds (\d+\.\d\d), (done|stopped early)\n\z`)

// A swept is what cleanup says that it did.
type swept struct {
	seen, removed, busy, kept, corrupt, bytes int
	done                                      bool
}

// sweptBy reads the summary of a cleanup that went well.
func sweptBy(t *testing.T, e cmdtest.Ended) (s swept) {
	t.Helper()
	m := summary.FindStringSubmatch(e.Stdout)
	if e.Code != 0 || e.Stderr != "" || m == nil {
		t.Fatalf("no cleanup that went well: %+v", e)
	}
	for i, n := range []*int{&s.seen, &s.removed, &s.busy, &s.kept, &s.corrupt, &s.bytes} {
		*n, _ = strconv.Atoi(m[i+1])
	}
	s.done = m[8] == "done"
	if s.seen != s.removed+s.busy+s.kept {
		t.Errorf("the numbers do not add up: %s", e.Stdout)
	}
	return s
}

// tree returns all that is in a directory: of each path the mode, owner, links
// and time, and what is in it or where it leads.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		what := fmt.Sprint(info.Mode(), st.Uid, st.Gid)
		switch {
		case info.Mode().IsRegular():
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			what += fmt.Sprint(st.Nlink, info.ModTime(), string(text))
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			what += target
		}
		all[path] = what
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// What is not of the layout, or not this user's alone, is left as it is,
// however old.
func TestCleanupTouchesNothingElse(t *testing.T) {
	r := plant(t, 2, all)
	text, err := os.ReadFile(r.planted(0))
	if err != nil {
		t.Fatal(err)
	}
	top := r.Dir + "/sessions/"
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// name returns a handle that begins as the directory that it belongs in.
	name := func(shard string, i int) string { return shard + fmt.Sprintf("%062x", i) }
	mkdir := func(dir string) string {
		check(os.MkdirAll(top+dir, 0o700))
		return top + dir + "/"
	}
	file := func(path string) string {
		check(os.WriteFile(path, text, 0o600))
		return path
	}

	// At the top, and where directories of sessions belong.
	file(top + "stranger")
	file(top + ".hidden")
	file(top + name("00", 1))
	file(top + "0a")
	file(mkdir("zz") + name("zz", 1))
	file(mkdir("AB") + name("AB", 1))
	file(mkdir("abc") + name("ab", 1))
	file(mkdir("a") + name("a", 1))
	file(mkdir(".users/ab") + name("ab", 1))
	file(mkdir(".damaged") + name("ab", 2))
	file(mkdir("nested/ab") + name("ab", 3))
	check(os.Mkdir(r.Dir+"/elsewhere", 0o700))
	outside := file(r.Dir + "/elsewhere/" + name("0b", 1))
	check(os.Symlink("../elsewhere", top+"0b"))
	file(mkdir("0c") + name("0c", 1))
	check(os.Chmod(top+"0c", 0o777))

	// Among the sessions.
	d := mkdir("0d")
	file(d + ".hidden")
	file(d + name("0d", 1)[:63])
	file(d + name("0d", 1) + "0")
	file(d + name("0e", 1))
	file(d + strings.ToUpper(name("0d", 0xabc)))
	file(d + name("0d", 1) + ".tmp")
	check(os.Symlink(outside, d+name("0d", 2)))
	check(os.Symlink("dangling", d+name("0d", 3)))
	check(syscall.Mkfifo(d+name("0d", 4), 0o600))
	check(os.Mkdir(d+name("0d", 5), 0o700))
	file(d + name("0d", 5) + "/" + name("0d", 5))
	check(os.Link(file(d+name("0d", 6)), r.Dir+"/link"))
	check(os.Link(file(d+name("0d", 7)), d+name("0d", 8)))
	check(os.Chmod(file(d+name("0d", 9)), 0o644))
	check(os.Chmod(file(d+name("0d", 10)), 0o660))
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: r.Dir + "/s"})
	check(err)
	socket.SetUnlinkOnClose(false)
	check(os.Rename(r.Dir+"/s", d+name("0d", 11)))
	check(socket.Close())
	if os.Geteuid() == 0 {
		check(os.Chown(file(d+name("0d", 12)), 12345, -1))
		file(mkdir("0f") + name("0f", 1))
		check(os.Chown(top+"0f", 12345, -1))
	}

	then := time.Now().Add(-48 * time.Hour)
	for path := range tree(t, r.Dir) {
		ts := []syscall.Timespec{syscall.NsecToTimespec(then.UnixNano()), syscall.NsecToTimespec(then.UnixNano())}
		if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink == 0 {
			check(syscall.UtimesNano(path, ts))
		}
	}
	before := tree(t, r.Dir)
	got := sweptBy(t, r.Call(t, "cleanup", "--timeout", "1h"))
	if got.removed != 2 {
		t.Errorf("%+v", got)
	}
	after := tree(t, r.Dir)
	for _, path := range []string{r.planted(0), r.planted(1)} {
		if after[path] != "" {
			t.Errorf("the session %s is still there", path)
		}
		delete(before, path)
	}
	delete(after, top+".cleanup")
	if !maps.Equal(before, after) {
		for _, path := range slices.Sorted(maps.Keys(before)) {
			if before[path] != after[path] {
				t.Errorf("touched: %s was %q, is %q", path, before[path], after[path])
			}
		}
		t.Errorf("%d paths of strangers before, %d after", len(before), len(after))
	}
}

// open makes a directory that every user can get at.
func open(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cgisession-open")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// other is another user.
const other = 12345

// give gives all that is in the directory to the other user.
func giveAway(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = os.Lchown(path, other, other)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Called by root, cleanup acts as the directory's owner: what that user cannot
// do, it does not do either.
func TestCleanupAsOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	r := plant(t, 40, all)
	dir := open(t)
	if err := os.Rename(r.Dir+"/sessions", dir+"/sessions"); err != nil {
		t.Fatal(err)
	}
	r.Dir = dir
	giveAway(t, dir+"/sessions")
	// In this one the owner may remove nothing, though root could.
	closed := filepath.Dir(r.planted(0))
	if err := os.Chmod(closed, 0o500); err != nil {
		t.Fatal(err)
	}
	inClosed := 0
	for i := range 40 {
		if filepath.Dir(r.planted(i)) == closed {
			inClosed++
		}
	}
	logs := open(t)
	if err := os.Chmod(logs, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	got := r.with("CGISESSION_LOG_FILE="+logs+"/log").Call(t, "cleanup", "--timeout", "1h")
	if got.Code != 77 || got.Stdout != "" || !strings.HasPrefix(got.Stderr, "cgisession: cleanup: remove "+closed+"/") || !strings.HasSuffix(got.Stderr, ": permission denied\n") {
		t.Errorf("of a directory that the owner cannot write to: %+v", got)
	}
	// The rest is done all the same.
	if olds, _ := r.left(40, all); olds != inClosed {
		t.Errorf("%d sessions are left, not the %d in the closed directory", olds, inClosed)
	}
	for _, path := range []string{dir + "/sessions/.cleanup", logs + "/log"} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != other || st.Gid == 0 {
			t.Errorf("%s belongs to user %d, group %d", path, st.Uid, st.Gid)
		}
	}
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	if got := sweptBy(t, r.Call(t, "cleanup", "--timeout", "1h")); got.removed != inClosed || !got.done {
		t.Errorf("the next cleanup: %+v", got)
	}
	// The other operators' verbs do so too.
	for _, verb := range []string{"list", "stats", "doctor"} {
		if got := r.Call(t, verb); got.Code != 0 || got.Stderr != "" {
			t.Errorf("%s: %+v", verb, got)
		}
	}
}

// A file that its owner may not read is an error at the end, and stays.
func TestCleanupUnreadable(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	r := plant(t, 10, all)
	dir := open(t)
	if err := os.Rename(r.Dir+"/sessions", dir+"/sessions"); err != nil {
		t.Fatal(err)
	}
	r.Dir = dir
	giveAway(t, dir+"/sessions")
	if err := os.Chmod(r.planted(0), 0); err != nil {
		t.Fatal(err)
	}
	got := r.Call(t, "cleanup", "--timeout", "1h")
	if got.Code != 77 || got.Stderr != "cgisession: cleanup: open "+r.planted(0)+": permission denied\n" {
		t.Errorf("%+v", got)
	}
	if olds, _ := r.left(10, all); olds != 1 {
		t.Errorf("%d are left", olds)
	}
	list := r.Call(t, "list")
	if list.Code != 0 || strings.Count(list.Stdout, "\n") != 1 || !strings.HasSuffix(list.Stdout, " unsafe\n") {
		t.Errorf("list: %+v", list)
	}
	if found := r.Call(t, "doctor", "--deep"); found.Code != 1 || !strings.Contains(found.Stdout, ": permission denied: "+r.planted(0)+"\n") {
		t.Errorf("doctor: %+v", found)
	}
}

// A session that is locked, for reading or for writing, is in use.
func TestCleanupSkipsBusy(t *testing.T) {
	for what, how := range map[string]int{"a writer": syscall.LOCK_EX, "a reader": syscall.LOCK_SH} {
		r := plant(t, 10, all)
		f, err := os.Open(r.planted(3))
		if err == nil {
			err = syscall.Flock(int(f.Fd()), how)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := sweptBy(t, r.Call(t, "cleanup", "--timeout", "1h")); got.removed != 9 || got.busy != 1 || !got.done {
			t.Errorf("%s: %+v", what, got)
		}
		f.Close()
		if got := sweptBy(t, r.Call(t, "cleanup", "--timeout", "1h")); got.removed != 1 || got.busy != 0 {
			t.Errorf("without %s: %+v", what, got)
		}
	}
}

// A session that is used after cleanup has chosen it, and before that has its
// lock, stays.
func TestCleanupLooksAgain(t *testing.T) {
	needStrace(t)
	r := plant(t, 1, all)
	got := sweptBy(t, r.stopped(t, "flock", func() {
		if err := os.Chtimes(r.planted(0), time.Now(), time.Now()); err != nil {
			t.Error(err)
		}
	}, "cleanup", "--timeout", "1h"))
	if got.kept != 1 {
		t.Errorf("used meanwhile: %+v", got)
	}
	// The same without the use: it was a candidate.
	r = plant(t, 1, all)
	if got := sweptBy(t, r.stopped(t, "flock", func() {}, "cleanup", "--timeout", "1h")); got.removed != 1 {
		t.Errorf("not used: %+v", got)
	}
}

// stopped runs the program, and act once, while it is stopped after its first
// system call of a kind.
func (r request) stopped(t *testing.T, call string, act func(), args ...string) cmdtest.Ended {
	t.Helper()
	return stoppedAt(t, call, 1, func(int) { act() }, r.Command(cmdtest.Program, args...))
}

// stoppedAt runs a command, and act once, with the number of a thread, while the
// process is stopped after a thread's nth system call of a kind.
func stoppedAt(t *testing.T, call string, nth int, act func(pid int), c *exec.Cmd) cmdtest.Ended {
	t.Helper()
	got, stopped := tryStop(t, call, nth, act, c)
	if !stopped {
		t.Errorf("%q made no call of %s: %+v", c.Args, call, got)
	}
	return got
}

// tryStop is stoppedAt for a command whose threads may make fewer calls. It reports
// whether the process was stopped.
func tryStop(
	t *testing.T, call string, nth int, act func(pid int), c *exec.Cmd,
) (got cmdtest.Ended, stopped bool) {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "trace")
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal(err)
	}
	c.Path = strace
	c.Args = append([]string{"strace", "-f", "-qq", "-o", trace, "-e", "trace=" + call, "-e", fmt.Sprintf("inject=%s:signal=STOP:when=%d", call, nth)}, c.Args...)
	var stdout, stderr bytes.Buffer
	c.Stdout = &stdout
	if c.Stderr == nil {
		c.Stderr = &stderr
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	over := make(chan cmdtest.Ended, 1)
	go func() { over <- cmdtest.Wait(t, c, &stdout, &stderr) }()
	stop := regexp.MustCompile(`(?m)^(\d+) +--- stopped by SIGSTOP ---$`)
	stops := 0 // of each thread that makes such a call
	cmdtest.Until(t, "end of the program", func() bool {
		text, _ := os.ReadFile(trace)
		if all := stop.FindAllSubmatch(text, -1); len(all) > stops {
			pid, _ := strconv.Atoi(string(all[stops][1]))
			if stops == 0 {
				act(pid)
			}
			syscall.Kill(pid, syscall.SIGCONT)
			stops = len(all)
		}
		select {
		case got = <-over:
			return true
		default:
			return false
		}
	})
	return got, stops > 0
}

// What cannot be removed is an error at the end, and stays; all else goes.
func TestCleanupImmutable(t *testing.T) {
	const n = 600
	r := plant(t, n, all)
	path := r.planted(0)
	if text, err := exec.Command("chattr", "+i", path).CombinedOutput(); err != nil {
		t.Skipf("no file can be made immutable here: %v: %s", err, text)
	}
	defer exec.Command("chattr", "-i", path).Run()
	got := r.Call(t, "cleanup", "--timeout", "1h")
	if got.Code != 77 || got.Stdout != "" || got.Stderr != "cgisession: cleanup: remove "+path+": operation not permitted\n" {
		t.Errorf("%+v", got)
	}
	if olds, _ := r.left(n, all); olds != 1 {
		t.Errorf("%d are left", olds)
	}
}

// Several cleanups at once share the work: each session is removed by one.
func TestCleanupsAtOnce(t *testing.T) {
	const n, cleanups = 2000, 4
	r := plant(t, n, everySecond)
	var removed atomic.Int64
	cmdtest.AtOnce(cleanups, func(int) {
		got := r.Call(t, "cleanup", "--timeout", "1h")
		if m := summary.FindStringSubmatch(got.Stdout); got.Code != 0 || got.Stderr != "" || m == nil {
			t.Errorf("%+v", got)
		} else {
			n, _ := strconv.Atoi(m[2])
			removed.Add(int64(n))
		}
	})
	if removed.Load() != n/2 {
		t.Errorf("%d of %d removed", removed.Load(), n/2)
	}
	if olds, others := r.left(n, everySecond); olds != 0 || others != n/2 {
		t.Errorf("%d old ones are left, and %d of %d others", olds, others, n/2)
	}
}

// halfway starts a cleanup, and runs act while it is stopped: it has removed some
// sessions by then, but cannot have removed all.
func halfway(t *testing.T, r request, act func(pid int)) cmdtest.Ended {
	t.Helper()
	return halfwayIn(t, r, act, cmdtest.Program, "cleanup", "--timeout", "1h")
}

// halfwayIn is halfway for a cleanup that a command becomes.
func halfwayIn(t *testing.T, r request, act func(pid int), name string, args ...string) cmdtest.Ended {
	t.Helper()
	needStrace(t)
	return stoppedAt(t, "unlinkat", 10, act, r.Command(name, args...))
}

// moreThanHalfway is a number of removals that is more than all threads together
// have done by then.
const moreThanHalfway = 1000

func TestCleanupTerminated(t *testing.T) {
	r := plant(t, moreThanHalfway, all)
	first := sweptBy(t, halfway(t, r, func(pid int) { must(t, syscall.Kill(pid, syscall.SIGTERM)) }))
	if first.done || first.removed < 10 || first.removed >= moreThanHalfway {
		t.Errorf("terminated: %+v", first)
	}
	if olds, _ := r.left(moreThanHalfway, all); olds != moreThanHalfway-first.removed {
		t.Errorf("%d are left after %d of %d were removed", olds, first.removed, moreThanHalfway)
	}
	if second := sweptBy(t, r.Call(t, "cleanup", "--timeout", "1h")); !second.done || first.removed+second.removed != moreThanHalfway {
		t.Errorf("the next: %+v after %+v", second, first)
	}
}

// What is ignored when it starts, as under nohup, does not end it.
func TestCleanupIgnoresIgnored(t *testing.T) {
	r := plant(t, moreThanHalfway, all)
	got := sweptBy(t, halfwayIn(t, r, func(pid int) {
		for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT} {
			must(t, syscall.Kill(pid, s))
		}
	}, "sh", "-c", "trap '' HUP INT; exec cgisession cleanup --timeout 1h"))
	if !got.done || got.removed != moreThanHalfway {
		t.Errorf("%+v", got)
	}
}

func TestCleanupKilled(t *testing.T) {
	r := plant(t, moreThanHalfway, everySecond)
	got := halfway(t, r, func(pid int) { must(t, syscall.Kill(pid, syscall.SIGKILL)) })
	if got.Code != 128+9 || got.Stdout != "" {
		t.Errorf("killed: %+v", got)
	}
	olds, others := r.left(moreThanHalfway, everySecond)
	if olds == 0 || olds == moreThanHalfway/2 || others != moreThanHalfway/2 {
		t.Errorf("when it was killed, %d old ones were left, and %d others", olds, others)
	}
	if next := sweptBy(t, r.Call(t, "cleanup", "--timeout", "1h")); !next.done || next.removed != olds {
		t.Errorf("the next: %+v where %d old ones were left", next, olds)
	}
	if olds, others := r.left(moreThanHalfway, everySecond); olds != 0 || others != moreThanHalfway/2 {
		t.Errorf("%d old ones are left, and %d others", olds, others)
	}
}

// Each run begins where the last one stopped, so that small ones get around.
func TestCleanupGoesOn(t *testing.T) {
	const n, atMost = 1000, 90
	r := plant(t, n, all)
	log := filepath.Join(t.TempDir(), "log")
	removed, start := 0, "00"
	for run := 1; ; run++ {
		os.Remove(log)
		got := sweptBy(t, r.with("CGISESSION_LOG_FILE="+log).Call(t, "cleanup", "--timeout", "1h", "--max-delete", strconv.Itoa(atMost)))
		removed += got.removed
		if got.done || run > 2*n/atMost {
			break
		}
		if got.removed != atMost {
			t.Errorf("run %d: %+v", run, got)
		}
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		var handles []string
		for line := range strings.Lines(string(text)) {
			_, handle, _ := strings.Cut(line, "handle=")
			handles = append(handles, handle[:2])
		}
		if first := slices.Min(handles); first < start {
			t.Errorf("run %d begins in %s; the last stopped in %s", run, first, start)
		}
		note, err := os.ReadFile(r.Dir + "/sessions/.cleanup")
		if err != nil || string(note[:2]) < start {
			t.Errorf("run %d began in %s and stopped in %q, %v", run, start, note, err)
		}
		start = string(note[:2])
	}
	if olds, _ := r.left(n, all); removed != n || olds != 0 {
		t.Errorf("%d of %d removed, %d left", removed, n, olds)
	}
}

// A time limit too short for anything still gets all done, if it is tried often enough.
func TestCleanupMaxTime(t *testing.T) {
	const n = 500
	r := plant(t, n, everySecond)
	removed := 0
	for run := 0; ; run++ {
		got := sweptBy(t, r.Call(t, "cleanup", "--timeout", "1h", "--max-time", "0.000001"))
		removed += got.removed
		if removed == n/2 {
			break
		}
		if got.done || run > 2*n+256 {
			t.Fatalf("run %d, %d removed so far: %+v", run, removed, got)
		}
	}
	if olds, others := r.left(n, everySecond); olds != 0 || others != n/2 {
		t.Errorf("%d old ones are left, and %d others", olds, others)
	}
}

// peak returns the most memory that a process has had resident, in KiB, or 0 if
// it is over. (What wait4(2) tells counts the memory of the parent before exec.)
func peak(t *testing.T, p *os.Process) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid))
	if err != nil {
		t.Skip(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	kib, _ := strconv.Atoi(strings.Fields(rest + " 0")[0])
	return kib
}

// mostMemory is what an operator's verb may take, in KiB.
const mostMemory = 30 << 10

// Memory is flat whatever the number of files, and their size, with the collector
// as it comes.
func TestCleanupMemory(t *testing.T) {
	t.Parallel()
	n := cmdtest.Full(10_000, 100_000)
	r := plant(t, n, everySecond)
	kib, got := r.atAnswer(t, "cleanup", "--timeout", "1h")
	if s := sweptBy(t, got); s.seen != n || s.removed != n/2 || !s.done {
		t.Errorf("%+v", s)
	}
	checkMemory(t, fmt.Sprintf("cleanup of %d sessions", n), kib)
	large := cmdtest.Full(40, 400)
	r = plantLarge(t, large)
	kib, got = r.atAnswer(t, "cleanup", "--timeout", "1h")
	if s := sweptBy(t, got); s.removed != large || s.corrupt != large/2 {
		t.Errorf("%+v", s)
	}
	checkMemory(t, fmt.Sprintf("cleanup of %d large sessions", large), kib)
}

// plantLarge makes sessions of the most data that is allowed, with as large a
// version before, which were last used two hours ago. Every second one is corrupt.
func plantLarge(t *testing.T, n int) request {
	t.Helper()
	const most = 1 << 20
	data := `{"text":"` + strings.Repeat("x", most-len(`{"text":""}`)) + `"}`
	r := begin(t, data)
	if got := r.Give(t, data, "save"); got.Code != 0 {
		t.Fatalf("%+v", got)
	}
	text, err := os.ReadFile(r.file(cmdtest.Visitor))
	if err != nil || len(text) < 2*most {
		t.Fatalf("%d bytes, %v", len(text), err)
	}
	must(t, os.Remove(r.file(cmdtest.Visitor)))
	then := time.Now().Add(-2 * time.Hour)
	for i := range n {
		path := r.planted(i)
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		if i%2 == 1 {
			text = bytes.ReplaceAll(text, []byte(`"data":`), []byte(`"dada":`))
		} else {
			text = bytes.ReplaceAll(text, []byte(`"dada":`), []byte(`"data":`))
		}
		must(t, os.WriteFile(path, text, 0o600))
		must(t, os.Chtimes(path, then, then))
	}
	return in(r.Dir)
}

// checkMemory checks what a verb has taken.
func checkMemory(t *testing.T, what string, kib int) {
	t.Helper()
	t.Logf("%s: %d KiB", what, kib)
	if kib == 0 || kib > mostMemory {
		t.Errorf("%s took %d KiB", what, kib)
	}
}

// atAnswer runs the program, and returns the most memory that it had when it was
// about to answer: it cannot while its stdout is a pipe that is full.
func (r request) atAnswer(t *testing.T, args ...string) (kib int, got cmdtest.Ended) {
	t.Helper()
	stdout, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	defer out.Close()
	filling := fill(t, out)
	c := r.with("GOMEMLIMIT=off").with("GOGC=100").Command(cmdtest.Program, args...)
	var stderr bytes.Buffer
	c.Stdout, c.Stderr = out, &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	out.Close()
	cmdtest.Until(t, "answer of the program", func() bool { return writesTo(t, c.Process, 1) })
	kib = peak(t, c.Process)
	text, err := io.ReadAll(stdout)
	if err != nil {
		t.Fatal(err)
	}
	got = cmdtest.Wait(t, c, new(bytes.Buffer), &stderr)
	got.Stdout = string(text[filling:])
	return kib, got
}

// writesTo reports whether the process is blocked writing to a descriptor
// (proc_pid_syscall(5)).
func writesTo(t *testing.T, p *os.Process, fd int) bool {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", p.Pid))
	if err != nil || len(threads) == 0 {
		t.Skipf("nobody says what a process waits for here: %v", err)
	}
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if os.IsPermission(err) {
			t.Skip(err)
		}
		if strings.HasPrefix(string(text), fmt.Sprintf("%d %#x ", syscall.SYS_WRITE, fd)) {
			return true
		}
	}
	return false
}

// fill fills a pipe, so that the next write to it blocks, and returns how many
// bytes that took.
func fill(t *testing.T, pipe *os.File) (n int) {
	t.Helper()
	fd := int(pipe.Fd()) // which makes it block
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := syscall.Write(fd, make([]byte, 4096))
		if err == syscall.EAGAIN {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n += m
	}
	if err := syscall.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
	return n
}

// Twenty writers make one request after the other, while cleanup runs in a loop
// with a short timeout. A writer that is in time finds the session as it left it.
func TestCleanupAgainstWriters(t *testing.T) {
	t.Parallel()
	const timeout = 2 * time.Second
	r := in(t.TempDir(), "CGISESSION_TIMEOUT="+timeout.String())
	must(t, os.Mkdir(r.Dir+"/sessions", 0o700))
	var calls, timedOut, removed, busy atomic.Int64
	writers := make(chan struct{})
	go func() {
		cmdtest.AtOnce(20, func(i int) { keepWriting(t, r, i, timeout, &calls, &timedOut) })
		close(writers)
	}()
	cleanups := 0
	for over := false; !over; cleanups++ {
		select {
		case <-writers:
			over = true
		default:
		}
		got := r.Call(t, "cleanup")
		m := summary.FindStringSubmatch(got.Stdout)
		if got.Code != 0 || got.Stderr != "" || m == nil {
			t.Fatalf("cleanup: %+v", got)
		}
		n, _ := strconv.Atoi(m[2])
		removed.Add(int64(n))
		n, _ = strconv.Atoi(m[3])
		busy.Add(int64(n))
	}
	t.Logf("%d calls, %d of which found their session timed out; %d cleanups removed %d files and found %d busy", calls.Load(), timedOut.Load(), cleanups, removed.Load(), busy.Load())
	if timedOut.Load() == 0 || removed.Load() == 0 {
		t.Error("too little happened")
	}
}

var exported = regexp.MustCompile(`CGISESSION_ID='?([a-z2-7]{32})`)

// pace is how long a writer rests between two calls.
const pace = 50 * time.Millisecond

// stepsToTimeout is after how many calls a writer stays away for too long.
const stepsToTimeout = 20

// keepWriting has one session after the other, and wants each call to find what the
// one before it left.
func keepWriting(t *testing.T, r request, i int, timeout time.Duration, calls, timedOut *atomic.Int64) {
	for range cmdtest.Full(2, 20) {
		accessed := time.Now()
		got := r.Call(t, "load", "--sh")
		m := exported.FindStringSubmatch(got.Stdout)
		if got.Code != 0 || m == nil {
			t.Errorf("load: %+v", got)
			return
		}
		id, count := m[1], 0
		for step := i % stepsToTimeout; ; step++ {
			args := []string{"incr", "n"}
			late := step == stepsToTimeout
			switch {
			case late: // as if the client had been away
				then := time.Now().Add(-timeout - time.Second)
				if err := os.Chtimes(r.file(id), then, then); err != nil && !os.IsNotExist(err) {
					t.Error(err)
				}
			case step%10 == 3:
				args = []string{"regenerate", "--sh"}
			case step%10 == 7:
				args = []string{"regenerate", "--grace", "1", "--sh"}
			}
			time.Sleep(pace) // leaves the processors to other tests
			begun := time.Now()
			got := r.with("CGISESSION_ID="+id).Call(t, args...)
			calls.Add(1)
			switch {
			case got.Code == 10 && (late || time.Since(accessed) > timeout):
				timedOut.Add(1)
			case got.Code != 0 || got.Stderr != "" || late:
				t.Errorf("%q, %v after the access before: %+v", args, time.Since(accessed), got)
			case args[0] == "incr":
				count++
				if got.Stdout != strconv.Itoa(count)+"\n" {
					t.Errorf("incr after %d: %+v", count-1, got)
				}
			default:
				m := exported.FindStringSubmatch(got.Stdout)
				if m == nil {
					t.Errorf("%q: %+v", args, got)
					return
				}
				id = m[1]
			}
			if got.Code != 0 {
				break
			}
			accessed = begun
		}
	}
}
