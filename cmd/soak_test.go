package cmd_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// soakFor is how long the soak lasts: CGISESSION_SOAK, such as 10m, or a minute
// with the full sizes, or a moment.
func soakFor(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("CGISESSION_SOAK")
	if text == "" {
		return time.Duration(full(3, 60)) * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("CGISESSION_SOAK: %v", err)
	}
	return d
}

const (
	soakers      = 16
	soakSessions = 6
)

// A soaked session is one that all soakers share. Its id changes as they work, but
// not so often during one call that this would need more hops than are followed.
type soaked struct {
	id    atomic.Pointer[string]
	calls sync.RWMutex // read-locked during a call
	moves int          // since there was no call that began before
}

// mostMoves is under the number of hops that are followed from an old id.
const mostMoves = 6

// Sixteen processes at a time change shared sessions, each its own keys, while
// calls are killed, ids changed, sessions ended and files cleaned up. Each soaker
// keeps a model of what its keys must hold, and checks it again and again.
func TestSoak(t *testing.T) {
	r := request{dir: t.TempDir()}
	sessions := make([]*soaked, soakSessions)
	for i := range sessions {
		ids := newIDs(r.call(t, "set", "slot:="+strconv.Itoa(i)).stdout)
		if len(ids) != 1 {
			t.Fatal("no session to begin with")
		}
		sessions[i] = &soaked{}
		sessions[i].id.Store(&ids[0])
	}
	stop := make(chan struct{})
	time.AfterFunc(soakFor(t), func() { close(stop) })
	var all sync.WaitGroup
	all.Go(func() { r.soakMoves(t, sessions, stop) })
	all.Go(func() { r.soakCleanup(t, stop) })
	all.Go(func() { r.soakLogOuts(t, stop) })
	steps, kills := make([]int, soakers), make([]int, soakers)
	for i := range soakers {
		all.Go(func() { steps[i], kills[i] = r.soak(t, i, sessions, stop) })
	}
	all.Wait()
	total, killed := 0, 0
	for i := range soakers {
		total, killed = total+steps[i], killed+kills[i]
	}
	if total == 0 || killed == 0 {
		t.Errorf("%d steps, %d of them killed", total, killed)
	}
	t.Logf("%d steps, %d of them killed", total, killed)
}

func stopped(t *testing.T, stop chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return t.Failed()
	}
}

// soak changes one key of each session, and knows what it must hold.
func (r request) soak(t *testing.T, worker int, sessions []*soaked, stop chan struct{}) (steps, kills int) {
	key := "w" + strconv.Itoa(worker)
	model := make([]int, len(sessions))
	for !stopped(t, stop) {
		i := rand.IntN(len(sessions))
		sessions[i].calls.RLock()
		s := r.bound(*sessions[i].id.Load())
		steps++
		switch rand.IntN(4) {
		case 0: // killed at a random moment: done or not done
			kills++
			s.killed(t, "incr", key)
			n := s.number(t, key)
			if n != model[i] && n != model[i]+1 {
				t.Errorf("%s is %d after a call was killed; it was %d", key, n, model[i])
			}
			model[i] = n
		case 1:
			model[i]++
			if got := s.call(t, "incr", key); got.stdout != fmt.Sprintln(model[i]) {
				t.Errorf("incr %s: %+v, want %d", key, got, model[i])
			}
		case 2:
			model[i] += 10
			if got := s.call(t, "set", fmt.Sprintf("%s:=%d", key, model[i]), fmt.Sprintf("pad%d=%s", worker, strings.Repeat("p", rand.IntN(2000)))); got.code != 0 {
				t.Errorf("set %s: %+v", key, got)
			}
		case 3:
			if n := s.number(t, key, "--no-lock"); n != model[i] {
				t.Errorf("%s is %d, want %d", key, n, model[i])
			}
		}
		sessions[i].calls.RUnlock()
	}
	for i, s := range sessions {
		if n := r.bound(*s.id.Load()).number(t, key); n != model[i] {
			t.Errorf("in the end %s is %d, want %d", key, n, model[i])
		}
	}
	return steps, kills
}

// killed starts a call and kills it after a random time.
func (r request) killed(t *testing.T, args ...string) {
	t.Helper()
	c := r.command(program, args...)
	if err := c.Start(); err != nil {
		t.Error(err)
		return
	}
	timer := time.AfterFunc(time.Duration(rand.IntN(8000))*time.Microsecond, func() { c.Process.Kill() })
	defer timer.Stop()
	c.Wait()
}

// number returns the number under a key, 0 if there is none.
func (r request) number(t *testing.T, key string, flags ...string) int {
	t.Helper()
	got := r.call(t, append([]string{"get", "--default", "0", key}, flags...)...)
	n, err := strconv.Atoi(strings.TrimSpace(got.stdout))
	if err != nil {
		t.Errorf("get %s: %+v", key, got)
	}
	return n
}

// soakMoves gives the sessions new ids. The old ones reach them for a while, so
// that calls under way find them.
func (r request) soakMoves(t *testing.T, sessions []*soaked, stop chan struct{}) {
	for !stopped(t, stop) {
		s := sessions[rand.IntN(len(sessions))]
		got := r.bound(*s.id.Load()).call(t, "regenerate", "--grace", "30s")
		ids := newIDs(got.stdout)
		if got.code != 0 || len(ids) != 1 {
			t.Errorf("regenerate: %+v", got)
			return
		}
		s.id.Store(&ids[0])
		if s.moves++; s.moves == mostMoves {
			s.calls.Lock() // once all calls by older ids are over
			s.moves = 0
			s.calls.Unlock()
		}
	}
}

func (r request) soakCleanup(t *testing.T, stop chan struct{}) {
	for !stopped(t, stop) {
		if got := r.call(t, "cleanup", "--timeout", "1h"); got.code != 0 {
			t.Errorf("cleanup: %+v", got)
		}
	}
}

// soakLogOuts begins sessions and ends them, for good.
func (r request) soakLogOuts(t *testing.T, stop chan struct{}) {
	for !stopped(t, stop) {
		ids := newIDs(r.call(t, "set", "in=yes").stdout)
		if len(ids) != 1 {
			t.Errorf("%d new sessions, want one", len(ids))
			return
		}
		s := r.bound(ids[0])
		if got := s.call(t, "invalidate", "--expire"); got.code != 0 {
			t.Errorf("invalidate: %+v", got)
		}
		if got := s.call(t, "set", "in=again"); got.code != 10 {
			t.Errorf("a session that was ended is changed: %+v", got)
		}
	}
}
