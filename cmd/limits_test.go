package cmd_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
	"cgisession/store"
	"cgisession/store/file"
)

// A limited is a verb's call for a session that may be past its limit.
type limited struct {
	args  argv
	stdin string
	live  string // stdout for a session within its limits, if it is a fixed one
	// What the call comes to for one past them.
	fresh bool // a new session, for the client that sent the cookie
	code  int  // else
	gone  int  // in a request that had the session; 0: a new session there too
}

// limitedCalls are calls of all verbs that work on a request's session.
var limitedCalls = []limited{
	{args: argv{"load"}, fresh: true},
	{args: argv{"load", "--no-lock"}, fresh: true},
	{args: argv{"run", "echo", "ran"}, live: "ran\n", fresh: true},
	{args: argv{"run", "--lock", "echo", "ran"}, live: "ran\n", fresh: true},
	{args: argv{"set", "n:=2"}, fresh: true, gone: 10},
	{args: argv{"save"}, stdin: `{"n":2}`, fresh: true, gone: 10},
	{args: argv{"regenerate"}, fresh: true, gone: 10},
	{args: argv{"regenerate", "--grace", "1h"}, fresh: true, gone: 10},
	{args: argv{"invalidate"}, fresh: true, gone: 10},
	{args: argv{"save", "--if-version", "1"}, stdin: `{"n":2}`, code: 11, gone: 10},
	{args: argv{"unset", "n"}, code: 0, gone: 10},
	{args: argv{"delete"}, code: 0, gone: 10},
	{args: argv{"incr", "n"}, live: "8\n", code: 1, gone: 10},
	{args: argv{"pop", "n"}, live: "7\n", code: 1, gone: 10},
	{args: argv{"append", "list", "1"}, live: "1\n", code: 1, gone: 10},
	{args: argv{"edit", "cat"}, code: 1, gone: 10},
	{args: argv{"lock", "echo", "locked"}, live: "locked\n", code: 1, gone: 10},
	{args: argv{"lock-path"}, code: 1, gone: 10},
	{args: argv{"get"}, live: `{"n":7}` + "\n", code: 1, gone: 1},
	{args: argv{"get", "n"}, live: "7\n", code: 1, gone: 1},
	{args: argv{"get", "--no-lock"}, live: `{"n":7}` + "\n", code: 1, gone: 1},
	{args: argv{"get", "--default", "0", "n"}, live: "7\n"},
	{args: argv{"info"}, code: 1, gone: 1},
	{args: argv{"info", "--no-lock"}, code: 1, gone: 1},
	{args: argv{"cookie"}, code: 1, gone: 1},
	{args: argv{"csrf"}, code: 1, gone: 1},
}

// Every verb holds to both limits: the session that is past one is none, and no
// verb revives it, for a client or for a request that had it. Within the same limit
// it is there. The store makes the session, since the creation is under its
// checksum and no clock can be waited for.
func TestLimits(t *testing.T) {
	const created, accessed = 2 * time.Hour, time.Hour // ago
	for _, limit := range []struct {
		name, over, within string
	}{
		{"lifetime", "--lifetime=90m", "--lifetime=3h"},
		{"timeout", "--timeout=30m", "--timeout=90m"},
	} {
		for _, call := range limitedCalls {
			name := limit.name + "/" + strings.Join(call.args, " ")
			for _, bound := range []bool{false, true} {
				who := map[bool]string{false: "/client", true: "/request"}[bound]
				t.Run(name+who+"/over", func(t *testing.T) {
					t.Parallel()
					r := aged(t, created, accessed)
					r.checkOver(t, call.of(bound), limit.over, bound)
				})
				t.Run(name+who+"/within", func(t *testing.T) {
					t.Parallel()
					r := aged(t, created, accessed)
					r.checkWithin(t, call, limit.within, bound)
				})
			}
		}
	}
}

// of returns what the call comes to for a client, or in a request that had the session.
func (l limited) of(bound bool) limited {
	if bound {
		l.fresh, l.code = l.fresh && l.gone == 0, l.gone
	}
	return l
}

// aged has the visitor's session, made and last used so long ago.
func aged(t *testing.T, created, accessed time.Duration) request {
	t.Helper()
	r := in(t.TempDir())
	f := file.Open(file.Config{Dir: r.Dir + "/sessions"}, store.Options{MaxSize: 1 << 20})
	defer f.Close()
	_, err := f.Update(store.Handle("cgisession_id", cmdtest.Visitor), true, func(s *store.Session) (store.Outcome, error) {
		s.Created -= int64(created / time.Second)
		s.Data = store.Data(`{"n":7}`)
		return store.Save, nil
	})
	must(t, err)
	then := time.Now().Add(-accessed)
	must(t, os.Chtimes(r.file(cmdtest.Visitor), then, then))
	return r
}

// limit makes the call with a flag that limits the session.
func (r request) limit(t *testing.T, call limited, flag string, bound bool) cmdtest.Ended {
	t.Helper()
	if bound {
		r = r.bound(cmdtest.Visitor)
	} else {
		r = r.client(cmdtest.Visitor)
	}
	return r.Give(t, call.stdin, slices.Insert(slices.Clone(call.args), 1, flag)...)
}

// checkWithin wants the session to be there.
func (r request) checkWithin(t *testing.T, call limited, flag string, bound bool) {
	t.Helper()
	got := r.limit(t, call, flag, bound)
	if got.Code != 0 || got.Stderr != "" {
		t.Errorf("%+v", got)
	}
	if call.live != "" && got.Stdout != call.live {
		t.Errorf("stdout %q, want %q", got.Stdout, call.live)
	}
	moves := slices.Contains(argv{"regenerate", "invalidate", "cookie"}, call.args[0])
	if ids := cmdtest.NewIDs(got.Stdout); len(ids) > 0 != moves {
		t.Errorf("a cookie: %q", got.Stdout)
	}
}

// checkOver wants the session to count as none, and to be none afterwards.
func (r request) checkOver(t *testing.T, call limited, flag string, bound bool) {
	t.Helper()
	before, _ := r.files(t)
	got := r.limit(t, call, flag, bound)
	ids := cmdtest.NewIDs(got.Stdout)
	switch {
	case call.fresh && call.code == 0:
		if got.Code != 0 || len(ids) != 1 || ids[0] == cmdtest.Visitor {
			t.Fatalf("no new session: %+v", got)
		}
		r.checkFresh(t, call, ids[0])
	case got.Code != call.code || len(ids) > 0:
		t.Errorf("code %d, want %d: %+v", got.Code, call.code, got)
	case got.Code != 0 && got.Stdout != "", strings.Contains(got.Stdout, "7"), strings.Contains(got.Stdout, "ran"), strings.Contains(got.Stdout, "locked"):
		t.Errorf("stdout %q", got.Stdout)
	}
	// The next read marks no access that would make it young again.
	if next := r.client(cmdtest.Visitor).Call(t, "get", flag); next.Code != 1 || next.Stdout != "" {
		t.Errorf("revived: %+v", next)
	}
	if after, _ := r.files(t); len(after) > len(before) {
		t.Errorf("files before %q, after %q", before, after)
	}
}

// checkFresh wants the new session to have nothing of the old one, which is gone
// for good, whatever the limits.
func (r request) checkFresh(t *testing.T, call limited, id string) {
	t.Helper()
	want := "{}\n"
	if slices.Contains(argv{"set", "save"}, call.args[0]) {
		want = `{"n":2}` + "\n"
	}
	if got := r.client(id).Call(t, "get"); got.Stdout != want {
		t.Errorf("the new session: %+v, want %q", got, want)
	}
	if got := r.client(cmdtest.Visitor).Call(t, "get"); got.Code != 1 {
		t.Errorf("the old session: %+v", got)
	}
}
