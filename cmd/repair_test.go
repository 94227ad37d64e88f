package cmd_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"cgisession/cmd/cmdtest"
)

// A rigged directory is one that other users could get at. It has the session of
// the visitor, one of a user, and one that an attacker has filled as a visitor of
// the same site.
type rigged struct {
	request
	t      *testing.T
	bin    string
	owner  int
	victim string // the file of the visitor's session
	prey   string // of the attacker's, in the same shard
}

const attacker = "attackerattackerattackerattacke"

// rig makes it, for an owner and a group that the planter is in.
func rig(t *testing.T, owner int) rigged {
	t.Helper()
	r := rigged{request: in(open(t)), t: t, bin: reachable(t), owner: owner}
	must(t, os.Chown(r.Dir, owner, planter))
	call := func(args ...string) {
		t.Helper()
		if got := cmdtest.Finish(t, asUser(r.Command(r.bin, args...), owner)); got.Code != 0 {
			t.Fatalf("%+v", got)
		}
	}
	call("set", "--adopt-id", cmdtest.Visitor, "of=victim")
	r.victim = r.file(cmdtest.Visitor)
	// Ann's session, whose new id is random, in another directory than the victim's.
	for beside := []string{"", ""}; len(beside) > 1; {
		call("destroy", "--user", "ann")
		call("regenerate", "--user", "ann")
		beside, _ = filepath.Glob(filepath.Dir(r.victim) + "/*")
	}
	// Another session whose handle begins with the same two digits.
	for i := 0; r.prey == "" || filepath.Dir(r.prey) != filepath.Dir(r.victim); i++ {
		r.prey = r.file(attacker + strconv.Itoa(i))
		if filepath.Dir(r.prey) == filepath.Dir(r.victim) {
			call("set", "--adopt-id", attacker+strconv.Itoa(i), "of=attacker")
		}
	}
	return r
}

func (r rigged) sessions() string { return r.Dir + "/sessions" }

// open lets the planter in, with the mode: by the group if that may write, else by
// what all others may.
func (r rigged) open(path string, mode fs.FileMode) {
	r.t.Helper()
	group := planter
	if mode&0o020 == 0 {
		group = r.owner
	}
	must(r.t, os.Chown(path, r.owner, group))
	must(r.t, os.Chmod(path, mode))
}

// attack runs a command of a shell as the planter.
func (r rigged) attack(command string, args ...string) {
	r.t.Helper()
	c := r.Command("sh", append(argv{"-euc", command, "sh"}, args...)...)
	if got := cmdtest.Finish(r.t, asUser(c, planter)); got.Code != 0 {
		r.t.Fatalf("the attack fails: %+v", got)
	}
}

// get is what a request finds at the visitor's id.
func (r rigged) get() cmdtest.Ended {
	return cmdtest.Finish(r.t, asUser(r.client(cmdtest.Visitor).Command(r.bin, "get", "of"), r.owner))
}

// repair runs doctor, which must mend all, and then finds no more to mend.
func (r rigged) repair(asUid int) string {
	r.t.Helper()
	got := cmdtest.Finish(r.t, asUser(r.Command(r.bin, "doctor", "--repair", "--timeout", "1h"), asUid))
	if got.Code != 0 || !strings.Contains(got.Stdout, "warning  ") {
		r.t.Errorf("repair: %+v", got)
	}
	again := cmdtest.Finish(r.t, asUser(r.Command(r.bin, "doctor", "--deep", "--timeout", "1h"), asUid))
	if again.Code != 0 || regexp.MustCompile(`(?m)^warning +(directory|session|index)`).MatchString(again.Stdout) {
		r.t.Errorf("after the repair: %+v", again)
	}
	return got.Stdout
}

// texts returns how often each content is in the files of sessions and of what
// was moved aside.
func texts(t *testing.T, dir string) map[string]int {
	t.Helper()
	all := make(map[string]int)
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && !strings.Contains(path, "/.users/") && !strings.Contains(path, ".cleanup") {
			text, err := os.ReadFile(path)
			must(t, err)
			all[string(text)]++
		}
		return err
	}))
	return all
}

// openModes are modes by which the planter can write.
var openModes = []fs.FileMode{0o777, 0o775, 0o770, 0o733, 0o703, 0o777 | fs.ModeSticky, 0o777 | fs.ModeSetgid}

// What others could have put in the place of a session is no session after a
// repair, and is not lost; root mends it, and the owner does.
func TestRepairOpen(t *testing.T) {
	needRoot(t)
	const swap = `mv "$1" "$2"`
	steal := func(r rigged) { r.attack(swap, r.prey, r.victim) }
	type hole struct {
		open   func(r rigged, mode fs.FileMode)
		attack func(r rigged)
	}
	holes := map[string]hole{
		"shard": {func(r rigged, mode fs.FileMode) {
			r.open(r.sessions(), 0o711)
			r.open(filepath.Dir(r.victim), mode)
		}, steal},
		"data directory": {func(r rigged, mode fs.FileMode) { r.open(r.sessions(), mode) }, func(r rigged) {
			// Sessions that have ended come back with a directory that was put away.
			r.attack(`mv "$1" "$1.old"; mv "$1.old" "$1"`, filepath.Dir(r.victim))
		}},
		"both": {func(r rigged, mode fs.FileMode) {
			r.open(r.sessions(), mode)
			r.open(filepath.Dir(r.victim), mode)
		}, steal},
	}
	for name, h := range holes {
		for _, mode := range openModes[:cmdtest.Full(4, len(openModes))] {
			for _, by := range []int{0, other} {
				t.Run(fmt.Sprintf("%s/%v/repaired by %d", name, mode, by), func(t *testing.T) {
					t.Parallel()
					r := rig(t, other)
					h.open(r, mode)
					if mode&fs.ModeSticky == 0 {
						h.attack(r)
					}
					before := texts(t, r.sessions())
					if got := r.get(); got.Code != 77 {
						t.Errorf("before: %+v", got)
					}
					said := r.repair(by)
					if got := r.get(); got.Code != 1 {
						t.Errorf("after: %+v\n%s", got, said)
					}
					if after := texts(t, r.sessions()); !maps.Equal(after, before) {
						t.Errorf("there was %v and is %v", before, after)
					}
					if !strings.Contains(said, ".damaged") {
						t.Errorf("it says %s", said)
					}
					list := cmdtest.Finish(t, r.Command(r.bin, "list", "--user", "ann")).Stdout
					if kept := name == "shard"; kept != strings.Contains(list, `"ann"`) {
						t.Errorf("ann has %q", list)
					}
					if got := cmdtest.Finish(t, asUser(r.Command(r.bin, "set", "--adopt-id", cmdtest.Visitor, "of=new"), other)); got.Code != 0 {
						t.Errorf("a new session: %+v", got)
					}
					private(t, r.sessions())
				})
			}
		}
	}
}

// private wants all directories and files but those aside to be private.
func private(t *testing.T, dir string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.Contains(path, "/.damaged/") {
			return fs.SkipDir
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v", path, info.Mode())
		}
		return err
	}))
}

// A file that others could write is moved aside; one that they could only read is
// mended, and so are directories.
func TestRepairModes(t *testing.T) {
	needRoot(t)
	for mode, aside := range map[fs.FileMode]bool{
		0o666: true, 0o620: true, 0o602: true, 0o622: true, 0o646: true, 0o664: true, 0o777: true, 0o020: true,
		0o640: false, 0o604: false, 0o644: false, 0o444: false, 0o444 | fs.ModeSetuid: false, 0o711: false,
	} {
		r := rig(t, other)
		before := texts(t, r.sessions())
		must(t, os.Chmod(r.victim, mode))
		said := r.repair(0)
		got := r.get()
		if aside && got.Code != 1 || !aside && got.Stdout != `"victim"`+"\n" {
			t.Errorf("%v: %+v", mode, got)
		}
		if moved := strings.Contains(said, "it is now "+r.sessions()+"/.damaged/"+filepath.Base(r.victim)); moved != aside {
			t.Errorf("%v: %s", mode, said)
		}
		if after := texts(t, r.sessions()); !maps.Equal(after, before) {
			t.Errorf("%v: there was %v and is %v", mode, before, after)
		}
		private(t, r.sessions())
	}
	for _, mode := range []fs.FileMode{0o755, 0o750, 0o711, 0o705, 0o740} {
		r := rig(t, other)
		for _, path := range []string{r.sessions(), filepath.Dir(r.victim), r.sessions() + "/.users"} {
			must(t, os.Chmod(path, mode))
		}
		found := cmdtest.Finish(t, r.Command(r.bin, "doctor"))
		if found.Code != 0 || strings.Count(found.Stdout, "\nwarning  directory: ") != 3 {
			t.Errorf("%v: %+v", mode, found)
		}
		r.repair(0)
		if got := r.get(); got.Stdout != `"victim"`+"\n" {
			t.Errorf("%v: %+v", mode, got)
		}
		private(t, r.sessions())
	}
}

// The index of users is made from the sessions again, whatever others have put in
// its place.
func TestRepairIndex(t *testing.T) {
	needRoot(t)
	top := "/.users"
	part := top + "/" + userShard("ann")
	for name, attack := range map[string]string{
		"entries removed":                `rm "$1"/*`,
		"entries that are another's":     `for f in "$1"/*; do rm "$f"; : >"$f"; done`,
		"entries that are links":         `for f in "$1"/*; do rm "$f"; ln -s /etc/passwd "$f"; done`,
		"entries that are directories":   `for f in "$1"/*; do rm "$f"; mkdir "$f"; done`,
		"names that are as long as any":  `: >"$1/$(printf %0255d 0)"`,
		"the directory is another's":     `rm "$1"/*; mv "$1" "$1.old"; mkdir "$1"; : >"$1/file"`,
		"the directory is a link to his": `mv "$1" "$1.old"; ln -s /tmp "$1"`,
	} {
		for _, by := range []int{0, other} {
			t.Run(fmt.Sprintf("%s/repaired by %d", name, by), func(t *testing.T) {
				t.Parallel()
				r := rig(t, other)
				r.open(r.sessions(), 0o711)
				r.open(r.sessions()+top, 0o777)
				r.open(r.sessions()+part, 0o777)
				r.attack(attack, r.sessions()+part)
				r.repair(by)
				if got := r.get(); got.Stdout != `"victim"`+"\n" {
					t.Errorf("%+v", got)
				}
				got := cmdtest.Finish(t, asUser(r.Command(r.bin, "list", "--user", "ann"), other))
				if got.Code != 0 || strings.Count(got.Stdout, ` live "ann"`) != 1 {
					t.Errorf("ann has %+v", got)
				}
				if got := cmdtest.Finish(t, asUser(r.Command(r.bin, "destroy", "--json", "--user", "ann"), other)); got.Stdout != "{\"ended\":1}\n" {
					t.Errorf("%+v", got)
				}
			})
		}
	}
}

// A directory of another user in the place of a shard or of a session is put out of
// the way also by the owner of the data directory, who cannot move it far.
func TestRepairForeignDirectories(t *testing.T) {
	needRoot(t)
	for _, by := range []int{0, other} {
		r := rig(t, other)
		shard := filepath.Dir(r.victim)
		must(t, os.Rename(shard, r.Dir+"/away"))
		must(t, os.Mkdir(shard, 0o755))
		must(t, os.Chown(shard, planter, planter))
		r.repair(by)
		if got := r.get(); got.Code != 1 {
			t.Errorf("%+v", got)
		}
		if got := cmdtest.Finish(t, asUser(r.Command(r.bin, "set", "--adopt-id", cmdtest.Visitor, "of=new"), other)); got.Code != 0 {
			t.Errorf("%+v", got)
		}
		must(t, os.Remove(r.victim))
		must(t, os.Mkdir(r.victim, 0o755))
		must(t, os.Chown(r.victim, planter, planter))
		r.repair(by)
		if got := r.get(); got.Code != 1 {
			t.Errorf("%+v", got)
		}
	}
}

// While the data directory is repaired, and if that is killed at any of its steps,
// no request uses what is in it.
func TestRepairUnderWay(t *testing.T) {
	needRoot(t)
	needStrace(t)
	r := rig(t, 0)
	for _, step := range []string{"fchmod", "renameat2", "fsync"} {
		r.open(r.sessions(), 0o777)
		must(t, os.MkdirAll(filepath.Dir(r.victim), 0o777))
		must(t, os.Chmod(filepath.Dir(r.victim), 0o700))
		must(t, os.WriteFile(r.victim, nil, 0o600))
		looked := false
		got := stoppedAt(t, step, 1, func(int) {
			looked = true
			if got := r.get(); got.Code != 77 {
				t.Errorf("at %s: %+v", step, got)
			}
			if info, err := os.Stat(r.sessions()); err != nil || info.Mode().Perm()&0o013 != 0 {
				t.Errorf("at %s, others get in: %v, %v", step, info.Mode(), err)
			}
		}, r.Command(r.bin, "doctor", "--repair"))
		if !looked || got.Code != 0 {
			t.Errorf("%s: %+v", step, got)
		}
		if got := r.get(); got.Code != 1 {
			t.Errorf("after it was stopped at %s: %+v", step, got)
		}
	}
	for _, step := range []string{"fchmod", "renameat2", "fsync"} {
		for n := 1; n <= 3; n++ {
			r := rig(t, 0)
			r.open(r.sessions(), 0o777)
			must(t, os.WriteFile(r.sessions()+"/.cleanup", nil, 0o600))
			c := r.Command(r.bin, "doctor", "--repair")
			got := cmdtest.Finish(t, as(t, c, "strace", "-f", "-qq", "-o", os.DevNull, "-e", "trace="+step, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", step, n)))
			if got.Code != 128+int(syscall.SIGKILL) && got.Code != 0 {
				t.Errorf("%s %d: %+v", step, n, got)
			}
			if got := r.get(); got.Code != 77 && got.Code != 1 {
				t.Errorf("killed at %s %d: %+v", step, n, got)
			}
			cmdtest.Finish(t, r.Command(r.bin, "doctor", "--repair"))
			if got := r.get(); got.Code != 1 {
				t.Errorf("killed at %s %d, and repaired: %+v", step, n, got)
			}
		}
	}
}

// Without --repair doctor says what it would do about it, and so do the verbs that
// refuse it: to chmod it would be to trust what is in it.
func TestRepairIsNamed(t *testing.T) {
	needRoot(t)
	r := rig(t, 0)
	for _, path := range []string{r.victim, filepath.Dir(r.victim), r.sessions()} {
		must(t, os.Chmod(path, 0o777))
		for _, got := range []cmdtest.Ended{r.get(), cmdtest.Finish(t, r.Command(r.bin, "doctor", "--deep"))} {
			text := got.Stdout + got.Stderr
			if got.Code == 0 || !strings.Contains(text, "mode 0777 lets other users in; run cgisession doctor --repair") || strings.Contains(text, "go-rwx") {
				t.Errorf("%s: %+v", path, got)
			}
		}
	}
}

// A directory that is none of sessions keeps its mode.
func TestRepairOtherDirectory(t *testing.T) {
	for _, mode := range []fs.FileMode{0o777 | fs.ModeSticky, 0o777, 0o755} {
		for _, inside := range []string{"file", "ab.", ".hidden", "ab", "de/index.html"} {
			r := in(t.TempDir())
			must(t, os.MkdirAll(filepath.Dir(r.Dir+"/sessions/"+inside), 0o700))
			must(t, os.WriteFile(r.Dir+"/sessions/"+inside, nil, 0o600))
			must(t, os.Chmod(r.Dir+"/sessions", mode))
			got := r.Call(t, "doctor", "--repair")
			info, err := os.Stat(r.Dir + "/sessions")
			must(t, err)
			if got.Code != 1 || !strings.Contains(got.Stdout, "it holds no sessions, but something else") || info.Mode() != mode|fs.ModeDir {
				t.Errorf("%v, %s: %v, %+v", mode, inside, info.Mode(), got)
			}
		}
		r := in(t.TempDir())
		must(t, os.Mkdir(r.Dir+"/sessions", 0o700))
		must(t, os.Chmod(r.Dir+"/sessions", mode))
		if got := r.Call(t, "doctor", "--repair"); got.Code != 0 {
			t.Errorf("empty, %v: %+v", mode, got)
		}
		if info, err := os.Stat(r.Dir + "/sessions"); err != nil || info.Mode() != 0o700|fs.ModeDir {
			t.Errorf("empty, %v: %v", mode, info.Mode())
		}
	}
}

// What is in the place of the whole index is one fault, and mended at once.
func TestRepairIndexReplaced(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"file":      func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"link":      func(path string) error { return os.Symlink(open(t), path) },
		"dead link": func(path string) error { return os.Symlink("nowhere", path) },
		"FIFO":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"no access": func(path string) error { return os.Mkdir(path, 0) },
	} {
		r := in(t.TempDir())
		if got := r.Call(t, "regenerate", "--adopt-id", "session-of-ann-0", "--new-id", cmdtest.Visitor, "--user", "ann"); got.Code != 0 {
			t.Fatalf("%+v", got)
		}
		index := r.Dir + "/sessions/.users"
		must(t, os.RemoveAll(index))
		must(t, put(index))
		if found := r.Call(t, "doctor"); strings.Count(found.Stdout, "/.users") > 1 {
			t.Errorf("%s: %+v", name, found)
		}
		if got := r.Call(t, "doctor", "--repair"); got.Code != 0 {
			t.Errorf("%s: %+v", name, got)
		}
		if got := r.Call(t, "list", "--user", "ann"); strings.Count(got.Stdout, ` live "ann"`) != 1 {
			t.Errorf("%s: ann has %+v", name, got)
		}
	}
}

// A repair of the index that is killed at any of its steps is done by the next: what
// others put into the place of an entry does not stay there.
func TestRepairIndexKilled(t *testing.T) {
	needRoot(t)
	needStrace(t)
	for _, step := range []string{"/^fchmodat2?$", "renameat2"} {
		for n := 1; n <= 3; n++ {
			r := rig(t, 0)
			part := r.sessions() + "/.users/" + userShard("ann")
			r.open(r.sessions(), 0o711)
			r.open(r.sessions()+"/.users", 0o711)
			r.open(part, 0o777)
			r.attack(`for f in "$1"/*; do rm "$f"; : >"$f"; done`, part)
			c := r.Command(r.bin, "doctor", "--repair")
			cmdtest.Finish(t, as(t, c, "strace", "-f", "-qq", "-o", os.DevNull, "-e", "trace="+step, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", step, n)))
			cmdtest.Finish(t, r.Command(r.bin, "doctor", "--repair"))
			entries, err := os.ReadDir(part)
			must(t, err)
			for _, entry := range entries {
				info, err := entry.Info()
				must(t, err)
				if owner := info.Sys().(*syscall.Stat_t).Uid; owner != 0 {
					t.Errorf("killed at %s %d, and repaired: %s belongs to user %d", step, n, entry.Name(), owner)
				}
			}
		}
	}
}
