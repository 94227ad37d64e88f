package cmd_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"cgisession/cmd/cmdtest"
)

// needRoot skips the test where nothing can be given away.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
}

// givenAway returns a request whose sessions, some of them old, belong to a user
// and a group. Its directory is one that all users can get at.
func givenAway(t *testing.T, sessions, uid, gid int) request {
	t.Helper()
	r := plant(t, sessions, everySecond)
	dir := open(t)
	must(t, os.Rename(r.Dir+"/sessions", dir+"/sessions"))
	r.Dir = dir
	must(t, filepath.WalkDir(dir+"/sessions", func(path string, _ os.DirEntry, err error) error {
		if err == nil {
			err = os.Lchown(path, uid, gid)
		}
		return err
	}))
	return r
}

// as wraps a command by another, which becomes it.
func as(t *testing.T, c *exec.Cmd, wrapper ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(wrapper[0])
	if err != nil {
		t.Skip(err)
	}
	c.Path, c.Args = path, append(wrapper, c.Args...)
	return c
}

// credentials returns what a thread may do: lines of its status (proc_pid_status(5)).
func credentials(t *testing.T, status string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(status)
	must(t, err)
	found := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			found[name] = strings.Join(strings.Fields(value), " ")
		}
	}
	return found
}

// The users that the tests know: one of /etc/passwd, whose group has another
// number than any that is tried, and one that is not in it.
const webUser, webGroup = 33, 33

// Called by root, each operator's verb has nothing left of root when it reads the
// directory, in none of its threads, whatever it was started with.
func TestOwnerInAllThreads(t *testing.T) {
	needRoot(t)
	needStrace(t)
	verbs := []argv{
		{"cleanup", "--timeout", "1h"}, {"list"}, {"stats"}, {"doctor", "--deep"}, {"list", "--user", "ann"},
		{"show", "0000"}, {"destroy", "0000"}, {"destroy", "--user", "ann"},
	}
	starts := map[string]argv{
		"groups":       {"setpriv", "--groups", "4,27,42"},
		"capabilities": {"setpriv", "--groups", "4", "--inh-caps", "+chown,+dac_override,+setuid", "--ambient-caps", "+chown,+dac_override,+setuid"},
		"no fixup":     {"setpriv", "--groups", "0,4", "--securebits", "+no_setuid_fixup"},
		"own groups":   {"setpriv", "--groups", "33,4"},
	}
	for name, start := range starts {
		for _, verb := range verbs {
			for _, memory := range []bool{false, true}[:cmdtest.Full(1, 2)] {
				t.Run(fmt.Sprintf("%s/%s/memory %t", name, strings.Join(verb, " "), memory), func(t *testing.T) {
					t.Parallel()
					checkThreads(t, start, verb, memory)
				})
			}
		}
	}
}

func checkThreads(t *testing.T, start, verb argv, memory bool) {
	// The directory's group does not matter: its owner need not be in it.
	r := givenAway(t, 20, webUser, 4)
	must(t, os.MkdirAll(r.Dir+"/sessions/.users/"+userShard("ann"), 0o700))
	must(t, os.MkdirAll(r.Dir+"/sessions/00", 0o700))
	giveTo(t, webUser, r.Dir+"/sessions")
	if memory {
		r = r.with("CGISESSION_TYPE=memory").with("CGISESSION_DATA_DIR=" + inMemory(t, r.Dir+"/sessions"))
	}
	ids := fmt.Sprint(webUser, webUser, webUser, webUser)
	want := map[string]string{
		"Uid": ids, "Gid": ids, "Groups": "33",
		"CapInh": none64, "CapPrm": none64, "CapEff": none64, "CapAmb": none64,
	}
	// strace(1) runs as what started it, and so does the program.
	c := r.Command(cmdtest.Program, verb...)
	looked := 0
	stoppedAt(t, "getdents64", 1, func(pid int) {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		must(t, err)
		for _, thread := range threads {
			looked++
			got := credentials(t, thread)
			for line, value := range want {
				if got[line] != value {
					t.Errorf("%s: %s is %q, want %q", thread, line, got[line], value)
				}
			}
		}
	}, as(t, c, start...))
	if looked < 3 {
		t.Errorf("%d threads are too few to tell", looked)
	}
}

const none64 = "0000000000000000"

// inMemory copies the directory to a file system in memory.
func inMemory(t *testing.T, dir string) string {
	t.Helper()
	to, err := os.MkdirTemp("/dev/shm", "cgisession")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.RemoveAll(to) })
	must(t, os.Chmod(to, 0o755))
	if text, err := exec.Command("cp", "-a", dir, to+"/sessions").CombinedOutput(); err != nil {
		t.Skipf("%v: %s", err, text)
	}
	return to + "/sessions"
}

// The rights of root's groups are not used for the log either: its way may lead
// through a symbolic link of the owner's to where only such a group may write.
func TestOwnerLog(t *testing.T) {
	needRoot(t)
	for _, args := range []argv{{"cleanup", "--timeout", "1h"}, {"destroy"}, {"doctor", "--deep"}} {
		r := givenAway(t, 40, webUser, webGroup)
		must(t, os.Mkdir(r.Dir+"/guarded", 0o770))
		must(t, os.Chmod(r.Dir+"/guarded", 0o770|os.ModeSticky))
		must(t, os.Chown(r.Dir+"/guarded", 0, 4))
		must(t, os.WriteFile(r.Dir+"/guarded/log", nil, 0o660))
		must(t, os.Chown(r.Dir+"/guarded/log", 0, 4))
		must(t, os.Mkdir(r.Dir+"/wlog", 0o700))
		must(t, os.Symlink(r.Dir+"/guarded", r.Dir+"/wlog/app"))
		giveTo(t, webUser, r.Dir+"/wlog")
		switch args[0] {
		case "destroy":
			args = append(args, filepath.Base(r.planted(0)))
		case "doctor": // logs what it skips
			must(t, os.Chmod(filepath.Dir(r.planted(0)), 0o777))
		}
		got := cmdtest.Finish(t, as(t, r.with("CGISESSION_LOG_FILE="+r.Dir+"/wlog/app/log").Command(cmdtest.Program, args...), "setpriv", "--groups", "4,27,42"))
		if text, err := os.ReadFile(r.Dir + "/guarded/log"); err != nil || len(text) > 0 {
			t.Errorf("%q writes %q, %v", args, text, err)
		}
		if files, _ := os.ReadDir(r.Dir + "/guarded"); len(files) != 1 {
			t.Errorf("%q makes %v", args, files)
		}
		if !strings.Contains(got.Stderr, "log file: open "+r.Dir+"/wlog/app/log: permission denied\n") {
			t.Errorf("%q: %+v", args, got)
		}
	}
}

// The group is the owner's own by /etc/passwd; without a line there it is the
// directory's, but never that of root.
func TestOwnerGroup(t *testing.T) {
	needRoot(t)
	const passwd = "root:x:0:0:root:/root:/bin/sh\nshort:x:4711\nodd:x:4712:many:::\nfirst:x:4713:4800:::\nsecond:x:4713:4900:::\nwheel:x:4714:0:::\n# 4715:x:4715:4715:::\n"
	file := filepath.Join(t.TempDir(), "passwd")
	must(t, os.WriteFile(file, []byte(passwd), 0o644))
	for _, c := range []struct {
		what             string
		uid, gid         int
		is, denied, want string
	}{
		{"of /etc/passwd", 4713, 0, "4800", "", ""},
		{"of /etc/passwd, not of the directory", 4713, 4, "4800", "", ""},
		{"of /etc/passwd, root's", 4714, 4, "0", "", ""},
		{"of the directory", 4799, 4321, "4321", "", ""},
		{"of the directory: the line is too short", 4711, 4321, "4321", "", ""},
		{"of the directory: the line has no group", 4712, 4321, "4321", "", ""},
		{"none", 4799, 0, "", "", "it is not in /etc/passwd"},
		{"none: the line has no group", 4712, 0, "", "", "it is not in /etc/passwd"},
		{"no right to set groups", 4713, 4800, "", "-setgid", "operation not permitted"},
		{"no right to set users", 4713, 4800, "", "-setuid", "operation not permitted"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			r := givenAway(t, 10, c.uid, c.gid)
			start := argv{"unshare", "--mount", "sh", "-c", `mount --bind "$0" /etc/passwd && exec "$@"`, file}
			if c.denied != "" {
				start = append(start, "setpriv", "--bounding-set", c.denied)
			}
			for _, verb := range []string{"cleanup", "list", "stats", "doctor"} {
				got := cmdtest.Finish(t, as(t, r.Command(cmdtest.Program, verb, "--timeout", "1h"), start...))
				if c.want == "" {
					if got.Code != 0 {
						t.Errorf("%s: %+v", verb, got)
					}
					continue
				}
				if got.Code != 77 || got.Stdout != "" || strings.Count(got.Stderr, "\n") != 1 || !strings.Contains(got.Stderr, c.want) || !strings.Contains(got.Stderr, "runuser -u USER") {
					t.Errorf("%s: %+v", verb, got)
				}
			}
			var st unix.Stat_t
			err := unix.Stat(r.Dir+"/sessions/.cleanup", &st)
			switch {
			case c.want != "":
				if err != unix.ENOENT {
					t.Errorf("cleanup went on: %v", err)
				}
			case err != nil || int(st.Uid) != c.uid || fmt.Sprint(st.Gid) != c.is:
				t.Errorf("what is made belongs to %d:%d, want %d:%s; %v", st.Uid, st.Gid, c.uid, c.is, err)
			}
		})
	}
}

// Verbs of requests never become another.
func TestRequestStaysRoot(t *testing.T) {
	needRoot(t)
	r := givenAway(t, 10, webUser, webGroup)
	got := r.with("CGISESSION_ADOPT_ID="+cmdtest.Visitor).Call(t, "set", "a=1")
	if got.Code != 77 || !strings.Contains(got.Stderr, "belongs to user 33, not to the caller, user 0") {
		t.Errorf("%+v", got)
	}
	got = r.with("CGISESSION_ADOPT_ID="+cmdtest.Visitor).Call(t, "run", "id", "-u")
	if got.Code != 77 {
		t.Errorf("%+v", got)
	}
}

// The process by which doctor tries the lock acts in the same directory: one that
// somebody made by root's default name is not looked at.
func TestDoctorLockOnceOfRoot(t *testing.T) {
	needRoot(t)
	needStrace(t)
	r := begin(t, `{}`)
	if got := r.Call(t, "cleanup", "--timeout", "1h"); got.Code != 0 {
		t.Fatalf("%+v", got)
	}
	trace := filepath.Join(t.TempDir(), "trace")
	got := cmdtest.Finish(t, as(t, r.Command(cmdtest.Program, "doctor"), "strace", "-f", "-qq", "-o", trace, "-e", "trace=%file,%creds"))
	text, err := os.ReadFile(trace)
	must(t, err)
	if got.Code != 0 || strings.Contains(string(text), `"/tmp/cgisession-0"`) || !regexp.MustCompile(`execve\("/proc/self/exe"`).Match(text) {
		t.Errorf("%+v\n%s", got, text)
	}
}

// A default directory that is named for one user and belongs to another is a
// problem, for every caller.
func TestDoctorMisnamed(t *testing.T) {
	needRoot(t)
	tmp := open(t)
	must(t, os.Chmod(tmp, 0o777|os.ModeSticky))
	own := open(t) // nobody else can make anything in it
	for _, c := range []struct {
		what, dir string
		options   argv
		uid       int // whose it is
		asUser    int // who asks
		wrong     bool
	}{
		{"root's, made by another", tmp + "/cgisession-0", nil, planter, 0, true},
		{"root's", tmp + "/cgisession-0", nil, 0, 0, false},
		{"another's, by name", tmp + "/cgisession-33", argv{"--data-dir", tmp + "/cgisession-33"}, planter, 0, true},
		{"the web server's, by name", tmp + "/cgisession-33", argv{"--data-dir", tmp + "/cgisession-33"}, webUser, 0, false},
		{"the web server's, made by root", tmp + "/cgisession-33", argv{"--data-dir", tmp + "/cgisession-33"}, 0, 0, true},
		{"the web server's, by itself", tmp + "/cgisession-33", nil, webUser, webUser, false},
		{"another's, by the web server", tmp + "/cgisession-33", nil, planter, webUser, true},
		{"of another name", tmp + "/cgisession-33x", argv{"--data-dir", tmp + "/cgisession-33x"}, planter, 0, false},
		{"the second of a site", own + "/cgisession-2", argv{"--data-dir", own + "/cgisession-2"}, webUser, 0, false},
	} {
		must(t, os.RemoveAll(c.dir))
		must(t, os.Mkdir(c.dir, 0o700))
		must(t, os.Chown(c.dir, c.uid, c.uid))
		r := in(tmp).with("CGISESSION_DATA_DIR=").with("TMPDIR=" + tmp).with("CGISESSION_TIMEOUT=1h")
		command := r.Command(cmdtest.Program, append(argv{"doctor"}, c.options...)...)
		if c.asUser != 0 {
			command = r.Command(reachable(t), append(argv{"doctor"}, c.options...)...)
			command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(c.asUser), Gid: uint32(c.asUser)}}
		}
		got := cmdtest.Finish(t, command)
		problem := regexp.MustCompile(`(?m)^problem +directory: .*`).FindString(got.Stdout)
		if (problem != "") != c.wrong || c.wrong && got.Code != 1 || strings.Contains(got.Stdout, "alone") == c.wrong {
			t.Errorf("%s: %+v", c.what, got)
		}
		must(t, os.RemoveAll(c.dir))
	}
}

// reachable returns a name of the program by which all users can run it.
func reachable(t *testing.T) string {
	t.Helper()
	path := open(t) + "/cgisession"
	must(t, os.Link(cmdtest.Program, path))
	return path
}

// asUser has a command run as a user, with that user's group alone.
func asUser(c *exec.Cmd, uid int) *exec.Cmd {
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	return c
}

// userShard returns the directory of the index that has the user.
func userShard(user string) string {
	sum := sha256.Sum256([]byte(user))
	return hex.EncodeToString(sum[:1])
}
