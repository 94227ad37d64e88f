package cmd_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/cmd/cmdtest"
)

// planter is the user who has put something where sessions belong.
const planter = 1234

// A place is where the visitor's session is, and what another user made of it.
type place struct {
	request
	root string // has all that the test makes
	dir  string // the data directory
	file string // the session's
}

func (p place) shard() string { return filepath.Dir(p.file) }

// newPlace makes the visitor's session in a data directory that is named by an
// option, or, if that is wanted, in the one that the program takes by default.
func newPlace(t *testing.T, byDefault bool) place {
	t.Helper()
	root := t.TempDir()
	p := place{request: in(root + "/site"), root: root, dir: root + "/site/sessions"}
	must(t, os.Mkdir(p.request.Dir, 0o700))
	if byDefault {
		tmp := root + "/tmp"
		must(t, os.Mkdir(tmp, 0o700))
		must(t, os.Chmod(tmp, 0o777|os.ModeSticky))
		p.dir = fmt.Sprintf("%s/cgisession-%d", tmp, os.Geteuid())
		p.request = p.with("CGISESSION_DATA_DIR=").with("TMPDIR=" + tmp)
	}
	h := handle("cgisession_id", cmdtest.Visitor)
	p.file = p.dir + "/" + h[:2] + "/" + h
	if got := p.with("CGISESSION_ADOPT_ID="+cmdtest.Visitor).Give(t, `{"a":"secret","n":1}`, "save"); got.Code != 0 {
		t.Fatalf("no session to begin with: %+v", got)
	}
	return p
}

// must fails the test on an error of its preparations.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A verbCall is a verb with its arguments and what it gets on standard input.
type verbCall struct {
	args  argv
	stdin string
}

// requestCalls are calls of all verbs that work on a request's session. A COMMAND
// leaves a file behind if it is run.
var requestCalls = []verbCall{
	{args: argv{"load"}},
	{args: argv{"load", "--sh", "a"}},
	{args: argv{"load", "--no-lock"}},
	{args: argv{"get"}},
	{args: argv{"get", "--no-lock", "a"}},
	{args: argv{"set", "a=planted"}},
	{args: argv{"unset", "a"}},
	{args: argv{"save"}, stdin: `{"a":"planted"}`},
	{args: argv{"delete"}},
	{args: argv{"invalidate"}},
	{args: argv{"invalidate", "--expire"}},
	{args: argv{"regenerate"}},
	{args: argv{"regenerate", "--grace", "1m"}},
	{args: argv{"regenerate", "--user", "eve"}},
	{args: argv{"info"}},
	{args: argv{"cookie"}},
	{args: argv{"csrf"}},
	{args: argv{"incr", "n"}},
	{args: argv{"pop", "a"}},
	{args: argv{"append", "list", "1"}},
	{args: argv{"edit", "touch", "edited"}},
	{args: argv{"lock", "touch", "locked"}},
	{args: argv{"lock-path"}},
	{args: argv{"run", "touch", "run"}},
	{args: argv{"run", "--lock", "touch", "run"}},
}

// creatingCalls are calls of the verbs that begin a session for who has none.
var creatingCalls = []verbCall{
	{args: argv{"load"}},
	{args: argv{"set", "a=planted"}},
	{args: argv{"save"}, stdin: `{"a":"planted"}`},
	{args: argv{"invalidate"}},
	{args: argv{"regenerate"}},
	{args: argv{"run", "touch", "run"}},
}

// A trap turns a place into what must not be used. It returns what is outside of
// the place and must stay as it is too.
type trap func(t *testing.T, p place) (outside []string)

// fileTraps are about the session's file.
var fileTraps = map[string]trap{
	"symbolic link to another session": func(t *testing.T, p place) []string {
		must(t, os.Rename(p.file, p.root+"/other"))
		must(t, os.Symlink(p.root+"/other", p.file))
		return nil
	},
	"symbolic link to the passwords": func(t *testing.T, p place) []string {
		if _, err := os.Stat("/etc/shadow"); err != nil {
			t.Skip(err)
		}
		must(t, os.Remove(p.file))
		must(t, os.Symlink("/etc/shadow", p.file))
		return []string{"/etc/shadow"}
	},
	"symbolic link to nothing": func(t *testing.T, p place) []string {
		must(t, os.Remove(p.file))
		must(t, os.Symlink(p.root+"/made", p.file))
		return nil
	},
	"hard link": func(t *testing.T, p place) []string {
		must(t, os.Link(p.file, p.root+"/other"))
		return nil
	},
	"hard link to the like of passwords": func(t *testing.T, p place) []string {
		must(t, os.Remove(p.file))
		must(t, os.WriteFile(p.root+"/shadow", []byte("root:*:1:\n"), 0o600))
		must(t, os.Link(p.root+"/shadow", p.file))
		return nil
	},
	"FIFO": func(t *testing.T, p place) []string {
		must(t, os.Remove(p.file))
		must(t, unix.Mkfifo(p.file, 0o600))
		return nil
	},
	"directory": func(t *testing.T, p place) []string {
		must(t, os.Remove(p.file))
		must(t, os.Mkdir(p.file, 0o700))
		return nil
	},
	"socket": func(t *testing.T, p place) []string {
		must(t, os.Remove(p.file))
		// Made elsewhere: the path may be too long for an address.
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: p.root + "/s"})
		must(t, err)
		t.Cleanup(func() { l.Close() })
		must(t, os.Rename(p.root+"/s", p.file))
		return nil
	},
	"foreign": func(t *testing.T, p place) []string {
		must(t, os.Chown(p.file, planter, -1))
		return nil
	},
	"mode 0666": func(t *testing.T, p place) []string {
		must(t, os.Chmod(p.file, 0o666))
		return nil
	},
	"mode 0666, and locked by the one who made it": func(t *testing.T, p place) []string {
		must(t, os.Chmod(p.file, 0o666))
		f, err := os.OpenFile(p.file, os.O_RDWR, 0)
		must(t, err)
		t.Cleanup(func() { f.Close() })
		must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
		return nil
	},
	"shard that is a symbolic link": func(t *testing.T, p place) []string {
		must(t, os.Rename(p.shard(), p.root+"/shard"))
		must(t, os.Symlink(p.root+"/shard", p.shard()))
		return nil
	},
	"foreign shard": func(t *testing.T, p place) []string {
		must(t, os.Chown(p.shard(), planter, -1))
		return nil
	},
	"shard of mode 0777": func(t *testing.T, p place) []string {
		must(t, os.Chmod(p.shard(), 0o777))
		return nil
	},
}

// directoryTraps are about the data directory.
var directoryTraps = map[string]trap{
	"symbolic link": func(t *testing.T, p place) []string {
		must(t, os.Rename(p.dir, p.root+"/real"))
		must(t, os.Symlink(p.root+"/real", p.dir))
		return nil
	},
	"symbolic link of another user to his own": func(t *testing.T, p place) []string {
		must(t, os.Rename(p.dir, p.root+"/his"))
		giveTo(t, planter, p.root+"/his")
		must(t, os.Symlink(p.root+"/his", p.dir))
		must(t, os.Lchown(p.dir, planter, planter))
		return nil
	},
	"made by another user": func(t *testing.T, p place) []string {
		giveTo(t, planter, p.dir)
		return nil
	},
	"empty, made by another user": func(t *testing.T, p place) []string {
		must(t, os.RemoveAll(p.dir))
		must(t, os.Mkdir(p.dir, 0o700))
		must(t, os.Chown(p.dir, planter, planter))
		return nil
	},
	"group-writable": func(t *testing.T, p place) []string {
		must(t, os.Chmod(p.dir, 0o770))
		return nil
	},
	"world-writable": func(t *testing.T, p place) []string {
		must(t, os.Chmod(p.dir, 0o702))
		return nil
	},
	"mode 0777": func(t *testing.T, p place) []string {
		must(t, os.Chmod(p.dir, 0o777))
		return nil
	},
	"file": func(t *testing.T, p place) []string {
		must(t, os.RemoveAll(p.dir))
		must(t, os.WriteFile(p.dir, []byte("text"), 0o600))
		return nil
	},
}

// giveTo gives all that is in the directory to the user.
func giveTo(t *testing.T, uid int, dir string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = os.Lchown(path, uid, uid)
		}
		return err
	}))
}

// What other users may have put in the place of a session, of its shard or of the
// data directory is refused by every verb, at once, neither read nor changed.
func TestUnsafe(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	for name, set := range fileTraps {
		t.Run("file/"+name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, false)
			watch(t, p, set(t, p)).refuses(t, namings, requestCalls)
		})
	}
	for name, set := range directoryTraps {
		for _, byDefault := range []bool{false, true} {
			t.Run(fmt.Sprintf("directory/%s/by default %t", name, byDefault), func(t *testing.T) {
				t.Parallel()
				p := newPlace(t, byDefault)
				w := watch(t, p, set(t, p))
				w.refuses(t, namings, requestCalls)
				w.refuses(t, argv{"HTTP_COOKIE="}, creatingCalls)
			})
		}
	}
}

// namings are the ways to name the session: on the word of the client, of the
// script, and of an earlier call of the request.
var namings = argv{"HTTP_COOKIE=cgisession_id=" + cmdtest.Visitor, "CGISESSION_ADOPT_ID=" + cmdtest.Visitor, "CGISESSION_ID=" + cmdtest.Visitor}

// A watched is a place and what must stay as it is.
type watched struct {
	place
	made  map[string]string // all in the place's root
	paths []string          // of these, and of what is outside
	old   time.Time
}

// watch makes all in the place old, so that even a file system that marks few
// reads (relatime, mount(8)) marks the next one. What is outside keeps its times.
func watch(t *testing.T, p place, outside []string) watched {
	t.Helper()
	w := watched{place: p, made: tree(t, p.root), old: time.Now().Add(-48 * time.Hour)}
	w.makeOld(t)
	w.made = tree(t, p.root)
	w.paths = append(slices.Collect(maps.Keys(w.made)), outside...)
	return w
}

func (w watched) makeOld(t *testing.T) {
	t.Helper()
	ts := unix.NsecToTimespec(w.old.UnixNano())
	for path := range w.made {
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
	}
}

// stamps tells of each path all that lstat(2) does: a read shows in the first time,
// any change in the last.
func (w watched) stamps(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, path := range w.paths {
		var st unix.Stat_t
		must(t, unix.Lstat(path, &st))
		all[path] = fmt.Sprintf("mode %o, user %d, %d links, %d bytes, times %d %d %d", st.Mode, st.Uid, st.Nlink, st.Size, st.Atim.Nano(), st.Mtim.Nano(), st.Ctim.Nano())
	}
	return all
}

// refuses makes each call with each naming, and wants it refused.
func (w watched) refuses(t *testing.T, namings argv, calls []verbCall) {
	t.Helper()
	for _, naming := range namings {
		for _, call := range calls {
			w.check(t, naming, call)
		}
	}
}

// check makes one call, and wants it refused and nothing changed or read.
func (w watched) check(t *testing.T, naming string, call verbCall) {
	t.Helper()
	what := fmt.Sprintf("%s with %.12s", call.args, naming)
	w.makeOld(t)
	before := w.stamps(t)
	got := promptly(t, w.with(naming), call)
	after := w.stamps(t)
	if got.Code != 77 || got.Stdout != "" {
		t.Errorf("%s: code %d, stdout %q", what, got.Code, got.Stdout)
	}
	if !strings.HasPrefix(got.Stderr, "cgisession: "+call.args[0]+": ") || !strings.Contains(got.Stderr, ": unsafe: ") || strings.Count(got.Stderr, "\n") != 1 {
		t.Errorf("%s: stderr %q", what, got.Stderr)
	}
	for path, stamp := range after {
		if stamp != before[path] {
			t.Errorf("%s: %s was\n%s\nand is\n%s", what, path, before[path], stamp)
		}
	}
	made := tree(t, w.root)
	for path := range made {
		if _, ok := w.made[path]; !ok {
			t.Errorf("%s: there is now %s", what, path)
		}
	}
	for path, text := range w.made {
		if made[path] != text {
			t.Errorf("%s: %s was %q and is %q", what, path, text, made[path])
		}
	}
}

// promptly makes a call that must end by itself: what waits for a FIFO or for a
// lock of the one who made the file is killed, and fails the test.
func promptly(t *testing.T, r request, call verbCall) cmdtest.Ended {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), cmdtest.Patience)
	defer cancel()
	c := exec.CommandContext(ctx, cmdtest.Program, call.args...)
	like := r.Command(cmdtest.Program)
	var stdout, stderr bytes.Buffer
	c.Dir, c.Env, c.Stdin, c.Stdout, c.Stderr = like.Dir, like.Env, strings.NewReader(call.stdin), &stdout, &stderr
	err := c.Run()
	if ctx.Err() != nil || c.ProcessState == nil {
		t.Fatalf("%s hangs: %v", call.args, err)
	}
	return cmdtest.Ended{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmdtest.ExitCode(c)}
}

// Whatever the mask, all that is made is this user's alone: directories 0700 and
// files 0600, but for the old id in its grace. Root would not notice a mode that
// shuts him out, so another user makes the same calls.
func TestUmask(t *testing.T) {
	// Where root's program is, nobody else can get at it. So it is copied.
	bin := open(t)
	text, err := os.ReadFile(cmdtest.Program)
	must(t, err)
	cmdtest.WriteScript(t, bin+"/cgisession", string(text))
	for _, mask := range []string{"000", "022", "077", "777"} {
		for _, uid := range []int{os.Geteuid(), planter} {
			for _, byDefault := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/user %d/by default %t", mask, uid, byDefault), func(t *testing.T) {
					t.Parallel()
					if uid != os.Geteuid() && os.Geteuid() != 0 {
						t.Skip("not root")
					}
					checkMasked(t, bin, mask, uid, byDefault)
				})
			}
		}
	}
}

// maskedCalls make all that there is to make: directories, a session, an old id,
// the index of users, an empty file to lock, cleanup's notes, damaged files put
// away, and the log.
const maskedCalls = `
	umask $1
	set -e
	eval "$(cgisession load --sh --log-file log)"
	eval "$(cgisession invalidate --sh --log-file log)"
	cgisession set a=1
	eval "$(cgisession regenerate --sh --user ann)"
	cgisession regenerate --grace 1h
	unset CGISESSION_ID
	cgisession lock-path --adopt-id another-session-of-the-script
	cgisession set --adopt-id damaged-session-of-the-script a=1
	echo damaged >"$(cgisession lock-path --adopt-id damaged-session-of-the-script)"
	cgisession cleanup --timeout 1h
	cgisession doctor --deep --repair
`

// checkMasked makes the calls as the user, by the program in bin, and looks at
// what they made.
func checkMasked(t *testing.T, bin, mask string, uid int, byDefault bool) {
	t.Helper()
	r := in(open(t) + "/site")
	must(t, os.Mkdir(r.Dir, 0o700))
	must(t, os.Chown(r.Dir, uid, uid))
	if byDefault {
		r = r.with("CGISESSION_DATA_DIR=").with("TMPDIR=" + r.Dir)
	}
	c := r.with("PATH="+bin+":"+os.Getenv("PATH")).Command("sh", "-c", maskedCalls, "sh", mask)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	if got := cmdtest.Finish(t, c); got.Code != 0 || got.Stderr != "" {
		t.Errorf("%+v", got)
	}
	checkModes(t, r.Dir)
}

// leadsOn reports whether the file is an old id in its grace.
func leadsOn(t *testing.T, path string) bool {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return bytes.Contains(text, []byte(`"moved":"`))
}

// checkModes wants of all that is in the directory the modes that the design has.
func checkModes(t *testing.T, dir string) {
	t.Helper()
	made := map[string]int{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		want := fs.FileMode(0o600)
		switch {
		case err != nil:
			return err
		case info.IsDir():
			want = fs.ModeDir | 0o700
		case leadsOn(t, path):
			want = 0o400
		}
		made[want.String()]++
		if info.Mode() != want {
			t.Errorf("%s: mode %v, want %v", path, info.Mode(), want)
		}
		return nil
	})
	must(t, err)
	if made["-r--------"] != 1 || made["-rw-------"] < 6 || made["drwx------"] < 5 {
		t.Errorf("too little was made: %v", made)
	}
}
