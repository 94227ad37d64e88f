package cmd_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

// crowded makes n sessions of ann in the directories 00 to ef, and one in ff, all owned by a user.
func crowded(t *testing.T, n, owner int) request {
	t.Helper()
	r := in(open(t))
	must(t, os.Chown(r.Dir, owner, owner))
	if got := cmdtest.Finish(t, asUser(r.Command(reachable(t), "regenerate", "--user", "ann"), owner)); got.Code != 0 {
		t.Fatalf("%+v", got)
	}
	file, err := filepath.Glob(r.Dir + "/sessions/??/*")
	must(t, err)
	text, err := os.ReadFile(file[0])
	must(t, err)
	must(t, os.RemoveAll(filepath.Dir(file[0])))
	index, err := filepath.Glob(r.Dir + "/sessions/.users/*/*")
	must(t, err)
	user, _, _ := strings.Cut(index[0], "."+filepath.Base(file[0]))
	for i := range n + 1 {
		handle := fmt.Sprintf("%02x%062x", i%0xf0, i)
		if i == n {
			handle = fmt.Sprintf("ff%062x", i)
		}
		shard := r.Dir + "/sessions/" + handle[:2]
		must(t, os.MkdirAll(shard, 0o700))
		must(t, os.Chown(shard, owner, owner))
		for path, text := range map[string][]byte{shard + "/" + handle: text, user + "." + handle: nil} {
			must(t, os.WriteFile(path, text, 0o600))
			must(t, os.Chown(path, owner, owner))
		}
	}
	return r
}

// list that meets a directory that it cannot read keeps what it has printed, all of it in whole
// lines, and says last how much that is.
func TestListFailsMidway(t *testing.T) {
	needRoot(t)
	for _, n := range []int{0, 1, 7, 1500} { // 1500 are more than is collected before it is printed
		r := crowded(t, n, other)
		must(t, os.Chmod(r.Dir+"/sessions/ff", 0))
		for _, args := range []argv{{"list"}, {"list", "--json"}, {"list", "--user", "ann"}} {
			got := cmdtest.Finish(t, asUser(r.Command(reachable(t), args...), other))
			n := n
			if len(args) == 3 { // in the order of the index
				n = strings.Count(got.Stdout, "\n")
			}
			said := "/ff: permission denied"
			if n > 0 {
				said += fmt.Sprintf("; listed %d before that", n)
			}
			if got.Code != 77 || strings.Count(got.Stdout, "\n") != n || !strings.HasSuffix("\n"+got.Stdout, "\n") {
				t.Errorf("%d, %q: code %d, %d lines", n, args, got.Code, strings.Count(got.Stdout, "\n"))
			}
			if !strings.HasSuffix(got.Stderr, said+"\n") || strings.Count(got.Stderr, "\n") != 1 {
				t.Errorf("%d, %q: %q, want %q", n, args, got.Stderr, said)
			}
		}
	}
}

// A full stdout is exit 74 whatever else the call has to say, and a stream says how far it came.
func TestFullOutput(t *testing.T) {
	r := in(t.TempDir())
	if got := r.Call(t, "set", "--adopt-id", cmdtest.Visitor, "a=1"); got.Code != 0 {
		t.Fatalf("%+v", got)
	}
	must(t, os.Symlink("nowhere", r.Dir+"/sessions/00"))
	for _, args := range []argv{
		{"doctor"}, {"doctor", "--json"}, {"doctor", "--deep"}, {"doctor", "--repair", "--data-dir", "nowhere"},
		{"list"}, {"list", "--json"}, {"stats"}, {"cleanup", "--timeout", "1h"}, {"show", filepath.Base(r.file(cmdtest.Visitor))},
	} {
		got := cmdtest.Finish(t, r.Command("sh", append(argv{"-c", `"$@" >/dev/full`, "sh", cmdtest.Program}, args...)...))
		if got.Code != 74 || !strings.Contains(got.Stderr, "cannot write the answer") {
			t.Errorf("%q: %+v", args, got)
		}
	}
}
