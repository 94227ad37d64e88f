package cmd_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
)

// holders are shells that hold the session's lock over their calls, in several
// ways.
var holders = []struct {
	name    string
	command []string
	begin   string // what the shell does first
	unlock  string
}{
	{"lock COMMAND", []string{"cgisession", "lock", "sh"}, ":",
		`cgisession unlock --fd "$CGISESSION_LOCK_FD"; unset CGISESSION_LOCK_FD`},

	{"run --lock", []string{"cgisession", "run", "--lock", "sh"}, ":",
		`cgisession unlock --fd "$CGISESSION_LOCK_FD"; unset CGISESSION_LOCK_FD`},

	{"dash", []string{"dash"},
		`p=$(cgisession lock-path) && exec 9<"$p" && export CGISESSION_LOCK_FD=9 && cgisession lock --fd 9`,
		`cgisession unlock --fd 9; unset CGISESSION_LOCK_FD; exec 9<&-`},

	{"bash", []string{"bash"},
		`p=$(cgisession lock-path) && exec {lock}<"$p" && export CGISESSION_LOCK_FD=$lock && cgisession lock --fd $lock`,
		`cgisession unlock --fd $lock; unset CGISESSION_LOCK_FD; exec {lock}<&-`},

	{"perl", []string{"perl", "-e", perlHolder}, ":",
		`cgisession unlock --fd "$CGISESSION_LOCK_FD"; unset CGISESSION_LOCK_FD`},
}

// perlHolder is a Perl script that takes the lock and then has a shell do the
// work, which inherits the descriptor since that is not over $^F.
const perlHolder = `
	use strict;
	use warnings;
	$^F = 255;
	chomp(my $path = qx(cgisession lock-path));
	open(my $lock, '<', $path) or die "$path: $!";
	$ENV{CGISESSION_LOCK_FD} = fileno($lock);
	system('cgisession', 'lock', '--fd', fileno($lock)) == 0 or die 'no lock';
	exit(system('sh') >> 8);
`

// needs skips the test where there is no such program.
func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skip(err)
	}
}

// isLocked reports whether a call changed nothing since another process has the
// lock, and said so with the hint for one who has it himself.
func isLocked(e cmdtest.Ended) bool {
	return e.Code == 75 && e.Stdout == "" && lockedMessage.MatchString(e.Stderr)
}

var lockedMessage = regexp.MustCompile(`\Acgisession: [a-z]+: .*locked by another process.*export CGISESSION_LOCK_FD.*\n\z`)

// locked reports whether other requests find the session locked, one that would
// change it and one that would only read.
func (r request) locked(t *testing.T) bool {
	t.Helper()
	change := r.Call(t, "set", "other=1", "--lock-timeout", "0")
	read := r.Call(t, "get", "--lock-timeout", "0")
	for _, got := range []cmdtest.Ended{change, read} {
		if got.Code != 0 && !isLocked(got) {
			t.Errorf("in another request: %+v", got)
		}
	}
	return isLocked(change) && isLocked(read)
}

// A lock that is held over several calls lives through saves, delete and
// regenerate, until it is given back or its holder ends. All the while the
// holder's own calls go on, and no other's do.
func TestLockHeld(t *testing.T) {
	for _, h := range holders {
		t.Run(h.name, func(t *testing.T) {
			needs(t, h.command[0])
			r := begin(t, `{"n":0}`)
			sh := r.Start(t, h.command[0], h.command[1:]...)
			if stdout, code := sh.Do(t, h.begin); code != 0 {
				t.Fatalf("no lock: code %d, stdout %q, stderr %q", code, stdout, sh.Said(t))
			}
			other := r // the ids that other requests have
			for _, line := range []string{
				`cgisession incr n >out`,
				`cgisession set a=1 b:='[1]'`,
				`cgisession append b 2 3 >out`,
				`i=0; while [ $i -lt 4000 ]; do echo 0123456789; i=$((i + 1)); done >long`,
				`cgisession set long@=long`,
				`cgisession incr n >out`,
				`cgisession get a >out`,
				`cgisession info >out`,
				`cgisession load >out`,
				`cgisession unset long`,
				`cgisession set c=1`,
				`cgisession edit sed s/1/2/ >out`,
				`cgisession delete`,
				`echo '{"n":5}' | cgisession save`,
				`eval "$(cgisession regenerate --sh)" >out`,
				`cgisession incr n >out`,
				`eval "$(cgisession regenerate --grace 1m --sh)" >out`,
				`cgisession delete`,
				`cgisession set n:=7`,
			} {
				if stdout, code := sh.Do(t, line); code != 0 || stdout != "" {
					t.Fatalf("%s: code %d, stdout %q, stderr %q", line, code, stdout, sh.Said(t))
				}
				if id, _ := sh.Do(t, `echo "$CGISESSION_ID"`); strings.Contains(line, "regenerate --sh") {
					other = r.bound(strings.TrimSpace(id)) // the first id is dead
				}
				if !other.locked(t) {
					t.Fatalf("not locked after %s", line)
				}
			}
			if live, _ := r.files(t); len(live) != 1 {
				t.Errorf("%d sessions, want 1", len(live))
			}

			// Given back while the holder goes on, whose calls then lock for themselves.
			if stdout, code := sh.Do(t, h.unlock); code != 0 || stdout != "" {
				t.Errorf("unlock: code %d, stdout %q, stderr %q", code, stdout, sh.Said(t))
			}
			sh.Do(t, `cgisession incr n >out`)
			if other.locked(t) {
				t.Error("locked after unlock")
			}
			if stdout, _ := sh.Do(t, `cgisession get`); stdout != `{"n":8,"other":"1"}`+"\n" {
				t.Errorf("data at the end: %s", stdout)
			}
			sh.End(t)
			if message := sh.Said(t); message != "" {
				t.Errorf("stderr: %s", message)
			}
		})
	}
}

// lock COMMAND becomes COMMAND, in the same process, and so ends as that does.
func TestLockCommand(t *testing.T) {
	r := begin(t, `{"n":0}`)
	for _, command := range []struct {
		script string
		want   cmdtest.Ended
	}{
		{"cgisession incr n", cmdtest.Ended{Stdout: "1\n"}},
		{"exit 7", cmdtest.Ended{Code: 7}},
		{"kill -9 $$", cmdtest.Ended{Code: 128 + 9}},
		{"cat; echo said >&2", cmdtest.Ended{Stdout: "given", Stderr: "said\n"}},
	} {
		if got := r.Give(t, "given", "lock", "sh", "-c", command.script); got != command.want {
			t.Errorf("lock sh -c %q: %+v, want %+v", command.script, got, command.want)
		}
	}
	c := r.Command(cmdtest.Program, "lock", "sh", "-c", "echo $$")
	if got := cmdtest.Finish(t, c); got.Stdout != strconv.Itoa(c.Process.Pid)+"\n" {
		t.Errorf("COMMAND is another process than %d: %+v", c.Process.Pid, got)
	}

	// What lock itself has to say.
	if got := r.Call(t, "lock", "no-such-command"); got.Code != 127 || got.Stdout != "" {
		t.Errorf("lock without its command: %+v", got)
	}
	for _, none := range []request{r.client("no-session-no-session-no-session"), in(r.Dir)} {
		if got := none.Call(t, "lock", "echo", "run"); got != noSession("lock") {
			t.Errorf("lock without a session: %+v", got)
		}
		if got := none.Call(t, "lock-path"); got != noSession("lock-path") {
			t.Errorf("lock-path without a session: %+v", got)
		}
	}
	if live, others := r.files(t); len(live) != 1 || len(others) != 0 {
		t.Errorf("%d sessions and %d other files, want 1 and 0", len(live), len(others))
	}
}

// descriptors are those that are no lock of the session, as a shell makes them
// on number 9.
var descriptors = []struct{ name, exec, fd string }{
	{"another session", `exec 9<"$other"`, "9"},
	{"a copy of the session", `cp "$path" copy; exec 9<copy`, "9"},
	{"a device", `exec 9</dev/null`, "9"},
	{"a directory", `exec 9<.`, "9"},
	{"a pipe", `mkfifo pipe; exec 9<>pipe`, "9"},
	{"closed", `exec 9<&-`, "9"},
	{"3, which is not passed on", `exec 3<&-`, "3"},
	{"4, which is not passed on", `exec 4<&-`, "4"},
	{"7, which is not passed on", `exec 7<&-`, "7"},
	{"far too high", `:`, "1000000"},
}

// Where the lock would be on a descriptor that is none of the session, nothing is
// done, nor read.
func TestLockOtherDescriptor(t *testing.T) {
	const other = "another-session-than-the-visitors"
	r := begin(t, `{"n":0}`)
	if got := in(r.Dir).Call(t, "load", "--adopt-id", other); got.Code != 0 {
		t.Fatalf("the other session: %+v", got)
	}
	r = r.with("path=" + r.file(cmdtest.Visitor)).with("other=" + r.file(other))
	lines := []string{"cgisession lock --fd $fd", "cgisession unlock --fd $fd"}
	for _, verb := range []string{"load", "get", "info", "cookie", "set a=1", "unset n", "save", "delete",
		"pop n", "incr n", "append a 1", "edit cat", "regenerate", "regenerate --grace 1m", "invalidate", "lock echo run", "run echo run", "run --lock echo run"} {
		lines = append(lines, "echo {} | CGISESSION_LOCK_FD=$fd cgisession "+verb)
	}
	for _, d := range descriptors {
		t.Run(d.name, func(t *testing.T) {
			before := contents(t, r.Dir+"/sessions")
			sh := r.Start(t, "sh")
			if _, code := sh.Do(t, d.exec+"; fd="+d.fd); code != 0 {
				t.Fatal(sh.Said(t))
			}
			for _, line := range lines {
				stdout, code := sh.Do(t, line)
				if message := sh.Said(t); code != 64 || stdout != "" || !strings.Contains(message, "CGISESSION_LOCK_FD") {
					t.Errorf("%s: code %d, stdout %q, stderr %q", line, code, stdout, message)
				}
			}
			if after := contents(t, r.Dir+"/sessions"); !slices.Equal(after, before) {
				t.Errorf("changed from\n%q\nto\n%q", before, after)
			}
		})
	}
}

// contents returns the name, the time and the text of each file in the directory.
func contents(t *testing.T, dir string) (files []string) {
	t.Helper()
	paths, err := filepath.Glob(dir + "/*/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, fmt.Sprint(path, info.Mode(), info.ModTime(), string(text)))
	}
	return files
}

// What is no descriptor's number is refused.
func TestLockBadDescriptor(t *testing.T) {
	r := begin(t, `{"n":0}`)
	for _, bad := range []string{"0", "1", "2", "-1", "nine", "9x", "99999999999999999999"} {
		for _, got := range []cmdtest.Ended{
			r.Call(t, "lock", "--fd", bad),
			r.Call(t, "unlock", "--fd", bad),
			r.with("CGISESSION_LOCK_FD="+bad).Call(t, "incr", "n"),
		} {
			if got.Code != 64 || got.Stdout != "" || !strings.Contains(got.Stderr, "must be the number of a descriptor from 3 up") {
				t.Errorf("descriptor %s: %+v", bad, got)
			}
		}
	}
	for _, args := range [][]string{{"lock"}, {"unlock"}, {"unlock", "true"}, {"lock", "--fd", "9", "true"}, {"lock-path", "x"}} {
		if got := r.Call(t, args...); got.Code != 64 || got.Stdout != "" {
			t.Errorf("%q: %+v", args, got)
		}
	}
}

// Perl closes what is over $^F when it runs a command; the command that was told
// to use it then says so.
func TestLockPerlWithoutPassing(t *testing.T) {
	needs(t, "perl")
	r := begin(t, `{"n":0}`)
	got := cmdtest.Finish(t, r.Command("perl", "-e", strings.Replace(perlHolder, "$^F = 255;", "", 1)))
	if !strings.Contains(got.Stderr, "CGISESSION_LOCK_FD is a descriptor of another file") || got.Stdout != "" || got.Code == 0 {
		t.Errorf("%+v", got)
	}
}

// A script that has the lock on a descriptor and does not say so to its calls is
// told what to do, and not made to wait for itself.
func TestLockNotPassedOn(t *testing.T) {
	r := begin(t, `{"n":0}`)
	sh := r.with("CGISESSION_LOCK_TIMEOUT=0").Start(t, "sh")
	sh.Do(t, `p=$(cgisession lock-path); exec 9<"$p"; cgisession lock --fd 9`)
	for _, verb := range []string{"set a=1", "incr n", "get", "load", "lock true", "run --lock true"} {
		stdout, code := sh.Do(t, "cgisession "+verb)
		if got := (cmdtest.Ended{Stdout: stdout, Stderr: sh.Said(t), Code: code}); !isLocked(got) {
			t.Errorf("%s: %+v", verb, got)
		}
	}
	if stdout, code := sh.Do(t, `CGISESSION_LOCK_FD=9 cgisession incr n`); code != 0 || stdout != "1\n" {
		t.Errorf("with it: code %d, stdout %q, stderr %q", code, stdout, sh.Said(t))
	}
}

// background has the shell run something in the background, and returns its process id.
// That is killed with the test.
func background(t *testing.T, c *cmdtest.Talk, command string) (pid int) {
	t.Helper()
	text, _ := c.Do(t, command+" </dev/null >/dev/null 2>&1 & echo $!")
	pid, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
	return pid
}

// kill ends a process by surprise.
func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// free reports whether the lock can be had, or can be once a process that was
// killed is gone.
func (r request) free(t *testing.T) bool {
	t.Helper()
	got := r.Call(t, "incr", "after")
	if got.Code != 0 && !isLocked(got) {
		t.Errorf("incr in another request: %+v", got)
	}
	return got.Code == 0
}

// The lock ends with the last of those who have its descriptor, and however
// they end.
func TestLockEndsWithItsHolders(t *testing.T) {
	begin := func(t *testing.T) (r request, sh *cmdtest.Talk, child int) {
		r = begin(t, `{"n":0}`)
		sh = r.Start(t, "cgisession", "lock", "sh")
		child = background(t, sh, "sleep 1000")
		if !r.locked(t) {
			t.Fatal("not locked")
		}
		return r, sh, child
	}
	t.Run("script, then child", func(t *testing.T) {
		r, sh, child := begin(t)
		kill(t, sh.Process.Pid)
		sh.End(t)
		if !r.locked(t) {
			t.Error("not locked, but a child still has the lock")
		}
		kill(t, child)
		if !r.free(t) {
			t.Error("locked after all that had the lock were killed")
		}
	})
	t.Run("child, then script", func(t *testing.T) {
		r, sh, child := begin(t)
		kill(t, child)
		if !r.locked(t) {
			t.Error("not locked, but the script still has the lock")
		}
		kill(t, sh.Process.Pid)
		if !r.free(t) {
			t.Error("locked after all that had the lock were killed")
		}
	})
	t.Run("script, while a call waits", func(t *testing.T) {
		r, sh, child := begin(t)
		kill(t, child)
		waiter := r.Start(t, cmdtest.Program, "incr", "n")
		cmdtest.Until(t, "waiter", func() bool { return waiters(t, r.file(cmdtest.Visitor)) == 1 })
		kill(t, sh.Process.Pid)
		if n := waiter.Line(t); n != "1" {
			t.Errorf("the waiter said %q", n)
		}
	})
	t.Run("script that ends by itself", func(t *testing.T) {
		r, sh, child := begin(t)
		if code := sh.End(t); code != 0 || !r.locked(t) {
			t.Errorf("code %d, or not locked, but a child still has the lock", code)
		}
		kill(t, child)
		if !r.free(t) {
			t.Error("locked after all that had the lock have ended")
		}
	})
}

// With --close-in-child the lock is the wrapper's alone.
func TestLockCloseInChild(t *testing.T) {
	start := func(t *testing.T) (r request, sh *cmdtest.Talk, child int) {
		r = begin(t, `{"n":0}`)
		sh = r.Start(t, "cgisession", "lock", "--close-in-child", "sh")
		text, _ := sh.Do(t, "echo $$")
		child, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || child == sh.Process.Pid {
			t.Fatalf("COMMAND is process %q, lock %d", text, sh.Process.Pid)
		}
		t.Cleanup(func() { syscall.Kill(child, syscall.SIGKILL) })
		if !r.locked(t) {
			t.Fatal("not locked")
		}
		return r, sh, child
	}
	t.Run("wrapper killed", func(t *testing.T) {
		r, sh, child := start(t)
		kill(t, sh.Process.Pid)
		if !r.free(t) {
			t.Error("locked after the wrapper was killed")
		}
		if err := syscall.Kill(child, 0); err != nil {
			t.Errorf("COMMAND should live on: %v", err)
		}
	})
	t.Run("COMMAND killed", func(t *testing.T) {
		r, sh, child := start(t)
		kill(t, child)
		if code := sh.End(t); code != 128+9 {
			t.Errorf("code %d", code)
		}
		if r.locked(t) {
			t.Error("locked after COMMAND was killed")
		}
	})
	t.Run("told to end", func(t *testing.T) {
		r := begin(t, `{"n":0}`)
		sh := r.Start(t, "cgisession", "lock", "--close-in-child", "sh", "-c", `trap "exit 5" TERM; echo begun; while sleep 0.01; do :; done`)
		if line := sh.Line(t); line != "begun" || !r.locked(t) {
			t.Fatalf("not locked, or COMMAND said %q", line)
		}
		syscall.Kill(sh.Process.Pid, syscall.SIGTERM)
		if code := sh.End(t); code != 5 || r.locked(t) {
			t.Errorf("code %d, or locked after the end", code)
		}
	})
	t.Run("child left running", func(t *testing.T) {
		r, sh, _ := start(t)
		background(t, sh, "sleep 1000")
		if code := sh.End(t); code != 0 || r.locked(t) {
			t.Errorf("code %d, or locked after the end of COMMAND", code)
		}
	})
	t.Run("descriptor", func(t *testing.T) {
		r := begin(t, `{"n":0}`)
		for _, args := range [][]string{{}, {"cgisession", "lock"}} { // also where a lock was handed down
			args = append(args, "cgisession", "lock", "--close-in-child", "sh", "-c",
				`ls -l /proc/$$/fd | grep sessions; echo "fd $CGISESSION_LOCK_FD"; cgisession incr n --lock-timeout 0; exit $?`)
			got := cmdtest.Finish(t, r.Command(args[0], args[1:]...))
			if got.Stdout != "fd \n" || got.Code != 75 {
				t.Errorf("%q: %+v", args, got)
			}
		}
	})
}

// The message of one who waited in vain names a process that holds the lock:
// also if that got it from another that has ended.
func TestLockNamesHolder(t *testing.T) {
	named := func(t *testing.T, r request) int {
		got := r.Call(t, "get", "--lock-timeout", "0")
		found := regexp.MustCompile(`locked by another process, pid (\d+);`).FindStringSubmatch(got.Stderr)
		if found == nil || !isLocked(got) {
			t.Fatalf("%+v", got)
		}
		pid, _ := strconv.Atoi(found[1])
		return pid
	}
	t.Run("lock COMMAND", func(t *testing.T) {
		r := begin(t, `{"n":0}`)
		sh := r.Start(t, "cgisession", "lock", "sh")
		sh.Do(t, ":")
		if pid := named(t, r); pid != sh.Process.Pid {
			t.Errorf("pid %d, but %d holds the lock", pid, sh.Process.Pid)
		}
	})
	t.Run("lock --fd", func(t *testing.T) {
		r := begin(t, `{"n":0}`)
		sh := r.Start(t, "sh")
		sh.Do(t, `p=$(cgisession lock-path); exec 9<"$p"; cgisession lock --fd 9`)
		if pid := named(t, r); pid != sh.Process.Pid {
			t.Errorf("pid %d, but %d holds the lock", pid, sh.Process.Pid)
		}
	})
	t.Run("child left running", func(t *testing.T) {
		r := begin(t, `{"n":0}`)
		sh := r.Start(t, "cgisession", "lock", "sh")
		child := background(t, sh, "exec sleep 1000")
		sh.End(t)
		if pid := named(t, r); pid != child {
			t.Errorf("pid %d, but %d holds the lock", pid, child)
		}
	})
}

// waiters returns how many processes wait for the lock of the file. See
// proc_locks(5): "1: -> FLOCK  ADVISORY  WRITE 7564 fe:00:9978821 0 EOF".
func waiters(t *testing.T, path string) int {
	t.Helper()
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		t.Skip(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf(`(?m)^\d+: +-> FLOCK .*:%d 0 EOF$`, info.Sys().(*syscall.Stat_t).Ino)
	return len(regexp.MustCompile(line).FindAll(locks, -1))
}

// noSession is how a verb ends that needs a session, and says so.
func noSession(verb string) cmdtest.Ended {
	return cmdtest.Ended{
		Code: 1, Stderr: "cgisession: " + verb + `: no session; begin with eval "$(cgisession load --sh)"` + "\n",
	}
}

// everyVerb is a call of each verb that takes the lock.
var everyVerb = [][]string{
	{"load"}, {"load", "--json"}, {"load", "--sh", "n"}, {"load", "--lazy"}, {"get"}, {"get", "n"}, {"get", "--default", "1", "none"}, {"info"}, {"cookie"}, {"csrf"},
	{"set", "a=1"}, {"set", "--stdin"}, {"unset", "n"}, {"save"}, {"save", "--if-version", "1"}, {"delete"},
	{"pop", "n"}, {"incr", "n"}, {"append", "a", "1"}, {"edit", "cat"},
	{"regenerate"}, {"regenerate", "--grace", "1m"}, {"invalidate"}, {"invalidate", "--expire"},
	{"lock", "echo", "run"}, {"lock", "--close-in-child", "echo", "run"}, {"run", "echo", "run"}, {"run", "--lock", "echo", "run"},
}

// While another holds the lock each verb waits no longer than it may, and does
// nothing.
func TestLockTimeout(t *testing.T) {
	r := begin(t, `{"n":0}`)
	sh := r.Start(t, "cgisession", "lock", "sh")
	sh.Do(t, ":")
	before := contents(t, r.Dir+"/sessions")
	for _, args := range everyVerb {
		for _, who := range []request{r, r.client(cmdtest.Visitor)} {
			if got := who.with("CGISESSION_LOCK_TIMEOUT=0").Give(t, `{}`, args...); !isLocked(got) {
				t.Errorf("%q: %+v", args, got)
			}
		}
	}
	if after := contents(t, r.Dir+"/sessions"); !slices.Equal(after, before) {
		t.Errorf("changed from\n%q\nto\n%q", before, after)
	}
}

// The wait ends at the deadline: never before it, and soon after it at least once,
// since the machine may be busy with other things.
func TestLockDeadline(t *testing.T) {
	const deadline, tolerance = 500 * time.Millisecond, 300 * time.Millisecond
	r := begin(t, `{"n":0}`)
	sh := r.Start(t, "cgisession", "lock", "sh")
	sh.Do(t, ":")
	before := contents(t, r.Dir+"/sessions")
	for _, args := range [][]string{
		{cmdtest.Program, "set", "a=1", "--lock-timeout", "500ms"},
		{cmdtest.Program, "get", "--lock-timeout", "0.5"},
		{cmdtest.Program, "lock", "--lock-timeout", "500ms", "true"},
		{"sh", "-c", `p=$(cgisession lock-path); exec 9<"$p"; cgisession lock --fd 9 --lock-timeout 500ms`},
	} {
		late := deadline
		for end := time.Now().Add(cmdtest.Patience); late > tolerance && time.Now().Before(end); {
			begun := time.Now()
			got := cmdtest.Finish(t, r.Command(args[0], args[1:]...))
			late = time.Since(begun) - deadline
			if !isLocked(got) || late < 0 {
				t.Errorf("%q, %v after the deadline: %+v", args, late, got)
			}
		}
		if late > tolerance {
			t.Errorf("%q: ended %v after the deadline", args, late)
		}
	}
	if after := contents(t, r.Dir+"/sessions"); !slices.Equal(after, before) {
		t.Errorf("changed from\n%q\nto\n%q", before, after)
	}
}

// Reads without the lock go on while it is held, see each version that the
// holder stores, and mark no access.
func TestNoLock(t *testing.T) {
	r := begin(t, `{"n":0}`)
	r = r.with("CGISESSION_LOCK_TIMEOUT=0")
	sh := r.Start(t, "cgisession", "lock", "sh")
	for n := range 5 {
		if _, code := sh.Do(t, fmt.Sprintf(`cgisession set n:=%d`, n)); code != 0 {
			t.Fatal(sh.Said(t))
		}
		before := contents(t, r.Dir+"/sessions")
		for _, who := range []request{r, r.client(cmdtest.Visitor).with("CGISESSION_LOCK_TIMEOUT=0")} {
			data, version := fmt.Sprintf(`{"n":%d}`, n), fmt.Sprintf(`"version":%d,`, n+2)
			if got := who.Call(t, "get", "--no-lock"); got != (cmdtest.Ended{Stdout: data + "\n"}) {
				t.Errorf("get: %+v", got)
			}
			if got := who.Call(t, "info", "--no-lock"); got.Code != 0 || !strings.Contains(got.Stdout, version) {
				t.Errorf("info: %+v", got)
			}
			got := who.Call(t, "load", "--json", "--no-lock")
			if got.Code != 0 || !strings.Contains(got.Stdout, version) || !strings.Contains(got.Stdout, `"data":`+data) {
				t.Errorf("load: %+v", got)
			}
			if got := who.Call(t, "load", "--no-lock"); got != (cmdtest.Ended{}) {
				t.Errorf("load, which should need no cookie: %+v", got)
			}
		}
		if after := contents(t, r.Dir+"/sessions"); !slices.Equal(after, before) {
			t.Errorf("changed from\n%q\nto\n%q", before, after)
		}
	}
}

// A session that was only promised can be locked: its file is made, empty,
// and is no session to others until the first change, which prints the cookie.
func TestLockMinted(t *testing.T) {
	r := in(t.TempDir())
	sh := r.Start(t, "sh")
	if stdout, _ := sh.Do(t, `eval "$(cgisession load --lazy --sh)"`); stdout != "" {
		t.Errorf("load --lazy printed %q", stdout)
	}
	text, _ := sh.Do(t, `echo "$CGISESSION_ID"`)
	id := strings.TrimSpace(text)
	path, code := sh.Do(t, `p=$(cgisession lock-path) && exec 9<"$p" && export CGISESSION_LOCK_FD=9 && cgisession lock --fd 9 && echo "$p"`)
	if code != 0 || path != r.file(id)+"\n" {
		t.Fatalf("code %d, path %q, stderr %q", code, path, sh.Said(t))
	}
	if info, err := os.Stat(r.file(id)); err != nil || info.Size() != 0 || info.Mode() != 0o600 {
		t.Errorf("the file that is locked: %v, %v", info, err)
	}
	if got := r.client(id).Call(t, "get", "--no-lock"); got != (cmdtest.Ended{Code: 1}) {
		t.Errorf("get by another request: %+v", got)
	}
	if stdout, code := sh.Do(t, `cgisession get`); code != 1 || stdout != "" {
		t.Errorf("get before the first change: code %d, stdout %q", code, stdout)
	}
	if stdout, _ := sh.Do(t, `cgisession set a:=1`); !slices.Equal(cmdtest.NewIDs(stdout), []string{id}) {
		t.Errorf("the first change printed %q, stderr %q", stdout, sh.Said(t))
	}
	if stdout, code := sh.Do(t, `cgisession set b:=2`); code != 0 || stdout != "" {
		t.Errorf("the second change: code %d, stdout %q", code, stdout)
	}
	if !r.client(id).locked(t) {
		t.Error("not locked")
	}
	if code, message := sh.End(t), sh.Said(t); code != 0 || message != "" {
		t.Errorf("code %d, stderr %q", code, message)
	}
	if got := r.client(id).Call(t, "get"); got.Stdout != `{"a":1,"b":2}`+"\n" {
		t.Errorf("get at the end: %+v", got)
	}

	// The same by lock COMMAND.
	got := cmdtest.Finish(t, r.Command("sh", "-c", `eval "$(cgisession load --lazy --sh)"; cgisession lock sh -c 'cgisession incr n; cgisession set a=1; cgisession set b=2; cgisession incr n'`))
	if ids := cmdtest.NewIDs(got.Stdout); got.Code != 0 || len(ids) != 1 {
		t.Errorf("lock COMMAND: %+v", got)
	}
}

// When the session is removed under the lock, all who would change it are told,
// and none brings it back: unless the request has another that exists.
func TestLockOnRemoved(t *testing.T) {
	for name, remove := range map[string]string{
		"by rm":         `rm "$p"`,
		"by find":       `find sessions -type f -delete`,
		"by the holder": `cgisession invalidate --expire >out`,
	} {
		t.Run(name, func(t *testing.T) {
			r := begin(t, `{"n":0}`)
			sh := r.Start(t, "sh")
			sh.Do(t, `p=$(cgisession lock-path) && exec 9<"$p" && export CGISESSION_LOCK_FD=9 && cgisession lock --fd 9`)
			if _, code := sh.Do(t, remove); code != 0 {
				t.Fatal(sh.Said(t))
			}
			for _, verb := range []string{"set a=1", "unset n", "save", "delete", "pop n", "incr n", "append a 1", "edit cat", "regenerate",
				"regenerate --grace 1m", "invalidate", "lock echo run", "lock --fd 9", "lock-path"} {
				stdout, code := sh.Do(t, "echo {} | cgisession "+verb)
				if got := (cmdtest.Ended{Stdout: stdout, Stderr: sh.Said(t), Code: code}); !isGone(got) {
					t.Errorf("%s: %+v", verb, got)
				}
				// Nor by one who has only the cookie, or names the session.
				for _, who := range []string{"HTTP_COOKIE=cgisession_id=" + cmdtest.Visitor, "CGISESSION_ADOPT_ID=" + cmdtest.Visitor} {
					stdout, code := sh.Do(t, "echo {} | env -u CGISESSION_ID "+who+" cgisession "+verb)
					if got := (cmdtest.Ended{Stdout: stdout, Stderr: sh.Said(t), Code: code}); !isGone(got) {
						t.Errorf("%s with %s: %+v", verb, who, got)
					}
				}
			}
			sh.Said(t)
			for _, verb := range []string{"get", "get --no-lock", "info", "cookie"} {
				if stdout, code := sh.Do(t, "cgisession "+verb); code != 1 || stdout != "" {
					t.Errorf("%s: code %d, stdout %q", verb, code, stdout)
				}
			}
			if live, others := r.files(t); len(live) != 0 || len(others) != 0 {
				t.Errorf("%d sessions and %d other files came back", len(live), len(others))
			}

			// load gives the request another session, to which the lost lock means nothing.
			stdout, code := sh.Do(t, `eval "$(cgisession load --sh)"; cgisession incr n; cgisession set a=1; cgisession get a`)
			message := sh.Said(t)
			if !strings.HasSuffix(stdout, "\n1\n\"1\"\n") || len(cmdtest.NewIDs(stdout)) != 1 || code != 0 || message != "" {
				t.Errorf("after load: code %d, stdout %q, stderr %q", code, stdout, message)
			}
			if stdout, code := sh.Do(t, `cgisession unlock --fd 9`); code != 0 || stdout != "" {
				t.Errorf("unlock: code %d, stdout %q", code, stdout)
			}
		})
	}
	t.Run("by invalidate, for a new session", func(t *testing.T) {
		r := begin(t, `{"n":0}`)
		got := cmdtest.Finish(t, r.Command("cgisession", "lock", "sh", "-c",
			`eval "$(cgisession invalidate --sh)"; cgisession incr n; cgisession set a=1; cgisession get`))
		if !strings.HasSuffix(got.Stdout, "\n1\n{\"n\":1,\"a\":\"1\"}\n") || len(cmdtest.NewIDs(got.Stdout)) != 1 || got.Code != 0 || got.Stderr != "" {
			t.Errorf("%+v", got)
		}
	})
}

// edit keeps the lock while its filter runs. If it is killed meanwhile, nothing
// has happened; if the session is removed, it does not come back.
func TestEditHoldsLock(t *testing.T) {
	for _, meanwhile := range []struct {
		name string
		do   func(t *testing.T, r request, edit *cmdtest.Talk)
		code int    // of edit
		want string // the data at the end
	}{
		{"nothing", func(*testing.T, request, *cmdtest.Talk) {}, 0, `{"n":1}`},
		{"edit is killed", func(t *testing.T, _ request, edit *cmdtest.Talk) { kill(t, edit.Process.Pid) }, 128 + 9, `{"n":0}`},
		{"the session is removed", func(t *testing.T, r request, _ *cmdtest.Talk) {
			if err := os.Remove(r.file(cmdtest.Visitor)); err != nil {
				t.Fatal(err)
			}
		}, 10, ""},
	} {
		t.Run(meanwhile.name, func(t *testing.T) {
			r := begin(t, `{"n":0}`)
			for _, fifo := range []string{"begun", "go"} {
				if err := syscall.Mkfifo(filepath.Join(r.Dir, fifo), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			edit := r.Start(t, cmdtest.Program, "edit", "sh", "-c", `echo >begun; read -r line <go; echo '{"n":1}'`)
			await(t, filepath.Join(r.Dir, "begun"))
			for _, verb := range []string{"get", "load", "incr n", "set a=1"} {
				args := append(strings.Fields(verb), "--lock-timeout", "0")
				if got := r.Call(t, args...); !isLocked(got) {
					t.Errorf("%s while the filter runs: %+v", verb, got)
				}
			}
			if got := r.Call(t, "get", "--no-lock"); got.Stdout != `{"n":0}`+"\n" {
				t.Errorf("get --no-lock while the filter runs: %+v", got)
			}
			meanwhile.do(t, r, edit)
			if err := os.WriteFile(filepath.Join(r.Dir, "go"), []byte("\n"), 0); err != nil {
				t.Fatal(err)
			}
			if code := edit.End(t); code != meanwhile.code {
				t.Errorf("edit: code %d, stderr %s", code, edit.Said(t))
			}
			if got := r.Call(t, "get"); strings.TrimSpace(got.Stdout) != meanwhile.want {
				t.Errorf("get at the end: %+v, want %q", got, meanwhile.want)
			}
		})
	}
}

// await waits for a line in the named pipe.
func await(t *testing.T, fifo string) {
	t.Helper()
	f, err := os.OpenFile(fifo, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.SetReadDeadline(time.Now().Add(cmdtest.Patience))
	if _, err := f.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

// Of 16 who wait for a lock, each is served when no more than three times those
// who came before it were: none starves.
func TestWaitersInOrder(t *testing.T) {
	for name, args := range map[string][]string{
		"lock COMMAND, held 2 ms each": {"lock", "sh", "-c", "cgisession incr n; sleep 0.002"},
		"incr":                         {"incr", "n"},
	} {
		t.Run(name, func(t *testing.T) {
			r := begin(t, `{"n":0}`)
			sh := r.Start(t, "cgisession", "lock", "sh")
			sh.Do(t, ":")
			const n = 16
			queue := make([]*cmdtest.Talk, n)
			for i := range queue {
				queue[i] = r.Start(t, cmdtest.Program, args...)
				cmdtest.Until(t, "next waiter", func() bool { return waiters(t, r.file(cmdtest.Visitor)) == i+1 })
			}
			sh.End(t)
			for i, w := range queue {
				served, err := strconv.Atoi(w.Line(t))
				if code := w.End(t); err != nil || code != 0 {
					t.Fatalf("code %d, %v, stderr %s", code, err, w.Said(t))
				}
				if before := i + 1; served > 3*before { // with the one who held the lock
					t.Errorf("number %d in the queue was served as number %d", before, served)
				}
			}
		})
	}
}

// Who waits for the lock of a session that is removed meanwhile, and made again,
// must then wait for the lock of the new one.
func TestWaiterFollowsName(t *testing.T) {
	begin := begin(t, `{"n":10}`)
	r := in(begin.Dir).with("CGISESSION_ADOPT_ID=" + cmdtest.Visitor)
	first := r.Start(t, "cgisession", "lock", "sh")
	first.Do(t, ":")
	waiter := r.Start(t, cmdtest.Program, "incr", "n")
	cmdtest.Until(t, "waiter", func() bool { return waiters(t, r.file(cmdtest.Visitor)) == 1 })

	if err := os.Remove(r.file(cmdtest.Visitor)); err != nil {
		t.Fatal(err)
	}
	second := r.Start(t, "cgisession", "lock", "sh")
	second.Do(t, ":") // the file is there again
	first.End(t)
	cmdtest.Until(t, "waiter at the new file", func() bool { return waiters(t, r.file(cmdtest.Visitor)) == 1 })
	if stdout, code := second.Do(t, `cgisession set n:=1`); code != 0 {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, second.Said(t))
	}
	second.End(t)
	if n := waiter.Line(t); n != "2" {
		t.Errorf("the waiter said %q, stderr %q", n, waiter.Said(t))
	}
}
