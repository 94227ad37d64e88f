//go:build redis && linux

package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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
	seen        int
}

func (c *cutter) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (c *cutter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		switch {
		case cmd.Name() == "hello" || c.seen < c.n || c.heals && c.seen > c.n:
			if cmd.Name() != "hello" {
				c.seen++
			}
			return next(ctx, cmd)
		case c.late && c.seen == c.n:
			if err := next(ctx, cmd); err != nil {
				return err // NOSCRIPT, for one
			}
		}
		c.seen++
		cmd.SetErr(io.EOF)
		return io.EOF
	}
}

func (c *cutter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func cutStore(t *testing.T, url string, c *cutter) *Store {
	t.Helper()
	s, err := Open(Config{URL: url, Prefix: "p:"}, store.Options{MaxSize: 1000, LockTimeout: time.Second})
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
func eachCut(t *testing.T, url string, run func(t *testing.T, s *Store, heals bool)) {
	for _, heals := range []bool{true, false} {
		for _, late := range []bool{true, false} {
			for n := 0; ; n++ {
				c := &cutter{n: n, late: late, heals: heals}
				t.Run(fmt.Sprintf("heals=%v late=%v n=%d", heals, late, n), func(t *testing.T) {
					run(t, cutStore(t, url, c), heals)
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
	url := redistest.Start(t).URL()
	whole := cutStore(t, url, nil)
	for _, grace := range []time.Duration{time.Hour, 0} {
		eachCut(t, url, func(t *testing.T, s *Store, heals bool) {
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
	url := redistest.Start(t).URL()
	whole := cutStore(t, url, nil)
	eachCut(t, url, func(t *testing.T, s *Store, heals bool) {
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
