package cmd_test

import (
	"bytes"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"cgisession/cmd/cmdtest"
)

// A script whose first line names run is a CGI script with a session: it has
// the arguments, the environment and the body of the request as they came.
func TestRunShebang(t *testing.T) {
	for _, script := range []struct{ interpreter, text string }{
		{"sh", `#!/usr/bin/env -S cgisession run sh
			echo "$#,$1,$2,$QUERY_STRING,$CGISESSION_IS_NEW"
			cgisession incr visits
			cgisession set "last=$1"
			echo
			cat
		`},
		{"perl", `#!/usr/bin/env -S cgisession run perl
			use strict;
			use warnings;
			$| = 1;
			print scalar @ARGV, ",$ARGV[0],$ARGV[1],$ENV{QUERY_STRING},$ENV{CGISESSION_IS_NEW}\n";
			system 'cgisession', 'incr', 'visits';
			system 'cgisession', 'set', "last=$ARGV[0]";
			print "\n";
			binmode STDIN;
			binmode STDOUT;
			print while <STDIN>;
		`},
	} {
		t.Run(script.interpreter, func(t *testing.T) {
			needs(t, script.interpreter)
			r := in(t.TempDir(), "QUERY_STRING=q=1")
			cmdtest.WriteScript(t, filepath.Join(r.Dir, "visit.cgi"), script.text)
			body := make([]byte, 1<<20) // all bytes, and none in a place that comes again soon
			for i := range body {
				body[i] = byte(i + i>>8)
			}
			visit := func(r request) (head, rest string) {
				c := r.Command("./visit.cgi", "--sh", "two words")
				c.Stdin = bytes.NewReader(body)
				got := cmdtest.Finish(t, c)
				if got.Code != 0 || got.Stderr != "" {
					t.Errorf("code %d, stderr %q", got.Code, got.Stderr)
				}
				head, rest, _ = strings.Cut(got.Stdout, "\n\n")
				return head, rest
			}
			head, rest := visit(r)
			ids := cmdtest.NewIDs(head)
			if len(ids) != 1 || !strings.HasSuffix(head, "\n2,--sh,two words,q=1,1\n1") {
				t.Fatalf("first visit: %q", head)
			}
			if rest != string(body) {
				t.Errorf("of a body of %d bytes came %d, or others", len(body), len(rest))
			}
			head, rest = visit(r.with("HTTP_COOKIE=cgisession_id=" + ids[0]))
			if head != "2,--sh,two words,q=1,\n2" || rest != string(body) {
				t.Errorf("second visit: %q, and a body of %d bytes", head, len(rest))
			}
			if got := r.client(ids[0]).Call(t, "get"); got.Stdout != `{"visits":2,"last":"--sh"}`+"\n" {
				t.Errorf("get at the end: %+v", got)
			}
		})
	}
}

// run becomes COMMAND: the same process, with the same descriptors, that ends as
// COMMAND does.
func TestRunInPlace(t *testing.T) {
	r := begin(t, `{"n":0}`)
	c := r.Command(cmdtest.Program, "run", "sh", "-c", "echo $$")
	if got := cmdtest.Finish(t, c); got != (cmdtest.Ended{Stdout: strconv.Itoa(c.Process.Pid) + "\n"}) {
		t.Errorf("COMMAND is another process than %d: %+v", c.Process.Pid, got)
	}
	const list = `exec 7</dev/null; exec $1 sh -c 'cd /proc/$$/fd && echo *'`
	without := cmdtest.Finish(t, r.Command("sh", "-c", list))
	if with := cmdtest.Finish(t, r.Command("sh", "-c", list, "sh", "cgisession run")); with != without {
		t.Errorf("descriptors of COMMAND: %+v, without run %+v", with, without)
	}
	for _, command := range []struct {
		script string
		code   int
	}{
		{"exit 0", 0}, {"exit 1", 1}, {"exit 75", 75}, {"exit 255", 255},
		{"kill -TERM $$", 128 + 15}, {"kill -KILL $$", 128 + 9},
	} {
		if got := r.Call(t, "run", "sh", "-c", command.script); got != (cmdtest.Ended{Code: command.code}) {
			t.Errorf("%s: %+v", command.script, got)
		}
	}
}

// signals returns the members of a line of /proc/self/status: "SigIgn:\t0000000000000003".
func signals(t *testing.T, status, name string) (set []syscall.Signal) {
	t.Helper()
	_, line, _ := strings.Cut(status, name+":\t")
	line, _, _ = strings.Cut(line, "\n")
	mask, err := strconv.ParseUint(line, 16, 64)
	if err != nil {
		t.Fatalf("%s in %q: %v", name, status, err)
	}
	for ; mask != 0; mask &= mask - 1 {
		set = append(set, syscall.Signal(bits.TrailingZeros64(mask)+1))
	}
	return set
}

// What nohup(1), a shell's "&" and job control ignore, COMMAND ignores too. Other
// signals that the caller ignored, such as SIGPIPE, are back to their default:
// Go's runtime takes them over before the program begins.
func TestRunSignals(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip(err)
	}
	r := begin(t, `{"n":0}`)
	kept := []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU}
	for _, trap := range []string{":", "trap '' HUP INT QUIT USR1 PIPE TERM TSTP TTIN TTOU"} {
		ignored := func(wrapper string) []syscall.Signal {
			got := cmdtest.Finish(t, r.Command("sh", "-c", trap+"; exec "+wrapper+" cat /proc/self/status"))
			if got.Code != 0 || got.Stderr != "" {
				t.Fatalf("code %d, stderr %q", got.Code, got.Stderr)
			}
			return signals(t, got.Stdout, "SigIgn")
		}
		before := ignored("")
		for _, wrapper := range []string{"cgisession run", "cgisession lock", "cgisession lock --close-in-child"} {
			after := ignored(wrapper)
			for _, s := range before {
				if slices.Contains(kept, s) && !slices.Contains(after, s) {
					t.Errorf("%s: %v was ignored and is not", wrapper, s)
				}
			}
			for _, s := range after {
				if !slices.Contains(before, s) {
					t.Errorf("%s: %v is ignored and was not", wrapper, s)
				}
			}
		}
	}
}

// With --lock, COMMAND has the session for itself, also one that run has made,
// and one that it had to wait for.
func TestRunLock(t *testing.T) {
	r := in(t.TempDir())
	first := r.Start(t, cmdtest.Program, "run", "--lock", "sh")
	ids := cmdtest.NewIDs(first.Line(t))
	if len(ids) != 1 {
		t.Fatalf("no cookie; stderr %s", first.Said(t))
	}
	r = r.client(ids[0])
	if !r.locked(t) {
		t.Error("not locked")
	}
	second := r.Start(t, cmdtest.Program, "run", "--lock", "--data", "sh")
	cmdtest.Until(t, "waiter", func() bool { return waiters(t, r.file(ids[0])) == 1 })
	between := r.Start(t, cmdtest.Program, "incr", "n") // who likely comes after it has loaded, and before it has the lock
	cmdtest.Until(t, "second waiter", func() bool { return waiters(t, r.file(ids[0])) == 2 })
	if stdout, code := first.Do(t, `cgisession incr n; cgisession incr n`); code != 0 || stdout != "1\n2\n" {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, first.Said(t))
	}
	if code := first.End(t); code != 0 {
		t.Errorf("code %d", code)
	}
	if stdout, _ := second.Do(t, `echo "$CGISESSION_DATA"; cgisession get`); stdout != "{\"n\":2}\n{\"n\":2}\n" && stdout != "{\"n\":3}\n{\"n\":3}\n" {
		t.Errorf("data of the one who waited: %q, stderr %q", stdout, second.Said(t))
	}
	if !r.locked(t) {
		t.Error("not locked by the one who waited")
	}
	kill(t, second.Process.Pid)
	if !r.free(t) {
		t.Error("locked after COMMAND was killed")
	}
	if n := between.Line(t); n != "3" {
		t.Errorf("the other who waited said %q, stderr %q", n, between.Said(t))
	}
}

// What is over 120 KiB fits in no variable. The message says so before anything
// is printed, and what to do instead.
func TestRunDataLimit(t *testing.T) {
	const most = 120 << 10
	for _, over := range []int{0, 1} {
		data := `{"a":"` + strings.Repeat("x", most+over-len(`{"a":""}`)) + `"}`
		r := begin(t, data)
		// With an expiry date there is a cookie to print.
		got := r.client(cmdtest.Visitor).Call(t, "run", "--cookie-expires", "1h", "--data", "sh", "-c", `echo "$CGISESSION_DATA"`)
		switch {
		case over == 0 && (got.Code != 0 || !strings.HasSuffix(got.Stdout, "\n"+data+"\n")):
			t.Errorf("%d bytes: code %d, stderr %q", len(data), got.Code, got.Stderr)
		case over == 1 && (got.Code != 65 || got.Stdout != "" || !strings.Contains(got.Stderr, "use get instead")):
			t.Errorf("%d bytes: code %d, %d bytes on stdout, stderr %q", len(data), got.Code, len(got.Stdout), got.Stderr)
		}
		// One value over the limit is none of the data's.
		got = r.client(cmdtest.Visitor).Call(t, "run", "--env", "APP_", "sh", "-c", `echo "${#APP_a}"`)
		if want := strconv.Itoa(len(data)-len(`{"a":""}`)) + "\n"; got != (cmdtest.Ended{Stdout: want}) {
			t.Errorf("--env: %+v, want %s", got, want)
		}
	}
	r := begin(t, `{"a":"`+strings.Repeat("x", most+1)+`"}`)
	got := r.Call(t, "run", "--env", "APP_", "echo", "run")
	if got.Code != 65 || got.Stdout != "" || !strings.Contains(got.Stderr, "APP_a") {
		t.Errorf("a value of %d bytes: code %d, stdout %q, stderr %q", most+1, got.Code, got.Stdout, got.Stderr)
	}

	// So are too many variables: twenty of 100 KB, and one that is just too long or
	// not. In no case is the header line printed and the command not run.
	ran, refused := 0, 0
	for last := 0; last <= 110_000; last += 4000 {
		data := "{"
		for i := range 20 {
			data += fmt.Sprintf(`"b%d":"%s",`, i, strings.Repeat("x", 100_000))
		}
		data += `"c":"` + strings.Repeat("x", last) + `"}`
		many := begin(t, "{}").with("CGISESSION_MAX_SIZE=4000000")
		if got := many.Give(t, data, "save"); got != (cmdtest.Ended{}) {
			t.Fatalf("save: %+v", got)
		}
		got = many.client(cmdtest.Visitor).with("CGISESSION_MAX_SIZE=4000000").Call(t, "run", "--cookie-expires", "1h", "--env", "APP_", "echo", "run")
		switch {
		case got.Code == 0 && strings.HasSuffix(got.Stdout, "\nrun\n"):
			ran++
		case got.Code == 65 && got.Stdout == "" && strings.Contains(got.Stderr, "use get instead"):
			refused++
		default:
			t.Fatalf("variables of %d bytes: code %d, stdout %q, stderr %q", len(data), got.Code, got.Stdout, got.Stderr)
		}
	}
	if ran == 0 || refused == 0 {
		t.Errorf("%d ran, %d were refused", ran, refused)
	}
}
