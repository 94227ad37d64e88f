package cmd_test

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/cmd/cmdtest"
)

// mountTmpfs mounts a file system in memory with these options for the sessions
// of the request that it returns, or skips the test.
func mountTmpfs(t *testing.T, options string) request {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a file system")
	}
	dir := t.TempDir()
	if text, err := exec.Command("mount", "-t", "tmpfs", "-o", options+",mode=700", "none", dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount tmpfs: %v: %s", err, text)
	}
	t.Cleanup(func() {
		if text, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, text)
		}
	})
	return in(dir)
}

// fill makes sessions until there is no room for another, and returns their ids.
func (r request) fill(t *testing.T) []string {
	t.Helper()
	var ids []string
	for range 100 {
		got := r.Call(t, "set", "n:=0")
		if got.Code == 0 {
			ids = append(ids, cmdtest.NewIDs(got.Stdout)...)
			continue
		}
		if got.Code != 74 || got.Stdout != "" || !strings.Contains(got.Stderr, "no space left") {
			t.Errorf("no room for a session: %+v", got)
		}
		return ids
	}
	t.Fatal("there is always room")
	return nil
}

func TestFullDisk(t *testing.T) {
	for name, options := range map[string]string{"bytes": "size=64k", "inodes": "nr_inodes=8"} {
		t.Run(name, func(t *testing.T) {
			r := mountTmpfs(t, options)
			ids := r.fill(t)
			if len(ids) == 0 {
				t.Fatal("not even one session has room")
			}
			live, others := r.files(t)
			if len(live) != len(ids) || len(others) != 0 {
				t.Errorf("%d sessions were made, there are files %q and %q", len(ids), live, others)
			}
			for _, id := range ids {
				s := r.bound(id).with("CGISESSION_DATA_DIR=" + r.Dir + "/sessions")
				for want := 1; want <= 3; want++ {
					if got := s.Call(t, "incr", "n"); got.Stdout != fmt.Sprintln(want) {
						t.Errorf("a session that fits in its blocks cannot be changed: %+v", got)
					}
				}
			}
			if name == "bytes" {
				r.bound(ids[0]).checkTooLarge(t)
			}
		})
	}
}

// checkTooLarge checks that data for which there is no room change nothing.
func (r request) checkTooLarge(t *testing.T) {
	t.Helper()
	got := r.Give(t, `{"n":"`+strings.Repeat("x", 60_000)+`"}`, "save")
	if got.Code != 74 || got.Stdout != "" {
		t.Errorf("no room for the data: %+v", got)
	}
	if got := r.Call(t, "get", "n"); got.Stdout != "3\n" {
		t.Errorf("after a save that failed: %+v", got)
	}
	if got := r.Call(t, "incr", "n"); got.Stdout != "4\n" {
		t.Errorf("a change after one that failed: %+v", got)
	}
}

func TestFileSizeLimit(t *testing.T) {
	r := begin(t, `{"n":1}`)
	got := cmdtest.Finish(t, r.Command("sh", "-c", `ulimit -f 0; exec cgisession set n:=2 2>/dev/null`))
	if got.Code != 74 || got.Stdout != "" {
		t.Errorf("over the limit: %+v", got)
	}
	if got := r.Call(t, "get", "n"); got.Stdout != "1\n" {
		t.Errorf("after it: %+v", got)
	}
}

func TestReadOnlyFileSystem(t *testing.T) {
	r := mountTmpfs(t, "size=1m")
	ids := cmdtest.NewIDs(r.Call(t, "set", "n:=1").Stdout)
	if text, err := exec.Command("mount", "-o", "remount,ro", r.Dir).CombinedOutput(); err != nil {
		t.Skipf("cannot remount: %v: %s", err, text)
	}
	r = r.client(ids[0])
	if got := r.Call(t, "get", "n", "--log-file", "-"); got.Stdout != "1\n" || !strings.Contains(got.Stderr, "access not marked") {
		t.Errorf("get: %+v", got)
	}
	if got := r.Call(t, "load", "--sh", "n"); got.Code != 0 || !strings.Contains(got.Stdout, "n='1'") {
		t.Errorf("load: %+v", got)
	}
	for _, verb := range [][]string{{"set", "n:=2"}, {"incr", "n"}, {"delete"}, {"invalidate"}, {"regenerate"}} {
		if got := r.Call(t, verb...); got.Code != 74 || got.Stdout != "" || !strings.Contains(got.Stderr, "read-only") {
			t.Errorf("%q: %+v", verb, got)
		}
	}
	if got := r.Call(t, "get", "n"); got.Stdout != "1\n" {
		t.Errorf("after them: %+v", got)
	}
}

// redirects are what stdout may be, and what a call that has something to print
// then exits with. Of the broken pipe the reader is gone before there is anything
// to read. Where stdout is closed the Go runtime opens /dev/null.
var redirects = []struct{ name, script, code string }{
	{"full", "$@ >/dev/full", "74"},
	{"broken pipe", "mkfifo p; : <p & exec 3>p; wait; $@ >&3", "74"},
	{"closed", "$@ >&-", "0"},
}

func TestStdout(t *testing.T) {
	incr := victim{name: "incr", args: []string{"incr", "n"}, before: kept, done: `{"n":2,"old":…} here`}
	for _, to := range redirects {
		for _, v := range append(victims(), incr) {
			if !v.newID && v.name != "incr" {
				continue
			}
			t.Run(to.name+", "+v.name, func(t *testing.T) {
				p := prepare(t, v, "x")
				r := p.restore(t)
				got := cmdtest.Finish(t, r.Command("sh", append([]string{"-c", to.script + "; echo code $? >&2", "sh", cmdtest.Program}, v.args...)...))
				if !strings.HasSuffix(got.Stderr, "code "+to.code+"\n") || to.code == "74" && !strings.Contains(got.Stderr, "is stored") {
					t.Errorf("%+v, want code %s", got, to.code)
				}
				p.checkState(t, r, "stdout "+to.name, []state{v.done})
				r.checkNextRun(t, "stdout "+to.name)
			})
		}
	}
}

var (
	createdAt = regexp.MustCompile(`"created":-?\d+`)
	limits    = []string{"--timeout", "1h", "--lifetime", "1h"}
)

// created returns what the session's file says.
func (r request) created(t *testing.T, id string) int64 {
	t.Helper()
	got := r.Call(t, "show", filepath.Base(sessionFile("cgisession_id", id)))
	n, err := strconv.ParseInt(strings.TrimPrefix(createdAt.FindString(got.Stdout), `"created":`), 10, 64)
	if err != nil {
		t.Errorf("no time of creation: %+v", got)
	}
	return n
}

func TestClocks(t *testing.T) {
	t.Run("created long ago", createdLongAgo)
	t.Run("created in the future", createdInTheFuture)
	t.Run("used in the future", usedInTheFuture)
	t.Run("abandoned in the future", abandonedInTheFuture)
	t.Run("set back", clockSetBack)
}

// A session that was created in the past, however long ago, ends by its lifetime.
func createdLongAgo(t *testing.T) {
	now := time.Now().Unix()
	for _, created := range []int64{0, -1, -int64(1) << 62, math.MinInt64, now - 3605} {
		r := begin(t, `{"n":1}`).client(cmdtest.Visitor)
		forge(t, r.file(cmdtest.Visitor), createdAt, fmt.Sprintf(`"created":%d`, created))
		if got := r.Call(t, "get", "n"); got.Stdout != "1\n" {
			t.Errorf("created at %d, without a lifetime: %+v", created, got)
		}
		if got := r.Call(t, "get", "n", "--lifetime", "1h"); got.Code != 1 || got.Stdout != "" {
			t.Errorf("created at %d, past its lifetime: %+v", created, got)
		}
		got := r.Call(t, "load", "--json", "--lifetime", "1h")
		if !strings.Contains(got.Stdout, `"was_invalidated":true`) || strings.Contains(got.Stdout, cmdtest.Visitor) {
			t.Errorf("created at %d, loaded past its lifetime: %+v", created, got)
		}
		if got := r.bound(cmdtest.Visitor).Call(t, "get", "n"); got.Code != 1 {
			t.Errorf("created at %d, and not ended: %+v", created, got)
		}
	}
}

// A session that was created in the future, before a clock was set back, is kept,
// and from its next access on it was created now, so that it will end.
func createdInTheFuture(t *testing.T) {
	for _, created := range []int64{time.Now().Unix() + 30*24*3600, int64(1) << 62, math.MaxInt64} {
		for _, access := range [][]string{{"load"}, {"get", "n"}, {"set", "m:=1"}, {"incr", "m"}} {
			r := begin(t, `{"n":1}`)
			forge(t, r.file(cmdtest.Visitor), createdAt, fmt.Sprintf(`"created":%d`, created))
			earliest := time.Now().Unix()
			if got := r.Call(t, append(access, limits...)...); got.Code != 0 {
				t.Errorf("created at %d, %q: %+v", created, access, got)
			}
			if got := r.Call(t, "get", "n"); got.Stdout != "1\n" {
				t.Errorf("created at %d, after %q: %+v", created, access, got)
			}
			if n := r.created(t, cmdtest.Visitor); n < earliest || n > time.Now().Unix() {
				t.Errorf("created at %d, after %q at %d", created, access, n)
			}
		}
	}
	// It ends within seconds, if they are all that it may live for.
	r := begin(t, `{"n":1}`)
	forge(t, r.file(cmdtest.Visitor), createdAt, fmt.Sprintf(`"created":%d`, int64(1<<62)))
	deadline := time.Now().Add(cmdtest.Patience)
	for r.Call(t, "get", "n", "--lifetime", "1s").Code == 0 {
		if time.Now().After(deadline) {
			t.Fatal("it does not end")
		}
	}
}

// setTime sets the times of the file, which may be after 2262, unlike os.Chtimes's.
func setTime(t *testing.T, path string, at time.Time) {
	t.Helper()
	ts, err := unix.TimeToTimespec(at)
	if err == nil {
		err = unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, 0)
	}
	if err != nil {
		t.Skipf("no file can have the time %v: %v", at, err)
	}
}

// modified returns the time of the file.
func modified(t *testing.T, path string) time.Time {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}

// checkPresent checks that the time of the file is neither in the future nor
// before the test; file systems are up to a tick behind.
func checkPresent(t *testing.T, path, where string, earliest time.Time) {
	t.Helper()
	if got := modified(t, path); got.After(time.Now()) || got.Before(earliest.Add(-time.Second)) {
		t.Errorf("%s: last used at %v", where, got)
	}
}

// futures are the times that files have while a clock is wrong: soon, after the 31
// bits of seconds, after the 63 bits of nanoseconds, and beyond what ext4 has.
func futures() []time.Time {
	at := []time.Time{time.Now().Add(24 * time.Hour)}
	for _, year := range []int{2030, 2400, 9999} {
		at = append(at, time.Date(year, 12, 31, 0, 0, 0, 0, time.UTC))
	}
	return at
}

// A session that was last used in the future is kept, and ages from its next
// access on.
func usedInTheFuture(t *testing.T) {
	for _, at := range futures() {
		for _, access := range [][]string{{"load"}, {"get", "n"}, {"set", "m:=1"}, {"incr", "m"}} {
			where := fmt.Sprintf("%d, %q", at.Year(), access)
			earliest := time.Now()
			r := begin(t, `{"n":1}`)
			setTime(t, r.file(cmdtest.Visitor), at)
			if got := r.Call(t, append(access, limits...)...); got.Code != 0 {
				t.Errorf("%s: %+v", where, got)
			}
			checkPresent(t, r.file(cmdtest.Visitor), where, earliest)
			if got := r.Call(t, append([]string{"get", "n"}, limits...)...); got.Stdout != "1\n" {
				t.Errorf("%s: then %+v", where, got)
			}
			age(t, r.file(cmdtest.Visitor))
			if got := r.Call(t, append([]string{"get", "n"}, limits...)...); got.Code != 1 {
				t.Errorf("%s: it does not end: %+v", where, got)
			}
		}
	}
}

// A session that was last used in the future, and that nobody uses any more, ages
// from the next cleanup on, and a later one removes it. A tombstone keeps its time,
// which is when it will be over.
func abandonedInTheFuture(t *testing.T) {
	for _, at := range futures() {
		earliest := time.Now()
		r := begin(t, `{"n":1}`)
		ids := cmdtest.NewIDs(r.Call(t, "regenerate", "--grace", "24h").Stdout)
		if len(ids) != 1 {
			t.Fatal("no session to abandon")
		}
		file, tombstone := r.file(ids[0]), r.file(cmdtest.Visitor)
		over := modified(t, tombstone)
		setTime(t, file, at)
		sweep := func(want string) {
			if got := r.Call(t, "cleanup", "--timeout", "1h"); got.Code != 0 || !strings.Contains(got.Stdout, want) {
				t.Errorf("%v: cleanup: %+v, want %s", at, got, want)
			}
		}
		sweep("removed 0")
		checkPresent(t, file, at.String(), earliest)
		if got := modified(t, tombstone); !got.Equal(over) || over.Before(earliest) {
			t.Errorf("%v: the tombstone's time was %v, and is now %v", at, over, got)
		}
		if got := r.Call(t, "get", "n", "--no-lock"); got.Stdout != "1\n" {
			t.Errorf("%v: it is not kept: %+v", at, got)
		}
		age(t, file)
		sweep("removed 1")
		if got := r.bound(ids[0]).Call(t, "get"); got.Code != 1 {
			t.Errorf("%v: it does not end: %+v", at, got)
		}
	}
}

// The clock goes back by a day between two calls: what the first one left is from
// the future. The session is kept, and ends by the clock that there is now.
func clockSetBack(t *testing.T) {
	earliest := time.Now()
	r := begin(t, `{"n":1}`)
	file := r.file(cmdtest.Visitor)
	forge(t, file, createdAt, fmt.Sprintf(`"created":%d`, earliest.Unix()+24*3600))
	setTime(t, file, earliest.Add(24*time.Hour))
	if got := r.Call(t, append([]string{"incr", "n"}, limits...)...); got.Stdout != "2\n" {
		t.Errorf("after the clock was set back: %+v", got)
	}
	checkPresent(t, file, "after the clock was set back", earliest)
	forge(t, file, createdAt, fmt.Sprintf(`"created":%d`, r.created(t, cmdtest.Visitor)-2*3600)) // two hours later
	setTime(t, file, modified(t, file).Add(-2*time.Hour))
	for _, limit := range []string{"--timeout", "--lifetime"} {
		if got := r.Call(t, "get", "n", limit, "1h", "--no-lock"); got.Code != 1 {
			t.Errorf("it does not end by %s: %+v", limit, got)
		}
	}
	if got := r.Call(t, "get", "n", "--timeout", "3h", "--lifetime", "3h"); got.Stdout != "2\n" {
		t.Errorf("it does not last as long as it may: %+v", got)
	}
}

// A process may have few descriptors: then it says so, and has changed nothing.
// With enoughDescriptors any verb works.
const enoughDescriptors = 16

func TestResources(t *testing.T) {
	for _, v := range victims() {
		if v.name == "cleanup" || v.name == "destroy" { // they look at more than one session
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			p := prepare(t, v, "x")
			failures := 0
			for limit := 3; limit <= enoughDescriptors; limit++ {
				where := fmt.Sprintf("%d descriptors", limit)
				r := p.restore(t)
				c := r.Command("sh", append([]string{"-c", "ulimit -n " + strconv.Itoa(limit) + `; exec "$@"`, "sh", cmdtest.Program}, v.args...)...)
				c.Stdin = strings.NewReader(v.stdin)
				got := cmdtest.Finish(t, c)
				allowed := []state{v.done}
				if got.Code != 0 {
					failures++
					checkFailure(t, where, got)
					allowed = []state{v.before}
					if v.between != "" { // there are enough to end the one, not to begin the other
						allowed = append(allowed, v.between)
					}
				}
				p.checkState(t, r, where, allowed)
				if got.Code == 0 && p.newID {
					p.checkPrinted(t, r, where, got)
				}
				if got.Code != 0 && limit == enoughDescriptors {
					t.Errorf("%s are not enough: %+v", where, got)
				}
			}
			if failures == 0 {
				t.Error("three descriptors are enough, so that this proves nothing")
			}
		})
	}
}

// The Go runtime cannot start in little address space, and ends before it does
// anything. In 4 GB all works; it uses little of that.
func TestAddressSpace(t *testing.T) {
	r := begin(t, `{"n":1}`)
	n := 1
	for _, limit := range []int{100_000, 400_000, 700_000, 1_000_000, 4_000_000} {
		got := cmdtest.Finish(t, r.Command("sh", "-c", "ulimit -v "+strconv.Itoa(limit)+"; exec cgisession incr n"))
		switch {
		case got.Code == 0:
			n++
			if got.Stdout != fmt.Sprintln(n) {
				t.Errorf("%d KiB: %+v, want %d", limit, got, n)
			}
		case got.Stdout != "" || limit == 4_000_000:
			t.Errorf("%d KiB: %+v", limit, got)
		}
		if got := r.Call(t, "get", "n"); got.Stdout != fmt.Sprintln(n) {
			t.Errorf("%d KiB: then %+v, want %d", limit, got, n)
		}
	}
	if n == 1 || n == 6 {
		t.Errorf("%d of 5 calls had enough, so that this proves nothing", n-1)
	}
}

func TestSparseFile(t *testing.T) {
	r := begin(t, `{"n":1}`)
	if err := os.Truncate(r.file(cmdtest.Visitor), 1<<30); err != nil {
		t.Fatal(err)
	}
	for _, verb := range [][]string{{"get"}, {"set", "n:=2"}, {"info", "--no-lock"}, {"load", "--json"}} {
		if got := r.measured(t, "", verb...); got.Code != 65 || got.Stdout != "" {
			t.Errorf("%q: %+v", verb, got)
		}
	}
}

// maxMemory is what a call may use, in KiB.
const maxMemory = 64 << 10

// measured runs the program and checks how much memory it used. busybox starts
// it, since what wait4(2) tells of a process counts its parent from before exec.
func (r request) measured(t *testing.T, stdin string, args ...string) cmdtest.Ended {
	t.Helper()
	if _, err := exec.LookPath("busybox"); err != nil {
		return r.Give(t, stdin, args...)
	}
	c := r.Command("busybox", append([]string{"time", "-v", "-o", r.Dir + "/used", cmdtest.Program}, args...)...)
	c.Stdin = strings.NewReader(stdin)
	got := cmdtest.Finish(t, c)
	text, err := os.ReadFile(r.Dir + "/used")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "Maximum resident set size (kbytes): ")
	used, err := strconv.Atoi(strings.Fields(rest + " ?")[0])
	if err != nil || used > maxMemory {
		t.Errorf("%q used %d KiB, %v", args, used, err)
	}
	return got
}

// A session of the largest size is kept and changed in bounded memory, and one
// byte more is refused.
func TestLargestSession(t *testing.T) {
	const limit = 1 << 20
	fits := `{"n":"` + strings.Repeat("x", limit-len(`{"n":""}`)) + `"}`
	r := begin(t, fits)
	for _, verb := range [][]string{{"get"}, {"set", "n=" + strings.Repeat("y", 1000)}, {"save"}} {
		if got := r.measured(t, fits, verb...); got.Code != 0 {
			t.Errorf("%q: exit code %d, %s", verb, got.Code, got.Stderr)
		}
	}
	larger := strings.Replace(fits, "x", "xx", 1)
	if got := r.Give(t, larger, "save"); got.Code != 65 || got.Stdout != "" {
		t.Errorf("one byte too many: exit code %d, %s", got.Code, got.Stderr)
	}
	if got := r.Call(t, "get"); got.Stdout != fits+"\n" {
		t.Errorf("after it: %d bytes, exit code %d", len(got.Stdout), got.Code)
	}
}

// Visitors without a cookie cost no file as long as nothing is stored for them.
func TestLazyVisitors(t *testing.T) {
	r := in(t.TempDir())
	for range cmdtest.Full(200, 10_000) {
		if got := r.Call(t, "load", "--lazy", "--sh"); got.Code != 0 || strings.Contains(got.Stdout, "Set-Cookie") {
			t.Fatalf("%+v", got)
		}
	}
	if names, _ := filepath.Glob(r.Dir + "/*"); len(names) > 0 {
		t.Errorf("files: %q", names)
	}
}
