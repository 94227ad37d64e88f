//go:build redis && linux

package redis

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"cgisession/store"
	"cgisession/store/redis/redistest"
)

// A cutter is a connection that breaks at its nth request: before the server
// gets it or, with late, when it has done what was asked. It works again after
// the first, or never.
type cutter struct {
	n           int
	late, heals bool
	final       bool // what fails is not tried again: the client was killed
	seen        int
}

func (c *cutter) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (c *cutter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "hello" {
			return next(ctx, cmd)
		}
		return c.send([]redis.Cmder{cmd}, func() error { return next(ctx, cmd) })
	}
}

func (c *cutter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return c.send(cmds, func() error { return next(ctx, cmds) })
	}
}

// send sends commands, unless the connection breaks.
func (c *cutter) send(cmds []redis.Cmder, next func() error) error {
	n := c.seen
	c.seen++
	switch {
	case n < c.n || c.heals && n > c.n:
		return next()
	case c.late && n == c.n:
		if err := next(); err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") {
			return err
		}
	}
	failed := io.EOF
	if c.final {
		failed = redisError{failed}
	}
	for _, cmd := range cmds {
		cmd.SetErr(failed)
	}
	return failed
}

// cutOptions are those of the stores whose connections break.
var cutOptions = store.Options{MaxSize: 1000, LockTimeout: time.Second}

func cutStore(t *testing.T, url string, c *cutter, opts store.Options) *Store {
	t.Helper()
	s, err := Open(Config{URL: url, Prefix: "p:"}, opts)
	if err != nil {
		t.Fatal(err)
	}
	if c != nil {
		s.client.AddHook(c)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// eachCut runs a call with each way in which its connection can break, until it
// takes no more requests than that.
func eachCut(t *testing.T, url string, opts store.Options, run func(t *testing.T, s *Store, heals bool)) {
	for _, heals := range []bool{true, false} {
		for _, late := range []bool{true, false} {
			for n := 0; ; n++ {
				c := &cutter{n: n, late: late, heals: heals}
				t.Run(fmt.Sprintf("heals=%v late=%v n=%d", heals, late, n), func(t *testing.T) {
					run(t, cutStore(t, url, c, opts), heals)
				})
				if c.seen <= n {
					break
				}
				if n > 30 {
					t.Fatal("there is no end to the requests")
				}
			}
		}
	}
}

func setTo(data string) store.Change {
	return func(s *store.Session) (store.Outcome, error) {
		s.Data = store.Data(data)
		return store.Save, nil
	}
}

// TestMoveCut cuts a move at each of its requests. The session is one, by the old
// handle and, where it has moved, by the new one.
func TestMoveCut(t *testing.T) {
	url, opts := withReplica(t).URL(), cutOptions
	for _, opts.Durable = range []bool{false, true} {
		moveCut(t, url, opts)
	}
}

// withReplica is a server that has a replica.
func withReplica(t *testing.T) *redistest.Server {
	t.Helper()
	master := redistest.Start(t)
	redistest.Replica(t, master)
	return master
}

func moveCut(t *testing.T, url string, opts store.Options) {
	whole := cutStore(t, url, nil, cutOptions)
	for _, grace := range []time.Duration{time.Hour, 0} {
		eachCut(t, url, opts, func(t *testing.T, s *Store, heals bool) {
			from, to := store.Handle("a", store.NewID()), store.Handle("b", store.NewID())
			if _, err := whole.Update(from, true, setTo(`{"a":1}`)); err != nil {
				t.Fatal(err)
			}
			_, err := s.Move(from, to, grace, setTo(`{"a":2}`))
			if err != nil && (heals || !errors.Is(err, store.ErrUnavailable)) {
				t.Fatalf("Move: %v", err)
			}
			byOld, failed := whole.Read(from, store.Peek)
			if failed != nil && grace > 0 {
				t.Fatalf("the session is lost: %v", failed)
			}
			byNew, _ := whole.Read(to, store.Touch)
			switch {
			case byNew == nil && (err == nil || byOld == nil):
				t.Fatalf("after %v neither handle leads to the session", err)
			case err == nil && byOld == nil && grace > 0:
				t.Fatal("the old handle leads nowhere")
			case byOld != nil && byOld.Handle == from && string(byOld.Data) != `{"a":1}`,
				byOld != nil && byOld.Handle == to && string(byOld.Data) != `{"a":2}`:
				t.Fatalf("half of a move: %+v", byOld)
			case byOld != nil && byOld.Handle == from && err == nil:
				t.Fatal("the move was reported, and did not happen")
			case byOld != nil && byOld.Handle == to:
				if _, err := whole.Update(from, false, setTo(`{"a":3}`)); err != nil {
					t.Fatal(err)
				}
				if now, err := whole.Read(to, store.Peek); err != nil || string(now.Data) != `{"a":3}` {
					t.Fatalf("two sessions: %+v, %v", now, err)
				}
			}
		})
	}
}

// TestUpdateCut cuts a change at each of its requests: it happens once, or, where
// that was reported, perhaps not at all.
func TestUpdateCut(t *testing.T) {
	url, opts := withReplica(t).URL(), cutOptions
	for _, opts.Durable = range []bool{false, true} {
		updateCut(t, url, opts)
	}
}

func updateCut(t *testing.T, url string, opts store.Options) {
	whole := cutStore(t, url, nil, cutOptions)
	eachCut(t, url, opts, func(t *testing.T, s *Store, heals bool) {
		h := store.Handle("a", store.NewID())
		if _, err := whole.Update(h, true, setTo(`{"n":1}`)); err != nil {
			t.Fatal(err)
		}
		add := func(s *store.Session) (_ store.Outcome, err error) {
			s.Data, _, err = s.Data.Add("n", "1")
			return store.Save, err
		}
		told, err := s.Update(h, false, add)
		now, failed := whole.Read(h, store.Peek)
		switch {
		case failed != nil:
			t.Fatal(failed)
		case err == nil && (string(now.Data) != `{"n":2}` || told.Version != 2 || now.Version != 2 || string(told.Data) != `{"n":2}`):
			t.Fatalf("stored %+v, told %+v", now, told)
		case err != nil && (heals || now.Version > 2):
			t.Fatalf("%v; stored %+v", err, now)
		}
	})
}

// TestRemoveCut cuts the end of a session at each of its requests.
func TestRemoveCut(t *testing.T) {
	url, opts := withReplica(t).URL(), cutOptions
	whole := cutStore(t, url, nil, cutOptions)
	for _, opts.Durable = range []bool{false, true} {
		eachCut(t, url, opts, func(t *testing.T, s *Store, heals bool) {
			h := store.Handle("a", store.NewID())
			if _, err := whole.Update(h, true, setTo(`{"n":1}`)); err != nil {
				t.Fatal(err)
			}
			_, err := s.Update(h, false, func(*store.Session) (store.Outcome, error) { return store.Remove, nil })
			_, left := whole.Read(h, store.Peek)
			switch {
			case err == nil && !errors.Is(left, store.ErrNotFound):
				t.Fatalf("the session is said to have ended, and Read = %v", left)
			case err != nil && (heals || !errors.Is(err, store.ErrUnavailable)):
				t.Fatal(err)
			}
		})
	}
}

// TestHoldCut cuts the taking of a lock at each of its requests: who takes it is
// not kept out by itself.
func TestHoldCut(t *testing.T) {
	url, opts := redistest.Start(t).URL(), cutOptions
	opts.LockTimeout = 0
	whole := cutStore(t, url, nil, opts)
	for _, create := range []bool{false, true} {
		eachCut(t, url, opts, func(t *testing.T, s *Store, heals bool) {
			h := store.Handle("a", store.NewID())
			if !create {
				if _, err := whole.Update(h, true, setTo(`{"n":1}`)); err != nil {
					t.Fatal(err)
				}
			}
			lock, err := s.Hold(h, create)
			if err != nil {
				if heals || !errors.Is(err, store.ErrUnavailable) {
					t.Fatal(err)
				}
				return
			}
			if _, err := whole.Update(h, true, setTo(`{"n":2}`)); !errors.Is(err, store.ErrLocked) {
				t.Fatalf("another is let in: %v", err)
			}
			handed := opts
			handed.LockToken = lock.Value
			if _, err := cutStore(t, url, nil, handed).Update(h, true, setTo(`{"n":3}`)); err != nil {
				t.Fatalf("the holder is kept out: %v", err)
			}
			if err := lock.Lease.Release(); err != nil && heals {
				t.Fatalf("Release: %v", err)
			}
		})
	}
}

// TestStirred has a replica that confirms nothing when an answer is lost: the same
// request, sent again, must not be taken for confirmed, though it finds all done.
func TestStirred(t *testing.T) {
	master := redistest.Start(t)
	replica := redistest.Replica(t, master)
	whole, opts := cutStore(t, master.URL(), nil, cutOptions), cutOptions
	opts.Durable = true
	for name, run := range map[string]func(s *Store, h string, was *store.Session) error{
		"remove": func(s *Store, h string, was *store.Session) error { return s.remove(was) },
		"leave": func(s *Store, h string, was *store.Session) error {
			_, err := s.run(leaveScript, h, true, was.Version, store.Handle("b", h), 0, int64(time.Hour/time.Millisecond), int64(math.MaxInt64))
			return err
		},
		"save": func(s *Store, h string, was *store.Session) error {
			found := *was
			return s.save(&found, was, "0123456789abcdef", false)
		},
	} {
		h := store.Handle("a", store.NewID())
		was, err := whole.Update(h, true, setTo(`{"n":1}`))
		if err != nil {
			t.Fatal(err)
		}
		if err := run(cutStore(t, master.URL(), nil, opts), h, was); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		replica.Signal(syscall.SIGSTOP)
		before := master.Calls(t)["hset"]
		if err := run(cutStore(t, master.URL(), nil, opts), h, was); !errors.Is(err, errNotReplicated) {
			t.Errorf("%s once more, with no replica that answers: %v; want %v", name, err, errNotReplicated)
		}
		if after := master.Calls(t)["hset"]; after == before {
			t.Errorf("%s once more: it wrote nothing that WAIT could wait for", name)
		}
		replica.Signal(syscall.SIGCONT)
		redistest.Linked(t, replica)
	}
}

// TestMoveUnconfirmed moves a session while no replica confirms anything: it stays
// where it was.
func TestMoveUnconfirmed(t *testing.T) {
	master := redistest.Start(t)
	replica := redistest.Replica(t, master)
	whole, opts := cutStore(t, master.URL(), nil, cutOptions), cutOptions
	opts.Durable = true
	for _, grace := range []time.Duration{0, time.Hour} {
		for _, stopAt := range []string{"first", "second"} {
			from, to := store.Handle("a", store.NewID()), store.Handle("b", store.NewID())
			keys := []store.OldKey{{Key: "old", Until: time.Now().Add(time.Hour).Unix()}}
			if _, err := whole.Update(from, true, func(s *store.Session) (store.Outcome, error) {
				s.OldKeys, s.User, s.CookieName, s.Note = keys, "ann", "app", "Firefox"
				return setTo(`{"a":1}`)(s)
			}); err != nil {
				t.Fatal(err)
			}
			s := cutStore(t, master.URL(), nil, opts)
			stop := func() { replica.Signal(syscall.SIGSTOP) }
			if stopAt == "first" {
				stop()
			} else {
				s.client.AddHook(&onScript{script: leaveScript, do: stop})
			}
			moved, err := s.Move(from, to, grace, setTo(`{"a":2}`))
			if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "keeps the old one") {
				t.Errorf("grace %v, %s step: Move = %+v, %v", grace, stopAt, moved, err)
			}
			replica.Signal(syscall.SIGCONT)
			redistest.Linked(t, replica)
			if found, err := whole.Read(from, store.Peek); err != nil || found.Handle != from || string(found.Data) != `{"a":1}` || found.Version != 1 || !slices.Equal(found.OldKeys, keys) ||
				found.User != "ann" || found.CookieName != "app" || found.Note != "Firefox" {
				t.Errorf("grace %v, %s step: the session is %+v, %v", grace, stopAt, found, err)
			}
			if found, err := whole.Read(to, store.Peek); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("grace %v, %s step: at the new handle is %+v, %v", grace, stopAt, found, err)
			}
		}
	}
}

// TestMoveEndedMeanwhile has the session end or move on before the last step of its
// move. The move was made all the same.
func TestMoveEndedMeanwhile(t *testing.T) {
	url, opts := withReplica(t).URL(), cutOptions
	opts.Durable = true
	whole := cutStore(t, url, nil, cutOptions)
	for name, meanwhile := range map[string]func(from, to string) error{
		"ended": func(from, _ string) error {
			_, err := whole.Update(from, false, func(*store.Session) (store.Outcome, error) { return store.Remove, nil })
			return err
		},
		"moved on": func(_, to string) error {
			_, err := whole.Move(to, store.Handle("c", to), time.Hour, nil)
			return err
		},
	} {
		from, to := store.Handle("a", store.NewID()), store.Handle("b", store.NewID())
		if _, err := whole.Update(from, true, setTo(`{"a":1}`)); err != nil {
			t.Fatal(err)
		}
		s := cutStore(t, url, nil, opts)
		s.client.AddHook(&onScript{script: confirmScript, do: func() {
			if err := meanwhile(from, to); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}})
		if moved, err := s.Move(from, to, time.Hour, setTo(`{"a":2}`)); err != nil || moved.Handle != to || string(moved.Data) != `{"a":2}` {
			t.Errorf("%s: Move = %+v, %v", name, moved, err)
		}
	}
}

// TestMoveSecond has another process move the session, between a mover's first step
// and its second one. The second mover's copy goes, also from the index of users.
func TestMoveSecond(t *testing.T) {
	url, opts := withReplica(t).URL(), cutOptions
	opts.Durable = true
	whole := cutStore(t, url, nil, cutOptions)
	from, first, second := store.Handle("a", store.NewID()), store.Handle("b", store.NewID()), store.Handle("c", store.NewID())
	if _, err := whole.Update(from, true, func(s *store.Session) (store.Outcome, error) {
		s.User = "ann"
		return store.Save, nil
	}); err != nil {
		t.Fatal(err)
	}
	s := cutStore(t, url, nil, opts)
	s.client.AddHook(&onScript{script: leaveScript, do: func() {
		if _, err := whole.Move(from, first, time.Hour, nil); err != nil {
			t.Error(err)
		}
	}})
	if found, err := s.Move(from, second, time.Hour, nil); !errors.Is(err, store.ErrMoved) || found.Handle != first {
		t.Errorf("Move = %+v, %v; want %v and the session at %s", found, err, store.ErrMoved, first)
	}
	if found, err := whole.Read(second, store.Peek); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("at the handle that it was not moved to: %+v, %v", found, err)
	}
	if handles, err := whole.client.SMembers(t.Context(), whole.usersKey("ann")).Result(); err != nil || len(handles) != 1 || handles[0] != first {
		t.Errorf("the index of users has %q, %v; want %s", handles, err, first)
	}
}

// onPipeline does something before the nth pipeline, counted from 0.
type onPipeline struct {
	n  int
	do func()
}

func (*onPipeline) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (*onPipeline) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (o *onPipeline) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if o.n == 0 {
			o.do()
		}
		o.n--
		return next(ctx, cmds)
	}
}

// onScript does something before a script is sent in a pipeline for the first time.
// One whose answer a busy replica delays is sent again.
type onScript struct {
	script script
	do     func()
	done   bool
}

func (*onScript) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (*onScript) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (o *onScript) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			text, _ := append(cmd.Args(), "", "")[1].(string)
			if sum := sha1.Sum([]byte(text)); !o.done && hex.EncodeToString(sum[:]) == o.script().Hash() {
				o.done = true
				o.do()
			}
		}
		return next(ctx, cmds)
	}
}
