package cmd_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
)

const (
	soakers      = 16
	soakSessions = 6
)

// A soak is the mixed load on one directory.
type soak struct {
	request
	sessions []*soaked
	stop     time.Time // zero: once there were enough kills
	steps    atomic.Int64
	took     atomic.Int64 // nanoseconds of the last call that was not killed
	mu       sync.Mutex
	kills    map[string]int // by verb
}

// A soaked session is one that all soakers share. Its id changes as they work, but
// not so often during one call that this would need more hops than are followed.
type soaked struct {
	id    atomic.Pointer[string]
	calls sync.RWMutex // read-locked during a call; locked where none may be under way
	moves int          // since there was no call that began before
	model [soakers]int // what each soaker's key holds: for that soaker, or under the lock
}

// mostMoves is under the number of hops that are followed from an old id. Before
// more of them all calls by older ids have to end.
const mostMoves = 6

// Sixteen processes at a time change shared sessions, each its own keys, while
// calls are killed, ids changed, sessions ended and files cleaned up. A model says
// what the keys must hold, which ids lead to a session and which sessions are gone;
// it is compared again and again, and must never differ. SOAK, such as
// 10m, has it go on for that long.
func TestSoak(t *testing.T) {
	s := &soak{request: in(t.TempDir()), kills: make(map[string]int)}
	if text := os.Getenv("SOAK"); text != "" {
		d, err := time.ParseDuration(text)
		must(t, err)
		s.stop = time.Now().Add(d)
	}
	for slot := range soakSessions {
		s.sessions = append(s.sessions, &soaked{})
		s.fillSlot(t, slot)
	}
	s.took.Store(int64(10 * time.Millisecond))
	var all sync.WaitGroup
	for _, goOn := range []func(*testing.T){s.move, s.cleanUp, s.logOut} {
		all.Go(func() { s.repeat(t, goOn) })
	}
	for worker := range soakers {
		all.Go(func() { s.repeat(t, func(t *testing.T) { s.step(t, worker) }) })
	}
	all.Wait()
	s.checkEnd(t)
}

// repeat goes on until it is time to stop, or something went wrong.
func (s *soak) repeat(t *testing.T, goOn func(*testing.T)) {
	for !t.Failed() && !s.over() {
		goOn(t)
		s.steps.Add(1)
	}
}

// over reports whether the time is over, or each verb has been killed, and all of
// them often enough.
func (s *soak) over() bool {
	if !s.stop.IsZero() {
		return time.Now().After(s.stop)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	total := 0
	for _, verb := range []string{"incr", "set", "regenerate", "invalidate", "cleanup"} {
		if s.kills[verb] == 0 {
			return false
		}
		total += s.kills[verb]
	}
	return total >= cmdtest.Full(100, 3000)
}

// checkEnd compares the model for the last time.
func (s *soak) checkEnd(t *testing.T) {
	t.Helper()
	for _, x := range s.sessions {
		for worker, want := range x.model {
			s.bound(*x.id.Load()).checkNumber(t, key(worker), want)
		}
	}
	if doctor := s.Call(t, "doctor", "--deep"); !strings.Contains(doctor.Stdout, " read, 0 damaged\n") {
		t.Errorf("damage: %+v", doctor)
	}
	s.checkNextRun(t, "in the end")
	t.Logf("%d steps, kills: %v", s.steps.Load(), s.kills)
}

func key(worker int) string { return "w" + strconv.Itoa(worker) }

// do calls the program and notes how long it took.
func (s *soak) do(t *testing.T, r request, args ...string) cmdtest.Ended {
	t.Helper()
	begin := time.Now()
	got := r.Call(t, args...)
	s.took.Store(int64(time.Since(begin)))
	return got
}

// kill starts a call and kills it at a random moment, of about as many as it has.
func (s *soak) kill(t *testing.T, r request, args ...string) {
	t.Helper()
	c := r.Command(cmdtest.Program, args...)
	if err := c.Start(); err != nil {
		t.Error(err)
		return
	}
	timer := time.AfterFunc(time.Duration(rand.Int64N(s.took.Load()+1)), func() { c.Process.Kill() })
	defer timer.Stop()
	c.Wait()
	if cmdtest.ExitCode(c) == 128+9 {
		s.mu.Lock()
		s.kills[args[0]]++
		s.mu.Unlock()
	}
}

// step changes or reads one soaker's key of a session. A call that was killed is
// done or not done.
func (s *soak) step(t *testing.T, worker int) {
	x := s.sessions[rand.IntN(len(s.sessions))]
	x.calls.RLock()
	defer x.calls.RUnlock()
	r, key, n := s.bound(*x.id.Load()), key(worker), &x.model[worker]
	set := []string{"set", fmt.Sprintf("%s:=%d", key, *n+10), fmt.Sprintf("pad%d=%s", worker, strings.Repeat("p", rand.IntN(2000)))}
	switch rand.IntN(5) {
	case 0:
		s.kill(t, r, "incr", key)
		*n = r.checkNumber(t, key, *n, *n+1)
	case 1:
		s.kill(t, r, set...)
		*n = r.checkNumber(t, key, *n, *n+10)
	case 2:
		*n++
		if got := s.do(t, r, "incr", key); got.Stdout != fmt.Sprintln(*n) {
			t.Errorf("incr %s: %+v, want %d", key, got, *n)
		}
	case 3:
		*n += 10
		if got := s.do(t, r, set...); got.Code != 0 {
			t.Errorf("set %s: %+v", key, got)
		}
	case 4:
		r.checkNumber(t, key, *n)
	}
}

// checkNumber reads the number under a key without the lock, and checks that it
// is one of these; 0 if there is none.
func (r request) checkNumber(t *testing.T, key string, want ...int) int {
	t.Helper()
	got := r.Call(t, "get", "--no-lock", "--default", "0", key)
	n, err := strconv.Atoi(strings.TrimSpace(got.Stdout))
	if err != nil || got.Code != 0 || !slices.Contains(want, n) {
		t.Errorf("%s: %+v, want one of %d", key, got, want)
	}
	return n
}

// user is whose the session in a slot is, which finds it without its id.
func user(slot int) string { return "user" + strconv.Itoa(slot) }

// fillSlot begins a session, with nothing stored in it.
func (s *soak) fillSlot(t *testing.T, slot int) {
	t.Helper()
	ids := cmdtest.NewIDs(s.Call(t, "regenerate", "--user", user(slot)).Stdout)
	if len(ids) != 1 {
		t.Error("no session to begin with")
		return
	}
	s.sessions[slot].id.Store(&ids[0])
	s.sessions[slot].model = [soakers]int{}
}

// move gives a session a new id.
func (s *soak) move(t *testing.T) {
	slot, killed := rand.IntN(len(s.sessions)), rand.IntN(2) == 0
	if rand.IntN(2) == 0 {
		s.moveAtOnce(t, slot, killed)
	} else {
		s.moveWithGrace(t, slot, killed)
	}
}

// moveWithGrace has the old id reach the session for a while, so that calls under
// way find it. If a move was killed once it was made, nobody knows the new id, and
// by the old one there is no other.
func (s *soak) moveWithGrace(t *testing.T, slot int, killed bool) {
	x := s.sessions[slot]
	r := s.bound(*x.id.Load())
	if killed {
		s.kill(t, r, "regenerate", "--grace", "1m")
	}
	got := s.do(t, r, "regenerate", "--grace", "1m")
	ids := cmdtest.NewIDs(got.Stdout)
	switch {
	case got == cmdtest.Ended{} && killed:
		x.calls.Lock()
		defer x.calls.Unlock()
		x.moves = 0
		s.replace(t, slot)
		return
	case got.Code != 0 || len(ids) != 1:
		t.Errorf("regenerate: %+v", got)
		return
	}
	x.id.Store(&ids[0])
	if x.moves++; x.moves > mostMoves {
		x.calls.Lock() // once all calls by older ids are over
		x.moves = 0
		x.calls.Unlock()
	}
}

// moveAtOnce lets the old id reach nothing.
func (s *soak) moveAtOnce(t *testing.T, slot int, killed bool) {
	x := s.sessions[slot]
	x.calls.Lock()
	defer x.calls.Unlock()
	x.moves = 0
	old := s.bound(*x.id.Load())
	if killed {
		s.kill(t, old, "regenerate")
		if old.Call(t, "get").Code != 0 {
			s.replace(t, slot)
		}
		return
	}
	got := s.do(t, old, "regenerate")
	ids := cmdtest.NewIDs(got.Stdout)
	if got.Code != 0 || len(ids) != 1 {
		t.Errorf("regenerate: %+v", got)
		return
	}
	x.id.Store(&ids[0])
	if got := old.Call(t, "get"); got.Code != 1 {
		t.Errorf("an id that was given up reaches a session: %+v", got)
	}
}

// replace ends a session that has an id which nobody learned, once it was found
// with all its data, and begins another one in its place.
func (s *soak) replace(t *testing.T, slot int) {
	t.Helper()
	found := handleInArgs.FindAllString(s.Call(t, "list", "--user", user(slot)).Stdout, -1)
	if len(found) != 1 {
		t.Errorf("a session that was moved is there %d times", len(found))
		return
	}
	got := s.Call(t, "show", found[0], "--data")
	var shown struct{ Data map[string]any }
	if err := json.Unmarshal([]byte(got.Stdout), &shown); err != nil {
		t.Errorf("show: %v: %+v", err, got)
	}
	s.sessions[slot].checkModel(t, shown.Data)
	if got := s.Call(t, "destroy", "--json", "--user", user(slot)); got.Stdout != "{\"ended\":1}\n" {
		t.Errorf("destroy: %+v", got)
	}
	s.fillSlot(t, slot)
}

// checkModel checks all soakers' keys in the session's data.
func (x *soaked) checkModel(t *testing.T, data map[string]any) {
	t.Helper()
	for worker, want := range x.model {
		if n, _ := data[key(worker)].(float64); n != float64(want) {
			t.Errorf("%s is %v after a move was killed, want %d", key(worker), data[key(worker)], want)
		}
	}
}

// cleanUp has two more sessions, one of them idle: that is gone once a cleanup has
// come to its end, and the other one stays.
func (s *soak) cleanUp(t *testing.T) {
	var ids []string
	for range 2 {
		ids = append(ids, cmdtest.NewIDs(s.Call(t, "set", "here=yes").Stdout)...)
	}
	if len(ids) != 2 {
		t.Errorf("%d new sessions, want two", len(ids))
		return
	}
	age(t, s.file(ids[0]))
	if rand.IntN(2) == 0 {
		s.kill(t, s.request, "cleanup", "--timeout", "1h")
	}
	if got := s.do(t, s.request, "cleanup", "--timeout", "1h"); got.Code != 0 {
		t.Errorf("cleanup: %+v", got)
	}
	if got := s.bound(ids[0]).Call(t, "get"); got.Code != 1 {
		t.Errorf("after cleanup an idle session is there: %+v", got)
	}
	if got := s.bound(ids[1]).Call(t, "get", "--raw", "here"); got.Stdout != "yes\n" {
		t.Errorf("after cleanup a session in use: %+v", got)
	}
	s.bound(ids[1]).Call(t, "invalidate", "--expire")
}

// logOut begins a session and ends it, for good.
func (s *soak) logOut(t *testing.T) {
	ids := cmdtest.NewIDs(s.Call(t, "set", "in=yes").Stdout)
	if len(ids) != 1 {
		t.Errorf("%d new sessions, want one", len(ids))
		return
	}
	r := s.bound(ids[0])
	verb := []string{"invalidate", "--expire"}[:1+rand.IntN(2)]
	if rand.IntN(2) == 0 {
		s.kill(t, r, verb...)
	}
	switch got := r.Call(t, "get", "--raw", "in"); {
	case got.Code == 1: // it was killed too late
	case got.Stdout != "yes\n":
		t.Errorf("after a killed invalidate: %+v", got)
	default:
		if got := s.do(t, r, verb...); got.Code != 0 {
			t.Errorf("%q: %+v", verb, got)
		}
	}
	if got := r.Call(t, "set", "in=again"); got.Code != 10 {
		t.Errorf("a session that was ended is changed: %+v", got)
	}
}
