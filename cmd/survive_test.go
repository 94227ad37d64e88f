package cmd_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
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
	return request{dir: dir}
}

// fill makes sessions until there is no room for another, and returns their ids.
func (r request) fill(t *testing.T) []string {
	t.Helper()
	var ids []string
	for range 100 {
		got := r.call(t, "set", "n:=0")
		if got.code == 0 {
			ids = append(ids, newIDs(got.stdout)...)
			continue
		}
		if got.code != 74 || got.stdout != "" || !strings.Contains(got.stderr, "no space left") {
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
				s := r.bound(id).with("CGISESSION_DATA_DIR=" + r.dir + "/sessions")
				for want := 1; want <= 3; want++ {
					if got := s.call(t, "incr", "n"); got.stdout != fmt.Sprintln(want) {
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
	got := r.give(t, `{"n":"`+strings.Repeat("x", 60_000)+`"}`, "save")
	if got.code != 74 || got.stdout != "" {
		t.Errorf("no room for the data: %+v", got)
	}
	if got := r.call(t, "get", "n"); got.stdout != "3\n" {
		t.Errorf("after a save that failed: %+v", got)
	}
	if got := r.call(t, "incr", "n"); got.stdout != "4\n" {
		t.Errorf("a change after one that failed: %+v", got)
	}
}

func TestFileSizeLimit(t *testing.T) {
	r := begin(t, `{"n":1}`)
	got := finish(t, r.command("sh", "-c", `ulimit -f 0; exec cgisession set n:=2 2>/dev/null`))
	if got.code != 74 || got.stdout != "" {
		t.Errorf("over the limit: %+v", got)
	}
	if got := r.call(t, "get", "n"); got.stdout != "1\n" {
		t.Errorf("after it: %+v", got)
	}
}

func TestReadOnlyFileSystem(t *testing.T) {
	r := mountTmpfs(t, "size=1m")
	ids := newIDs(r.call(t, "set", "n:=1").stdout)
	if text, err := exec.Command("mount", "-o", "remount,ro", r.dir).CombinedOutput(); err != nil {
		t.Skipf("cannot remount: %v: %s", err, text)
	}
	r = r.client(ids[0])
	if got := r.call(t, "get", "n", "--log-file", "-"); got.stdout != "1\n" || !strings.Contains(got.stderr, "access not marked") {
		t.Errorf("get: %+v", got)
	}
	if got := r.call(t, "load", "--sh", "n"); got.code != 0 || !strings.Contains(got.stdout, "n='1'") {
		t.Errorf("load: %+v", got)
	}
	for _, verb := range [][]string{{"set", "n:=2"}, {"incr", "n"}, {"delete"}, {"invalidate"}, {"regenerate"}} {
		if got := r.call(t, verb...); got.code != 74 || got.stdout != "" || !strings.Contains(got.stderr, "read-only") {
			t.Errorf("%q: %+v", verb, got)
		}
	}
	if got := r.call(t, "get", "n"); got.stdout != "1\n" {
		t.Errorf("after them: %+v", got)
	}
}

func TestStdout(t *testing.T) {
	for name, redirect := range map[string]string{"full": ">/dev/full", "broken pipe": "| :", "closed": ">&-"} {
		t.Run(name, func(t *testing.T) {
			r := begin(t, `{"n":1}`)
			script := "{ " + program + " incr n; echo $? >code; } " + redirect
			if name == "broken pipe" { // the reader is gone before there is anything to read
				script = "mkfifo p; : <p & exec 3>p; wait; " + program + " incr n >&3; echo $? >code"
			}
			finish(t, r.command("sh", "-c", script))
			code, err := os.ReadFile(r.dir + "/code")
			if err != nil {
				t.Fatal(err)
			}
			want := "74\n"
			if name == "closed" {
				want = "0\n"
			}
			if string(code) != want {
				t.Errorf("exit code %q, want %q", code, want)
			}
			if got := r.call(t, "get", "n"); got.stdout != "2\n" {
				t.Errorf("the change is not stored: %+v", got)
			}
		})
	}
}

func TestClocks(t *testing.T) {
	r := begin(t, `{"n":1}`)
	ahead := time.Now().AddDate(1, 0, 0)
	if err := os.Chtimes(r.file(visitor), ahead, ahead); err != nil {
		t.Fatal(err)
	}
	if got := r.call(t, "incr", "n", "--timeout", "1h", "--lifetime", "1h"); got.stdout != "2\n" {
		t.Errorf("last used in a year: %+v", got)
	}
	info, err := os.Stat(r.file(visitor))
	if err != nil || info.ModTime().After(time.Now().Add(time.Minute)) {
		t.Errorf("the access is still in the future: %v, %v", info.ModTime(), err)
	}
	nineThousand := time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	if err := os.Chtimes(r.file(visitor), nineThousand, nineThousand); err == nil {
		if got := r.call(t, "load", "--json", "--timeout", "1h"); got.code != 0 {
			t.Errorf("last used in 9999: %+v", got)
		}
	}
}

// A process may have few descriptors.
func TestResources(t *testing.T) {
	r := begin(t, `{"n":1}`)
	for limit := 3; limit <= 12; limit++ {
		got := finish(t, r.command("sh", "-c", "ulimit -n "+strconv.Itoa(limit)+"; exec cgisession incr n"))
		if got.code != 0 && (got.code != 74 || got.stdout != "" || strings.Count(got.stderr, "\n") != 1) {
			t.Errorf("%d descriptors: %+v", limit, got)
		}
	}
}

// The Go runtime cannot start in little address space, and ends before it does
// anything.
func TestAddressSpace(t *testing.T) {
	r := begin(t, `{"n":1}`)
	for _, limit := range []int{100_000, 400_000, 4_000_000} {
		got := finish(t, r.command("sh", "-c", "ulimit -v "+strconv.Itoa(limit)+"; exec cgisession incr n"))
		if got.code != 0 && got.stdout != "" {
			t.Errorf("%d KiB: %+v", limit, got)
		}
		if limit == 4_000_000 && got.stdout != "2\n" {
			t.Errorf("with enough: %+v", got)
		}
	}
}

func TestSparseFile(t *testing.T) {
	r := begin(t, `{"n":1}`)
	if err := os.Truncate(r.file(visitor), 1<<30); err != nil {
		t.Fatal(err)
	}
	for _, verb := range [][]string{{"get"}, {"set", "n:=2"}, {"info", "--no-lock"}, {"load", "--json"}} {
		if got := r.measured(t, "", verb...); got.code != 65 || got.stdout != "" {
			t.Errorf("%q: %+v", verb, got)
		}
	}
}

// maxMemory is what a call may use, in KiB.
const maxMemory = 64 << 10

// measured runs the program and checks how much memory it used. busybox starts
// it, since what wait4(2) tells of a process counts its parent from before exec.
func (r request) measured(t *testing.T, stdin string, args ...string) ended {
	t.Helper()
	if _, err := exec.LookPath("busybox"); err != nil {
		return r.give(t, stdin, args...)
	}
	c := r.command("busybox", append([]string{"time", "-v", "-o", r.dir + "/used", program}, args...)...)
	c.Stdin = strings.NewReader(stdin)
	got := finish(t, c)
	text, err := os.ReadFile(r.dir + "/used")
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
		if got := r.measured(t, fits, verb...); got.code != 0 {
			t.Errorf("%q: exit code %d, %s", verb, got.code, got.stderr)
		}
	}
	larger := strings.Replace(fits, "x", "xx", 1)
	if got := r.give(t, larger, "save"); got.code != 65 || got.stdout != "" {
		t.Errorf("one byte too many: exit code %d, %s", got.code, got.stderr)
	}
	if got := r.call(t, "get"); got.stdout != fits+"\n" {
		t.Errorf("after it: %d bytes, exit code %d", len(got.stdout), got.code)
	}
}

// Visitors without a cookie cost no file as long as nothing is stored for them.
func TestLazyVisitors(t *testing.T) {
	r := request{dir: t.TempDir()}
	for range full(200, 10_000) {
		if got := r.call(t, "load", "--lazy", "--sh"); got.code != 0 || strings.Contains(got.stdout, "Set-Cookie") {
			t.Fatalf("%+v", got)
		}
	}
	if names, _ := filepath.Glob(r.dir + "/*"); len(names) > 0 {
		t.Errorf("files: %q", names)
	}
}
