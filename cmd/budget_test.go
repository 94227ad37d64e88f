package cmd_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

// A call takes about a millisecond, most of which the Go runtime and the packages
// take to start. These tests keep it so by counting, which no busy machine can
// disturb. scripts/bench measures the time itself.

// linked are the packages of other modules that the program is made of.
var linked = []string{
	"github.com/go-json-experiment/json/internal",
	"github.com/go-json-experiment/json/internal/jsonflags",
	"github.com/go-json-experiment/json/internal/jsonopts",
	"github.com/go-json-experiment/json/internal/jsonwire",
	"github.com/go-json-experiment/json/jsontext",
	"github.com/gofrs/flock",
	"github.com/urfave/cli/v2",
	"github.com/xrash/smetrics",
	"golang.org/x/sys/unix",
	"golang.org/x/term",
}

// TestPackages keeps out what would take its time at each start: an HTTP or TLS
// library, Markdown, another JSON library, logging.
func TestPackages(t *testing.T) {
	list := exec.Command("go", "list", "-deps", "-tags", "urfave_cli_no_docs", "-f", "{{.ImportPath}} {{.Standard}}", "cgisession")
	list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	text, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	var others []string
	standard := 0
	for line := range strings.Lines(string(text)) {
		path, isStandard, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case isStandard == "true":
			standard++
			for _, heavy := range []string{"net", "net/http", "crypto/tls", "crypto/x509", "html/template", "go/parser", "log", "log/slog", "os/user"} {
				if path == heavy {
					t.Errorf("%s is linked in", path)
				}
			}
		case path != "cgisession" && !strings.HasPrefix(path, "cgisession/"):
			others = append(others, path)
		}
	}
	slices.Sort(others)
	if !slices.Equal(others, linked) {
		t.Errorf("packages of other modules: %q\nwant %q", others, linked)
	}
	if most := 130; standard > most {
		t.Errorf("%d packages of Go's own, want at most %d", standard, most)
	}
}

// TestTemplates sees to it that the linker leaves out package text/template, which the
// library imports. It calls methods by name, and so keeps all methods of all packages:
// a quarter of the program.
func TestTemplates(t *testing.T) {
	text, err := os.ReadFile(cmdtest.Program)
	must(t, err)
	if !bytes.Contains(text, []byte("cgisession/cmd.verbHelp")) {
		t.Fatal("no names of functions")
	}
	if bytes.Contains(text, []byte("text/template.(*Template).Execute")) {
		t.Error("text/template is linked in")
	}
}

var initLine = regexp.MustCompile(`(?m)^init \S+ @.*, (\d+) bytes, (\d+) allocs$`)

// TestInit bounds what packages allocate before main begins.
func TestInit(t *testing.T) {
	got := begin(t, `{"name":"Ann"}`).with("GODEBUG=inittrace=1").Call(t, "get", "name")
	bytes, allocs := 0, 0
	for _, found := range initLine.FindAllStringSubmatch(got.Stderr, -1) {
		var b, a int
		fmt.Sscan(found[1], &b)
		fmt.Sscan(found[2], &a)
		bytes, allocs = bytes+b, allocs+a
	}
	if own, other := strings.Index(got.Stderr, "init cgisession/cmd/bigstack "), strings.Index(got.Stderr, "init errors "); own < 0 || own > other {
		t.Errorf("the stack is not enlarged before other packages begin:\n%s", got.Stderr)
	}
	if bytes == 0 {
		t.Fatalf("no trace: %+v", got)
	}
	t.Logf("%d bytes, %d allocations", bytes, allocs)
	if bytes > 32<<10 || allocs > 180 {
		t.Errorf("%d bytes and %d allocations before main, want at most 32768 and 180", bytes, allocs)
	}
}

// TestSystemCalls counts what a call asks of the system for its session: from
// where it first opens the data directory.
func TestSystemCalls(t *testing.T) {
	needStrace(t)
	for _, row := range []struct {
		args []string
		want map[string]int // of those that are about files and locks
		most int            // of all, but for what the Go runtime does for itself
	}{
		{[]string{"get", "name"}, map[string]int{"openat": 4, "fstat": 4, "flock": 2, "pread64": 1, "utimensat": 1, "write": 1}, 30},
		// A load that has something to print, as --json always has, differs by the write.
		{[]string{"load"}, map[string]int{"openat": 4, "fstat": 4, "flock": 2, "pread64": 1, "utimensat": 1}, 29},
		{[]string{"load", "--json"}, map[string]int{"openat": 4, "fstat": 4, "flock": 2, "pread64": 1, "utimensat": 1, "write": 1}, 30},
		{[]string{"set", "name=Bob"}, map[string]int{"openat": 4, "fstat": 5, "flock": 2, "pread64": 1, "pwrite64": 1}, 30},
	} {
		t.Run(strings.Join(row.args, " "), func(t *testing.T) {
			got, all := begin(t, `{"name":"Ann"}`).systemCalls(t, row.args...)
			if !maps.Equal(got, row.want) {
				t.Errorf("%v, want %v", got, row.want)
			}
			if all > row.most {
				t.Errorf("%d system calls in all, want at most %d", all, row.most)
			}
		})
	}
}

// TestConfigSystemCalls counts what the configuration file costs: where the usual one is
// absent one open(2), which fails; else a look at each directory of its path, and four
// calls for the file. %u in it is one more.
func TestConfigSystemCalls(t *testing.T) {
	needStrace(t)
	j := newJail(t)
	must(t, os.Mkdir(j.root+"/sessions", 0o700))
	count := func(args ...string) map[string]int {
		return j.systemCalls(append([]string{"get", "--default", "1", "a"}, args...))
	}
	none, absent := count("--config", "none", "--data-dir", "/sessions"), count("--data-dir", "/sessions")
	if more := difference(absent, none); !maps.Equal(more, map[string]int{"openat": 1}) {
		t.Errorf("an absent file costs %v", more)
	}
	text, err := os.ReadFile("testdata/twenty.conf")
	must(t, err)
	j.configure(string(text))
	want := map[string]int{"openat": 2, "close": 2, "newfstatat": 2, "fstat": 1, "read": 1, "geteuid": 1}
	for _, args := range [][]string{{}, {"--site", "shop"}} {
		if more := difference(count(args...), none); !maps.Equal(more, want) {
			t.Errorf("20 lines and a section, with %q, cost %v, want %v", args, more, want)
		}
	}
}

// systemCalls runs the program as root under strace(1), and counts its system calls, but
// for the Go runtime's own.
func (j jail) systemCalls(args []string) map[string]int {
	j.Helper()
	trace := filepath.Join(j.TempDir(), "trace")
	c := exec.Command("strace", append([]string{
		"-f", "-qq", "-o", trace, "-e", runtimeCalls, "chroot", j.root, "/cgisession",
	}, args...)...)
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "GODEBUG=updatemaxprocs=0"}
	if got := cmdtest.Finish(j.T, c); got.Code != 0 || got.Stderr != "" {
		j.Fatalf("%+v", got)
	}
	text, err := os.ReadFile(trace)
	must(j.T, err)
	counts := map[string]int{} // also of chroot(1), which are the same in each
	for line := range strings.Lines(string(text)) {
		if call := tracedCall.FindStringSubmatch(line); call != nil {
			counts[call[1]]++
		}
	}
	return counts
}

// difference returns what counts has more than others.
func difference(counts, others map[string]int) map[string]int {
	more := map[string]int{}
	for name, n := range counts {
		if n -= others[name]; n != 0 {
			more[name] = n
		}
	}
	return more
}

// TestLookups bounds what each of many cookies costs that lead nowhere: two open(2),
// of the directory and of the file, and what goes with the first.
func TestLookups(t *testing.T) {
	needStrace(t)
	n := cmdtest.Full(300, 3000)
	r := begin(t, `{"name":"Ann"}`)
	r.makeShards(t)
	few, _ := r.client(cmdtest.Visitor).systemCalls(t, "get", "name")
	header := many(n, "nobody%012d; cgisession_id=") + cmdtest.Visitor
	got, all := r.client(header).systemCalls(t, "get", "name")
	t.Logf("%d cookies: %d system calls, %v", n, all, got)
	if opened := got["openat"] - few["openat"]; opened < 2*n || opened > 2*n+10 {
		t.Errorf("%d cookies cost %d open(2)", n, opened)
	}
	if all > 5*n+50 {
		t.Errorf("%d cookies cost %d system calls", n, all)
	}
	for _, call := range []string{"flock", "utimensat", "pwrite64"} {
		if got[call] != few[call] {
			t.Errorf("%d × %s, want %d", got[call], call, few[call])
		}
	}
}

// TestNoLookups has requests whose cookies need none: of one session alone, or, once
// two sessions are found, of any other.
func TestNoLookups(t *testing.T) {
	needStrace(t)
	r := begin(t, `{"name":"Ann"}`)
	r.makeShards(t)
	bound, _ := r.systemCalls(t, "regenerate", "--grace", "1h")
	r = begin(t, `{"name":"Ann"}`)
	r.makeShards(t)
	if got, _ := r.client(cmdtest.Visitor).systemCalls(t, "regenerate", "--grace", "1h"); !maps.Equal(got, bound) {
		t.Errorf("regenerate by the session's cookie costs %v, without cookies %v", got, bound)
	}

	var all []string
	for range 8 {
		all = append(all, cmdtest.NewIDs(r.client("").Call(t, "load").Stdout)...)
	}
	two, _ := r.client(strings.Join(all[:2], "; cgisession_id=")).systemCalls(t, "get", "--default", "1", "a")
	if got, _ := r.client(strings.Join(all, "; cgisession_id=")).systemCalls(t, "get", "--default", "1", "a"); !maps.Equal(got, two) {
		t.Errorf("8 sessions cost %v, two %v", got, two)
	}
}

// makeShards makes all directories of sessions, as there are where they are many.
func (r request) makeShards(t *testing.T) {
	t.Helper()
	for i := range 256 {
		must(t, os.MkdirAll(fmt.Sprintf("%s/sessions/%02x", r.Dir, i), 0o700))
	}
}

var tracedCall = regexp.MustCompile(`^\d+ +(\w+)\((.*)`)

// runtimeCalls has strace(1) leave out calls of the Go runtime: about memory, signals,
// threads and time.
const runtimeCalls = "trace=!%memory,%signal,%process,%clock,futex,nanosleep,clock_nanosleep,sched_yield,epoll_pwait,gettid,getpid,set_robust_list,rseq,restart_syscall"

// systemCalls runs the program under strace(1) and counts the system calls that
// are about files and locks, by name, and all that are not the Go runtime's own.
func (r request) systemCalls(t *testing.T, args ...string) (files map[string]int, all int) {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "trace")
	strace := []string{"-f", "-qq", "-o", trace, "-e", runtimeCalls, cmdtest.Program}
	r = r.with("GODEBUG=updatemaxprocs=0") // else the runtime may look at its control group
	if got := cmdtest.Finish(t, r.Command("strace", append(strace, args...)...)); got.Code != 0 {
		t.Fatalf("%+v", got)
	}
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{
		"openat", "fstat", "newfstatat", "flock", "pread64", "pwrite64", "utimensat", "read", "write", "ftruncate",
		"fsync", "fdatasync", "renameat", "renameat2", "unlinkat", "mkdirat", "umask",
	}
	files = map[string]int{}
	for line := range strings.Lines(string(text)) {
		call := tracedCall.FindStringSubmatch(line)
		if call == nil || all == 0 && !strings.Contains(call[2], r.Dir+"/sessions") {
			continue
		}
		all++
		if slices.Contains(names, call[1]) {
			files[call[1]]++
		}
	}
	return files, all
}
