package cmd_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"cgisession/cmd/cmdtest"
)

// moreThanPipes is a number of sessions whose list is longer than what list
// holds back and a pipe together, several times.
const moreThanPipes = 5000

// list prints as it goes: of sessions that are removed while it runs, it does
// not list those that it has not come to.
func TestListStreams(t *testing.T) {
	r := plant(t, moreThanPipes, none)
	c := r.Start(t, cmdtest.Program, "list")
	if line := c.Line(t); !strings.HasSuffix(line, " live") {
		t.Fatalf("%q", line)
	}
	late := 0
	for i := range moreThanPipes {
		if path := r.planted(i); filepath.Base(path)[0] == 'f' {
			late++
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	listed := 1
	for line := c.Line(t); line != ""; line = c.Line(t) {
		listed++
		if line[0] == 'f' {
			t.Fatalf("listed after it was removed: %s", line)
		}
	}
	if code := c.End(t); code != 0 || listed != moreThanPipes-late {
		t.Errorf("%d of %d sessions listed, exit code %d, %s", listed, moreThanPipes-late, code, c.Said(t))
	}
}

// A reader that has seen enough ends the list, and is not told of a change that
// there was not.
func TestListClosedPipe(t *testing.T) {
	r := plant(t, moreThanPipes, none)
	for _, args := range [][]string{{"list"}, {"list", "--json"}} {
		stdout, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		c := r.Command(cmdtest.Program, args...)
		var stderr bytes.Buffer
		c.Stdout, c.Stderr = out, &stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		out.Close()
		if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
			t.Error(err)
		}
		stdout.Close()
		checkUnwritten(t, cmdtest.Wait(t, c, new(bytes.Buffer), &stderr), "broken pipe", args...)
	}
}

// Readers whose answer does not fit on the disk exit 74, with one line.
func TestReadersFullOutput(t *testing.T) {
	r := begin(t, `{"n":1}`)
	handle := r.Call(t, "list").Stdout[:64]
	for _, args := range [][]string{{"list"}, {"show", handle}, {"stats"}, {"get"}, {"info"}} {
		c := r.Command(cmdtest.Program, args...)
		var stderr bytes.Buffer
		disk, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Skip(err)
		}
		c.Stdout, c.Stderr = disk, &stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		disk.Close()
		checkUnwritten(t, cmdtest.Wait(t, c, new(bytes.Buffer), &stderr), "no space left on device", args...)
	}
}

func checkUnwritten(t *testing.T, got cmdtest.Ended, why string, args ...string) {
	t.Helper()
	if got.Code != 74 || strings.Count(got.Stderr, "\n") != 1 || !strings.Contains(got.Stderr, why) {
		t.Errorf("%q: %+v", args, got)
	}
}

// list and stats take as little memory as cleanup, and lose none of the sessions.
func TestListMemory(t *testing.T) {
	t.Parallel()
	n := cmdtest.Full(10_000, 200_000)
	r := plant(t, n, everySecond)
	c := r.with("GOMEMLIMIT=off").with("GOGC=100").Start(t, cmdtest.Program, "list", "--timeout", "1h")
	most, live, idle := 0, 0, 0
	for line := c.Line(t); line != ""; line = c.Line(t) {
		switch {
		case strings.HasSuffix(line, " live"):
			live++
		case strings.HasSuffix(line, " idle"):
			idle++
		}
		if (live+idle)%1000 == 0 {
			most = max(most, peak(t, c.Process))
		}
	}
	if code := c.End(t); code != 0 || live != n/2 || idle != n/2 {
		t.Errorf("%d live, %d idle, exit code %d, %s", live, idle, code, c.Said(t))
	}
	checkMemory(t, fmt.Sprintf("list of %d sessions", n), most)

	kib, got := r.atAnswer(t, "stats", "--timeout", "1h")
	if got.Code != 0 || !strings.HasPrefix(got.Stdout, fmt.Sprintf("live       %d\nidle       %d\n", n/2, n/2)) {
		t.Errorf("stats: %+v", got)
	}
	checkMemory(t, fmt.Sprintf("stats of %d sessions", n), kib)

	const large = 40 // whose list is less than what is held back
	kib, got = plantLarge(t, large).atAnswer(t, "list", "--timeout", "1h")
	if strings.Count(got.Stdout, " idle\n") != large/2 || strings.Count(got.Stdout, " corrupt\n") != large/2 {
		t.Errorf("list: %+v", got)
	}
	checkMemory(t, fmt.Sprintf("list of %d large sessions", large), kib)
	kib, got = plantLarge(t, large).atAnswer(t, "stats", "--deep", "--timeout", "1h")
	if !strings.Contains(got.Stdout, fmt.Sprintf("\ncorrupt    %d\n", large/2)) {
		t.Errorf("stats: %+v", got)
	}
	checkMemory(t, fmt.Sprintf("stats --deep of %d large sessions", large), kib)
}

// "Log out everywhere" ends also the sessions that get a new id meanwhile.
func TestDestroyAgainstRegenerate(t *testing.T) {
	for round := range cmdtest.Full(4, 40) {
		againstRegenerate(t, round, func(r request) {
			want := cmdtest.Ended{Stdout: fmt.Sprintf("{\"ended\":%d}\n", rotating-1)}
			if got := r.Call(t, "destroy", "--json", "--user", "ann"); got != want {
				t.Errorf("round %d: destroy: %+v", round, got)
			}
		})
	}
}

// So does a log-out everywhere by another session of the user, which ends itself.
func TestEverywhereAgainstRegenerate(t *testing.T) {
	for round := range cmdtest.Full(4, 40) {
		againstRegenerate(t, round, func(r request) {
			own := cmdtest.NewIDs(r.Must(t, "regenerate", "--user", "ann"))
			if got := r.bound(own[0]).Call(t, "invalidate", "--expire", "--everywhere"); !isLogOut(got) {
				t.Errorf("round %d: %+v", round, got)
			}
		})
	}
}

// isLogOut reports whether a log-out succeeded: it makes the browser drop the cookie.
func isLogOut(e cmdtest.Ended) bool {
	return e.Code == 0 && e.Stderr == "" && strings.HasPrefix(e.Stdout, "Set-Cookie: cgisession_id=; ")
}

// rotating is how many sessions get new ids in againstRegenerate.
const rotating = 8

// againstRegenerate calls end while the sessions of ann, and one of bob's, get one new
// id after the other. end has to end all of ann's.
func againstRegenerate(t *testing.T, round int, end func(r request)) {
	t.Helper()
	r := in(t.TempDir())
	var begun, gone atomic.Int64
	all := make(chan struct{})
	go func() {
		cmdtest.AtOnce(rotating, func(i int) {
			// Those that log in, and one that is another's.
			user := "ann"
			if i == 0 {
				user = "bob"
			}
			id := ""
			next := func(r request, args ...string) cmdtest.Ended {
				got := r.Call(t, append([]string{"regenerate", "--sh"}, args...)...)
				if m := exported.FindStringSubmatch(got.Stdout); m != nil {
					id = m[1]
				}
				return got
			}
			if got := next(r, "--user", user); got.Code != 0 {
				t.Errorf("log-in: %+v", got)
			}
			begun.Add(1)
			for step := 0; ; step++ {
				args := []string{"--grace", "60"}[:2*(step%2)]
				switch got := next(r.with("CGISESSION_ID="+id), args...); {
				case isGone(got):
					gone.Add(1)
					return
				case got.Code != 0:
					t.Errorf("round %d, step %d: %+v", round, step, got)
					return
				}
				if user == "bob" && gone.Load() == rotating-1 {
					return
				}
			}
		})
		close(all)
	}()
	cmdtest.Until(t, "end of the log-ins", func() bool { return begun.Load() == rotating })
	end(r)
	<-all
	list := r.Call(t, "list")
	if strings.Contains(list.Stdout, `"ann"`) || strings.Count(list.Stdout, ` live "bob"`) != 1 {
		t.Errorf("round %d: there is left:\n%s", round, list.Stdout)
	}
}

// The request's own session may get a new id at any moment of its log-out everywhere: it
// ends under that.
func TestEverywhereWhileMoving(t *testing.T) {
	needStrace(t)
	const calls = 12 // that read the index; fewer of one thread, if there is a change of threads
	stops := 0
	for nth := 1; nth <= calls; nth++ {
		r := in(t.TempDir())
		own := cmdtest.NewIDs(r.Must(t, "regenerate", "--user", "ann"))
		r.Must(t, "regenerate", "--user", "ann")
		end := r.bound(own[0]).Command(cmdtest.Program, "invalidate", "--expire", "--everywhere")
		got, stopped := tryStop(t, "getdents64", nth, func(int) {
			if got := r.bound(own[0]).Call(t, "regenerate"); got.Code != 0 {
				t.Errorf("new id: %+v", got)
			}
		}, end)
		if list := r.Call(t, "list"); !isLogOut(got) || list.Stdout != "" {
			t.Errorf("call %d: %+v; there is left: %s", nth, got, list.Stdout)
		}
		if stopped {
			stops++
		}
	}
	if stops < calls/2 {
		t.Errorf("only %d of %d were stopped", stops, calls)
	}
}

// Of two sessions of a user that log out everywhere at once, none waits for the other's
// lock: both have logged out, or one has come too late to tell whose sessions to end.
func TestEverywhereAtOnce(t *testing.T) {
	for range cmdtest.Full(5, 50) {
		r := in(t.TempDir())
		var requests []request
		for range 4 {
			own := cmdtest.NewIDs(r.Must(t, "regenerate", "--user", "ann"))
			requests = append(requests, r.bound(own[0]))
		}
		var out atomic.Int64
		cmdtest.AtOnce(len(requests), func(i int) {
			switch got := requests[i].Call(t, "invalidate", "--expire", "--everywhere"); {
			case isLogOut(got):
				out.Add(1)
			case got.Code != 10:
				t.Errorf("%+v", got)
			}
		})
		if list := r.Call(t, "list"); out.Load() == 0 || list.Stdout != "" {
			t.Errorf("%d have logged out; there is left: %s", out.Load(), list.Stdout)
		}
	}
}

// destroy --all ends also the sessions that get a new id meanwhile, while new visitors
// come.
func TestDestroyAllAgainstOthers(t *testing.T) {
	for range cmdtest.Full(3, 30) {
		r := in(t.TempDir())
		var begun, ended atomic.Int64
		done := make(chan struct{})
		all := make(chan struct{})
		go func() {
			cmdtest.AtOnce(4, func(i int) {
				first, _ := r.Want(t, "load")
				ids := cmdtest.NewIDs(first)
				for begun.Add(1); len(ids) == 1; {
					if i == 0 { // visitors who come and come
						r.Want(t, "load")
						select {
						case <-done:
							return
						default:
							continue
						}
					}
					got := r.bound(ids[0]).Call(t, "regenerate")
					if isGone(got) {
						ended.Add(1)
						return
					}
					if ids = cmdtest.NewIDs(got.Stdout); len(ids) != 1 {
						t.Errorf("%+v", got)
					}
				}
			})
			close(all)
		}()
		cmdtest.Until(t, "begin of all", func() bool { return begun.Load() >= 4 })
		if got := r.Call(t, "destroy", "--all"); got != (cmdtest.Ended{}) {
			t.Errorf("%+v", got)
		}
		cmdtest.Until(t, "end of the three", func() bool { return ended.Load() == 3 || t.Failed() })
		close(done)
		<-all
	}
}

// A session that gets a new id in a directory that was read already is found there.
func TestDestroyAllWhileMoving(t *testing.T) {
	needStrace(t)
	r := in(t.TempDir())
	id := cmdtest.NewIDs(r.Must(t, "load"))[0]
	const middle = "80"
	moveTo := func(late bool) {
		for moved := false; !moved; moved = filepath.Base(r.file(id))[:2] > middle == late {
			id = cmdtest.NewIDs(r.bound(id).Must(t, "regenerate"))[0]
		}
	}
	moveTo(true)
	dirs, err := filepath.Glob(r.Dir + "/sessions/??")
	must(t, err)
	for _, dir := range dirs {
		os.Remove(dir) // if it is empty
	}
	must(t, os.MkdirAll(r.Dir+"/sessions/"+middle, 0o700))
	got := r.stopped(t, "getdents64", func() { moveTo(false) }, "destroy", "--json", "--all")
	if want := (cmdtest.Ended{Stdout: "{\"ended\":1}\n"}); got != want {
		t.Errorf("%+v", got)
	}
	if list := r.Call(t, "list"); list.Stdout != "" {
		t.Errorf("there is left: %s", list.Stdout)
	}
}

// A session that gets a new id after the index was read is found under that.
func TestDestroyWhileMoving(t *testing.T) {
	needStrace(t)
	r := in(t.TempDir())
	got := r.Call(t, "regenerate", "--user", "ann")
	ids := cmdtest.NewIDs(got.Stdout)
	if got.Code != 0 || len(ids) != 1 {
		t.Fatalf("log-in: %+v", got)
	}
	ended := r.stopped(t, "getdents64", func() {
		if got := r.bound(ids[0]).Call(t, "regenerate"); got.Code != 0 {
			t.Errorf("new id: %+v", got)
		}
	}, "destroy", "--json", "--user", "ann")
	if ended.Code != 0 || ended.Stdout != "{\"ended\":1}\n" {
		t.Errorf("%+v", ended)
	}
	if list := r.Call(t, "list"); list.Stdout != "" {
		t.Errorf("there is left: %s", list.Stdout)
	}
}

// A file system that runs out of room is found to, and cleanup makes room there.
func TestDoctorRoom(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	dir := t.TempDir()
	if text, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=100,mode=0700", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("no file system to fill: %v: %s", err, text)
	}
	t.Cleanup(func() {
		if text, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, text)
		}
	})
	r := in(dir)
	check := func(what string, code int, problems ...string) {
		t.Helper()
		got := r.Call(t, "doctor", "--type", "memory")
		if got.Code != code || strings.Count(got.Stdout, "\nproblem ") != len(problems) {
			t.Errorf("%s: %+v", what, got)
		}
		for _, p := range problems {
			if !strings.Contains(got.Stdout, p) {
				t.Errorf("%s: no %q: %+v", what, p, got)
			}
		}
	}
	for i := range 30 {
		if got := r.with(fmt.Sprintf("CGISESSION_ADOPT_ID=session-number-%d", i)).Call(t, "set", "n:=1"); got.Code != 0 {
			t.Fatalf("%+v", got)
		}
	}
	check("with room", 0)

	// All inodes but four.
	for i := 0; room(t, dir).Ffree > 4; i++ {
		if err := os.WriteFile(fmt.Sprintf("%s/filling%d", dir, i), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check("without inodes", 1, "\nproblem  inodes: 4 of 100 are left, and a session needs one; run cleanup more often, or make room\n")

	// All bytes.
	f, err := os.Create(dir + "/filling0")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	check("without room", 1, "\nproblem  inodes: 4 of 100", "\nproblem  space: 0 of 1048576 bytes are left; run cleanup more often, or make room\n")

	// A new session is refused; cleanup works, and makes room for it.
	if got := r.Call(t, "set", "n:=1"); got.Code != 74 {
		t.Errorf("a new session on a full disk: %+v", got)
	}
	r.ageAll(t)
	if got := sweptBy(t, r.Call(t, "cleanup", "--timeout", "1h")); got.removed != 30 {
		t.Errorf("cleanup of a full disk: %+v", got)
	}
	if got := r.Call(t, "set", "n:=1"); got.Code != 0 {
		t.Errorf("a new session once there is room: %+v", got)
	}
}

func room(t *testing.T, dir string) (st syscall.Statfs_t) {
	t.Helper()
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return st
}

// destroy within a request that has another session locked is not in its own way.
func TestDestroyLocked(t *testing.T) {
	r := begin(t, `{}`)
	one := r.Call(t, "list").Stdout[:64]
	c := in(r.Dir).with("CGISESSION_ADOPT_ID=session-number-two").Start(t, "sh")
	defer c.End(t)
	c.Do(t, `p=$(cgisession lock-path) && exec 9<"$p"; export CGISESSION_LOCK_FD=9; cgisession lock --fd 9`)
	if text, code := c.Do(t, "cgisession destroy --json "+one); text != "{\"ended\":1}\n" || code != 0 {
		t.Errorf("%q, exit code %d, %s", text, code, c.Said(t))
	}
	if text, code := c.Do(t, "cgisession set n:=1 >/dev/null; cgisession get n"); text != "1\n" || code != 0 {
		t.Errorf("the locked session: %q, exit code %d, %s", text, code, c.Said(t))
	}
}

// A log-in that is killed in the middle leaves an old id that leads to itself:
// doctor says so, and removes it, and the session is as it was.
func TestDoctorAfterKilledMove(t *testing.T) {
	needStrace(t)
	r := begin(t, `{"n":1}`).with("CGISESSION_TIMEOUT=1h")
	got := cmdtest.Finish(t, r.Command("strace", "-f", "-qq", "-o", os.DevNull, "-e", "trace=renameat2", "-e", "inject=renameat2:signal=KILL:when=1", cmdtest.Program, "regenerate", "--grace", "1h"))
	if live, others := r.files(t); got.Code != 128+9 || len(live) != 1 || len(others) != 1 {
		t.Skipf("no exchange to be killed at: %+v, %q, %q", got, live, others)
	}
	const what = ": an old id that leads to itself: regenerate --grace was killed, or is under way"
	if found := r.Call(t, "doctor", "--deep"); found.Code != 0 || !strings.Contains(found.Stdout, what+"\n") {
		t.Errorf("%+v", found)
	}
	if found := r.Call(t, "doctor", "--repair", "--lock-timeout", "0.01"); found.Code != 0 || !strings.Contains(found.Stdout, what+"; it held no data, and is removed\n") {
		t.Errorf("%+v", found)
	}
	if live, others := r.files(t); len(live) != 1 || len(others) != 0 {
		t.Errorf("there are %q and %q", live, others)
	}
	if got := r.Call(t, "get"); got.Stdout != `{"n":1}`+"\n" {
		t.Errorf("the session: %+v", got)
	}
}
