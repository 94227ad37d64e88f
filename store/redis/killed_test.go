//go:build redis && linux

package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"cgisession/store"
	"cgisession/store/redis/redistest"
)

// A place is one server or a cluster: its name, its URL, and how to send it a command.
type serverPlace struct {
	name, url string
	do        func(t testing.TB, args ...string) string
}

// everywhere is one server, and a cluster.
func everywhere(t *testing.T) []serverPlace {
	server, nodes := redistest.Start(t), redistest.Cluster(t, 3)
	return []serverPlace{
		{"server", server.URL(), server.Do},
		{"cluster", "redis+cluster://" + nodes[0].Addr(), func(t testing.TB, args ...string) string {
			return nodes[0].Do(t, append([]string{"-c"}, args...)...)
		}},
	}
}

// seenBy returns the states that operators see: of all, of a user's, and by Look and
// Count. All must say the same.
func seenBy(t *testing.T, s *Store, user string) map[string]store.State {
	t.Helper()
	all, count := map[string]store.State{}, map[store.State]int64{}
	if err := s.Each(func(found *store.Session, state store.State, _ error) error {
		if found.User == user {
			all[found.Handle] = state
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	users := map[string]store.State{}
	for _, handle := range handlesOf(t, s, user) {
		err := s.Look(handle, func(found *store.Session, state store.State, _ error) error {
			users[handle] = state
			return nil
		})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
	}
	for handle, state := range all { // a copy may not be in the index yet
		if users[handle] != state && state != store.Moving {
			t.Errorf("%s is %s; by user it is %q", handle, state, users[handle])
		}
	}
	for handle, state := range users {
		if all[handle] == "" && state != store.Moved && state != store.Over {
			t.Errorf("%s is %s by user only", handle, state)
		}
	}
	for _, state := range all {
		count[state]++
	}
	counted, err := s.Count(false)
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range []store.State{store.Live, store.Moving} {
		if counted.Files[state] < count[state] {
			t.Errorf("%d are counted as %s; want %d at least", counted.Files[state], state, count[state])
		}
	}
	return all
}

func having(all map[string]store.State, state store.State) (handles []string) {
	for handle, s := range all {
		if s == state {
			handles = append(handles, handle)
		}
	}
	slices.Sort(handles)
	return handles
}

// killedMove has a session moved by a client that is killed at its nth request, before
// or after the server got it, and returns both handles. It reports false once the move
// takes no more requests than that.
func killedMove(t *testing.T, url, user string, n int, late bool, grace time.Duration) (from, to string, more bool) {
	t.Helper()
	whole := cutStore(t, url, nil, cutOptions)
	from, to = store.Handle("a", store.NewID()), store.Handle("b", store.NewID())
	if _, err := whole.Update(from, true, func(s *store.Session) (store.Outcome, error) {
		s.User = user
		return setTo(`{"a":1}`)(s)
	}); err != nil {
		t.Fatal(err)
	}
	c := &cutter{n: n, late: late, final: true}
	cutStore(t, url, c, cutOptions).Move(from, to, grace, nil)
	return from, to, c.seen > n
}

// killed is what a client left that was killed within a move.
type killed struct {
	*Store
	do             func(t testing.TB, args ...string) string
	grace          time.Duration
	user, from, to string
}

// TestKilledMove kills a client in each way in which it can be killed within a move,
// and looks at what it left, ends it, and goes on with it.
func TestKilledMove(t *testing.T) {
	moving := 0
	for _, place := range everywhere(t) {
		for _, grace := range []time.Duration{0, time.Hour} {
			for _, late := range []bool{false, true} {
				for n, more := 0, true; more && n < 30; n++ {
					for name, check := range map[string]func(*testing.T, killed){
						"seen":             func(t *testing.T, k killed) { moving += k.seen(t) },
						"destroyed by old": func(t *testing.T, k killed) { k.destroyed(t, k.from) },
						"destroyed by new": func(t *testing.T, k killed) { k.destroyed(t, k.to) },
						"used":             func(t *testing.T, k killed) { k.used(t) },
					} {
						t.Run(fmt.Sprintf("%s grace=%v late=%v n=%d %s", place.name, grace, late, n, name), func(t *testing.T) {
							k := killed{Store: cutStore(t, place.url, nil, cutOptions), do: place.do, grace: grace, user: store.NewID()}
							k.from, k.to, more = killedMove(t, place.url, k.user, n, late, grace)
							check(t, k)
						})
					}
				}
			}
		}
	}
	if moving == 0 {
		t.Error("no copy was seen")
	}
}

// remove is what destroy does with a handle. It reports whether a session has ended.
func remove(t *testing.T, s *Store, handle string) (ended bool) {
	t.Helper()
	_, err := s.Update(handle, false, func(*store.Session) (store.Outcome, error) { return store.Remove, nil })
	if errors.Is(err, store.ErrNotFound) {
		err = s.End(handle)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

// seen has operators look: one session is live, and a copy of it is moving, for a
// minute. It returns how many copies there were.
func (k killed) seen(t *testing.T) int {
	all := seenBy(t, k.Store, k.user)
	live := having(all, store.Live)
	if len(live) != 1 {
		t.Fatalf("live are %q", live)
	}
	if at, err := k.Live([]string{k.from, k.to}, 2); err != nil || at[0] != "" && at[0] != live[0] || at[1] != "" && at[1] != live[0] {
		t.Errorf("Live = %q, %v; want %s", at, err, live[0])
	}
	copies := having(all, store.Moving)
	if len(copies) == 0 {
		return 0
	}
	if len(copies) != 1 || copies[0] != k.to || live[0] != k.from {
		t.Fatalf("moving are %q, live %q", copies, live)
	}
	key := "p:{" + k.to + "}"
	k.do(t, "hset", key, "accessed", fmt.Sprint(time.Now().Add(-movingTime-time.Second).UnixMilli()))
	if all := seenBy(t, k.Store, k.user); len(all) != 1 || all[k.from] != store.Live {
		t.Errorf("a minute later: %v", all)
	}
	if _, err := k.Sweep(context.Background(), store.Sweep{}); err != nil {
		t.Error(err)
	}
	if got := k.do(t, "exists", key); got != "0" {
		t.Errorf("cleanup left the copy")
	}
	if found, err := k.Read(k.from, store.Peek); err != nil || string(found.Data) != `{"a":1}` {
		t.Errorf("the session: %+v, %v", found, err)
	}
	return 1
}

// destroyed ends the session by a handle, old or new: neither leads to anything then.
// An old one is nobody's once the move was made by all its steps.
func (k killed) destroyed(t *testing.T, handle string) {
	all := seenBy(t, k.Store, k.user)
	if handle == k.to && all[k.to] == "" {
		return // nothing was put there
	}
	whole := k.grace == 0 && all[k.from] == "" && pendingOf(t, k.Store, k.to) == ""
	if ended := remove(t, k.Store, handle); ended == (handle == k.from && whole) {
		t.Errorf("a session has ended: %v", ended)
	}
	left := seenBy(t, k.Store, k.user)
	if handle == k.from && whole {
		if len(having(left, store.Live)) != 1 {
			t.Errorf("listed: %v", left)
		}
		return
	}
	if len(left) > 0 {
		t.Errorf("listed: %v", left)
	}
	if handles := handlesOf(t, k.Store, k.user); handle == k.from && all[k.from] == "" && len(handles) > 1 {
		t.Errorf("the index of users has %q", handles)
	}
	for _, h := range []string{k.from, k.to} {
		for _, how := range []store.Reading{store.Touch, store.Peek, store.Snapshot} {
			if found, err := k.Read(h, how); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("opened: %+v, %v", found, err)
			}
		}
	}
}

func pendingOf(t *testing.T, s *Store, handle string) string {
	t.Helper()
	text, err := s.field(handle, "pending")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// used goes on with the session. It is one, by whatever handle, and does not end as
// its copy would have.
func (k killed) used(t *testing.T) {
	live := having(seenBy(t, k.Store, k.user), store.Live)
	for i, h := range []string{k.from, k.to} {
		found, err := k.Update(h, false, setTo(fmt.Sprintf(`{"n":%d}`, i)))
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil || found.Handle != live[0] {
			t.Fatalf("Update = %+v, %v; want that of %s", found, err, live[0])
		}
		if now, err := k.Read(live[0], store.Peek); err != nil || string(now.Data) != string(found.Data) {
			t.Errorf("two sessions: %+v, %v", now, err)
		}
	}
	if live[0] == k.to {
		if got := k.do(t, "pttl", "p:{"+k.to+"}"); got != "-1" {
			t.Errorf("it ends in %s ms", got)
		}
	}
}

// TestMoveLate stops a mover between its first and its second step for longer than the
// copy is there: the session stays where it was.
func TestMoveLate(t *testing.T) {
	server := redistest.Start(t)
	whole, s := cutStore(t, server.URL(), nil, cutOptions), cutStore(t, server.URL(), nil, cutOptions)
	from, to := store.Handle("a", store.NewID()), store.Handle("b", store.NewID())
	if _, err := whole.Update(from, true, setTo(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	if err := leaveScript().Load(t.Context(), whole.client).Err(); err != nil {
		t.Fatal(err)
	}
	s.client.AddHook(beforeEach(func(cmd redis.Cmder) error {
		args := cmd.Args()
		if len(args) > 1 && args[1] == leaveScript().Hash() {
			args[len(args)-1] = time.Now().Add(-time.Millisecond).UnixMilli() // as if it had waited that long
		}
		return nil
	}))
	if _, err := s.Move(from, to, time.Hour, nil); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "keeps the old one") {
		t.Errorf("Move: %v", err)
	}
	if found, err := whole.Read(from, store.Peek); err != nil || found.Handle != from {
		t.Errorf("the session: %+v, %v", found, err)
	}
	if server.Do(t, "exists", "p:{"+to+"}") != "0" {
		t.Error("the copy is left")
	}
}

// TestMoveFailsInIndex has a move fail after its first step, in the index of users:
// its copy goes.
func TestMoveFailsInIndex(t *testing.T) {
	server := redistest.Start(t)
	whole, s := cutStore(t, server.URL(), nil, cutOptions), cutStore(t, server.URL(), nil, cutOptions)
	from, to := store.Handle("a", store.NewID()), store.Handle("b", store.NewID())
	if _, err := whole.Update(from, true, func(s *store.Session) (store.Outcome, error) {
		s.User = "ann"
		return store.Save, nil
	}); err != nil {
		t.Fatal(err)
	}
	s.client.AddHook(beforeEach(func(cmd redis.Cmder) error {
		if cmd.Name() == "sadd" {
			return io.EOF
		}
		return nil
	}))
	if _, err := s.Move(from, to, 0, nil); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Move: %v", err)
	}
	if server.Do(t, "exists", "p:{"+to+"}") != "0" {
		t.Error("the copy is left")
	}
}
