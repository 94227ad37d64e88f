package file_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cgisession/store"
	"cgisession/store/file"
)

// syncTasks are run one by one in a traced process, each on a session of its own.
var syncTasks = map[string]func(f *file.Store, handle string) error{
	"save 100":  func(f *file.Store, h string) error { _, err := f.Update(h, true, save(sized(100))); return err },
	"save 9000": func(f *file.Store, h string) error { _, err := f.Update(h, true, save(sized(9000))); return err },
	"keep":      accesses["Touch"],
	"wipe": func(f *file.Store, h string) error {
		_, err := f.Update(h, false, func(s *store.Session) (store.Outcome, error) {
			s.Data = store.Empty
			return store.Wipe, nil
		})
		return err
	},
	"remove": accesses["Remove"],
	"move":   accesses["Move"],
	"grace":  accesses["Move with grace"],
}

// doTask does one of syncTasks; args[1] is set for a durable store.
func doTask(dir, handle string, args []string) error {
	opts := patient
	opts.Durable = len(args) > 1
	return syncTasks[args[0]](file.Open(file.Config{Dir: dir}, opts), handle)
}

// TestSyncs traces a process with strace(1) and checks the order of its writes, syncs
// and renames. The tests of package cmd check what file systems make of that order when
// the power of their disk is cut.
func TestSyncs(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip(err)
	}
	exe, err := os.Executable()
	must(t, err)
	call := regexp.MustCompile(`(pwrite64|fdatasync|fsync|ftruncate|renameat2?|unlinkat|utimensat)(?:64)?\(`) // 64: on 32-bit processors
	for _, tt := range []struct {
		name, task, durable string
		before              []int // bytes of data that were saved
		want                string
	}{
		{"first save", "save 100", "", nil, "pwrite64"},
		{"first durable save", "save 100", "durable", nil, "pwrite64 fdatasync fsync"},
		{"save in one page", "save 100", "", []int{100}, "pwrite64"},
		{"durable save in one page", "save 100", "durable", []int{100}, "pwrite64 fdatasync"},
		{"save in more pages", "save 9000", "", []int{9000}, "pwrite64 fdatasync"},
		{"first save in more pages", "save 9000", "", nil, "pwrite64 fdatasync"},
		{"save beyond a page", "save 9000", "", []int{100}, "pwrite64 fdatasync"},
		{"save that cuts", "save 100", "", []int{9000, 9000}, "pwrite64 fdatasync ftruncate"},
		{"access", "keep", "durable", []int{100}, "utimensat"},
		{"wipe", "wipe", "", []int{100, 100}, "pwrite64 fdatasync pwrite64"},
		{"remove", "remove", "", []int{100}, "unlinkat fsync"},
		{"move", "move", "", []int{100}, "renameat2 fsync fsync fsync utimensat"},
		// The tombstone and its name, before the exchange.
		{"move with grace", "grace", "", []int{100}, "pwrite64 utimensat fsync fsync renameat2 fsync fsync fsync utimensat"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			h := store.Handle("test", store.NewID())
			f := open(t, dir, patient)
			for i := range 256 { // that none has to be made, and synced
				must(t, os.Mkdir(fmt.Sprintf("%s/%02x", dir, i), 0o700))
			}
			for _, n := range tt.before {
				if _, err := f.Update(h, true, save(sized(n))); err != nil {
					t.Fatal(err)
				}
			}
			trace := dir + "/.trace"
			cmd := exec.Command(strace, "-f", "-qq", "-o", trace, exe, dir, h, tt.task)
			if tt.durable != "" {
				cmd.Args = append(cmd.Args, tt.durable)
			}
			cmd.Env = append(os.Environ(), childVar+"=task")
			if out, err := cmd.CombinedOutput(); err != nil {
				if strings.Contains(string(out), "ptrace") {
					t.Skipf("strace: %s", out)
				}
				t.Fatalf("%v\n%s", err, out)
			}
			text, err := os.ReadFile(trace)
			must(t, err)
			var got []string
			for line := range strings.Lines(string(text)) {
				if m := call.FindStringSubmatch(line); m != nil && !strings.Contains(line, "resumed") {
					got = append(got, m[1])
				}
			}
			if want := strings.Fields(tt.want); !slices.Equal(got, want) {
				t.Errorf("%q; want %q", got, want)
			}
		})
	}
}
