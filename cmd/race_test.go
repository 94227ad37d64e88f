package cmd_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
)

// A crowd is a session that many processes are at, by all ids that lead to it.
type crowd struct {
	request
	mu    sync.Mutex
	ended sync.Cond   // a call has
	ids   []string    // the last one is the session's own
	calls map[int]int // those under way, by the place in ids
}

func newCrowd(t *testing.T, data string) *crowd {
	t.Helper()
	c := &crowd{request: begin(t, data), ids: []string{cmdtest.Visitor}, calls: make(map[int]int)}
	c.ended.L = &c.mu
	return c
}

// as runs call with the n-th latest id, or the oldest if there are not so many.
func (c *crowd) as(n int, call func(id string)) {
	c.mu.Lock()
	at := max(0, len(c.ids)-1-n)
	id := c.ids[at]
	c.calls[at]++
	c.mu.Unlock()
	call(id)
	c.mu.Lock()
	if c.calls[at]--; c.calls[at] == 0 {
		delete(c.calls, at)
	}
	c.mu.Unlock()
	c.ended.Broadcast()
}

// change runs the program on the session, by its id or one of the three before.
func (c *crowd) change(t *testing.T, n int, args ...string) (got cmdtest.Ended) {
	t.Helper()
	c.as(n%4, func(id string) { got = c.bound(id).Call(t, args...) })
	return got
}

// regenerate gives the session another id. It first waits until no call is under
// way by an id that would then lead over more moves than are followed.
func (c *crowd) regenerate(t *testing.T) {
	const most = 8
	c.mu.Lock()
	for slices.ContainsFunc(slices.Collect(maps.Keys(c.calls)), func(at int) bool { return at < len(c.ids)-most }) {
		c.ended.Wait()
	}
	id := c.ids[len(c.ids)-1]
	c.mu.Unlock()
	got := c.bound(id).Call(t, "regenerate", "--grace", "1m")
	next := cmdtest.NewIDs(got.Stdout)
	if got.Code != 0 || len(next) != 1 {
		t.Errorf("regenerate: %+v", got)
		return
	}
	c.mu.Lock()
	c.ids = append(c.ids, next[0])
	c.mu.Unlock()
}

// A company is what else goes on at a crowd's session: each gives a function
// that is called over and over, and must leave no trace.
type company []func(*testing.T, *crowd) func()

// companies are those in which the tests are run. Each alone tells, if all
// together fail, which it is.
var companies = []struct {
	name string
	company
}{
	{"alone", nil},
	{"read without a lock", company{reading}},
	{"regenerate", company{regenerating}},
	{"find -delete", company{deletingOld}},
	{"all of them", company{reading, regenerating, deletingOld}},
}

// regenerating gives the session another id; those who have the old one go on.
func regenerating(t *testing.T, c *crowd) func() {
	return func() { c.regenerate(t) }
}

// reading wants every answer to be whole, and none to be older than the last.
func reading(t *testing.T, c *crowd) func() {
	last := struct{ version, n, keys int }{}
	return func() {
		c.as(1, func(id string) {
			got := c.bound(id).Call(t, "info", "--no-lock")
			var info struct{ Version int }
			if err := json.Unmarshal([]byte(got.Stdout), &info); err != nil || got.Code != 0 {
				t.Errorf("info: %v: %+v", err, got)
			}
			if info.Version < last.version {
				t.Errorf("version %d after %d", info.Version, last.version)
			}
			last.version = info.Version

			got = c.bound(id).Call(t, "get", "--no-lock")
			var data map[string]int
			if err := json.Unmarshal([]byte(got.Stdout), &data); err != nil || got.Code != 0 {
				t.Errorf("get: %v: %+v", err, got)
			}
			if data["n"] < last.n || len(data) < last.keys {
				t.Errorf("n is %d after %d, with %d keys after %d", data["n"], last.n, len(data), last.keys)
			}
			last.n, last.keys = data["n"], len(data)
		})
	}
}

// deletingOld runs find over the sessions, as cron would. Beside the session of
// the crowd there is one that it must find, each time.
func deletingOld(t *testing.T, c *crowd) func() {
	return func() {
		const old = "old-old-old-old-old-old-old-old"
		other := in(c.Dir)
		if got := other.Call(t, "load", "--adopt-id", old); got.Code != 0 {
			t.Errorf("old session: %+v", got)
		}
		hoursAgo := time.Now().Add(-2 * time.Hour)
		if err := os.Chtimes(c.file(old), hoursAgo, hoursAgo); err != nil {
			t.Error(err)
		}
		// It complains if a file goes before it gets there.
		cmdtest.Finish(t, exec.Command("find", c.Dir+"/sessions", "-type", "f", "-mmin", "+60", "-delete"))
		if _, err := os.Stat(c.file(old)); err == nil {
			t.Error("find has left an old session")
		}
	}
}

// among has n processes at work at once, each for some rounds, in company.
func (c *crowd) among(t *testing.T, with company, n, rounds int, work func(worker, round int)) {
	done := make(chan struct{})
	var others sync.WaitGroup
	for _, join := range with {
		once := join(t, c)
		once() // however short the work is
		others.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					once()
				}
			}
		})
	}
	cmdtest.AtOnce(n, func(worker int) {
		for round := range rounds {
			work(worker, round)
		}
	})
	close(done)
	others.Wait()
}

// last wants one session to be left, and returns its data.
func (c *crowd) last(t *testing.T) (data map[string]int) {
	t.Helper()
	if live, _ := c.files(t); len(live) != 1 {
		t.Errorf("%d files hold a session, want 1", len(live))
	}
	got := c.bound(c.ids[len(c.ids)-1]).Call(t, "get")
	if err := json.Unmarshal([]byte(got.Stdout), &data); err != nil || got.Code != 0 {
		t.Errorf("get: %v: %+v", err, got)
	}
	return data
}

// No two calls of incr print the same number, and none is lost.
func TestIncr(t *testing.T) {
	for _, in := range companies {
		t.Run(in.name, func(t *testing.T) {
			c := newCrowd(t, `{}`)
			processes, rounds := 8, cmdtest.Full(25, 500)
			sums := make([][]string, processes)
			c.among(t, in.company, processes, rounds, func(worker, round int) {
				got := c.change(t, round, "incr", "n")
				if got.Code != 0 {
					t.Errorf("incr: %+v", got)
				}
				sums[worker] = append(sums[worker], strings.TrimSpace(got.Stdout))
			})
			total := processes * rounds
			if data := c.last(t); data["n"] != total {
				t.Errorf("n is %d, want %d", data["n"], total)
			}
			printed := make(map[string]bool)
			for _, own := range sums {
				for _, sum := range own {
					printed[sum] = true
				}
			}
			for i := 1; i <= total; i++ {
				if !printed[strconv.Itoa(i)] {
					t.Errorf("no call printed %d", i)
				}
			}
			t.Logf("%d processes × %d = %d; %d ids", processes, rounds, total, len(c.ids))
		})
	}
}

// All that calls of set report as stored is there in the end.
func TestSet(t *testing.T) {
	for _, in := range companies {
		t.Run(in.name, func(t *testing.T) {
			c := newCrowd(t, `{}`)
			processes, rounds := 20, cmdtest.Full(5, 100)
			want := make(map[string]int)
			c.among(t, in.company, processes, rounds, func(worker, round int) {
				got := c.change(t, round, "set", fmt.Sprintf("key%d-%d:=%d", worker, round, round))
				if got != (cmdtest.Ended{}) {
					t.Errorf("set: %+v", got)
				}
			})
			for worker := range processes {
				for round := range rounds {
					want[fmt.Sprintf("key%d-%d", worker, round)] = round
				}
			}
			if data := c.last(t); !maps.Equal(data, want) {
				t.Errorf("%d keys, want %d, or their values differ", len(data), len(want))
			}
			t.Logf("%d processes × %d = %d keys; %d ids", processes, rounds, len(want), len(c.ids))
		})
	}
}

// A duty is work on the session by one verb, shared by some processes, each with
// keys that no other duty touches, and the result that it must have.
type duty struct {
	verb string
	work func(t *testing.T, r request, worker, round int)
	done func(data map[string]any) bool
}

const (
	dutyProcesses = 5
	dutyRounds    = 8
)

var duties = []duty{
	{"incr", func(t *testing.T, r request, worker, round int) {
		if got := r.Call(t, "incr", "sum", "--by", "0.5"); got.Code != 0 {
			t.Errorf("incr: %+v", got)
		}
	}, func(data map[string]any) bool {
		return data["sum"] == dutyProcesses*dutyRounds*0.5
	}},

	{"append", func(t *testing.T, r request, worker, round int) {
		if got := r.Call(t, "append", "list", strconv.Itoa(worker*dutyRounds+round)); got.Code != 0 {
			t.Errorf("append: %+v", got)
		}
	}, func(data map[string]any) bool { // each number once, those of a process in order
		list, _ := data["list"].([]any)
		next := make(map[int]int)
		for _, v := range list {
			n := int(v.(float64))
			if worker := n / dutyRounds; n%dutyRounds == next[worker] {
				next[worker]++
			}
		}
		sum := 0
		for _, n := range next {
			sum += n
		}
		return len(list) == dutyProcesses*dutyRounds && sum == len(list)
	}},

	{"pop", func(t *testing.T, r request, worker, round int) {
		got := r.Call(t, "pop", fmt.Sprintf("pop%d", round))
		switch got {
		case cmdtest.Ended{Stdout: strconv.Itoa(round) + "\n"}:
			r.Call(t, "incr", "popped")
		case cmdtest.Ended{Code: 1}: // another process was first
		default:
			t.Errorf("pop: %+v", got)
		}
	}, func(data map[string]any) bool {
		return data["popped"] == float64(dutyRounds)
	}},

	{"set", func(t *testing.T, r request, worker, round int) {
		number := strconv.Itoa(worker*dutyRounds + round)
		if got := r.Call(t, "set", "left:="+number, "right:="+number); got != (cmdtest.Ended{}) {
			t.Errorf("set: %+v", got)
		}
		var pair struct{ Left, Right int }
		got := r.Call(t, "get", "left", "right")
		if err := json.Unmarshal([]byte(got.Stdout), &pair); err != nil || pair.Left != pair.Right {
			t.Errorf("one change of two keys was read as: %+v", got)
		}
	}, func(data map[string]any) bool {
		return data["left"] == data["right"]
	}},

	{"unset", func(t *testing.T, r request, worker, round int) {
		key := fmt.Sprintf("unset%d-%d", worker, round)
		if got := r.Call(t, "unset", key, "not-there"); got != (cmdtest.Ended{}) {
			t.Errorf("unset: %+v", got)
		}
	}, func(data map[string]any) bool {
		for key := range data {
			if strings.HasPrefix(key, "unset") {
				return false
			}
		}
		return true
	}},

	{"edit", func(t *testing.T, r request, worker, round int) {
		const add = `read -r data
			n=${data#*\"edited\":} n=${n%%[,\}]*}
			printf %s "${data%%\"edited\":*}\"edited\":$((n + 1))${data#*\"edited\":$n}"`
		if got := r.Call(t, "edit", "sh", "-c", add); got != (cmdtest.Ended{}) {
			t.Errorf("edit: %+v", got)
		}
	}, func(data map[string]any) bool {
		return data["edited"] == float64(dutyProcesses*dutyRounds)
	}},
}

// dutyData has what pop, unset and edit need.
func dutyData(t *testing.T) string {
	data := map[string]int{"edited": 0}
	for round := range dutyRounds {
		data[fmt.Sprintf("pop%d", round)] = round
		for worker := range dutyProcesses {
			data[fmt.Sprintf("unset%d-%d", worker, round)] = 0
		}
	}
	text, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Each verb reads, changes and stores in one step: alone, and all of them at once.
func TestAtomic(t *testing.T) {
	run := func(t *testing.T, duties []duty) {
		r := begin(t, dutyData(t))
		cmdtest.AtOnce(len(duties)*dutyProcesses, func(i int) {
			for round := range dutyRounds {
				duties[i%len(duties)].work(t, r, i/len(duties), round)
			}
		})
		got := r.Call(t, "get")
		var data map[string]any
		if err := json.Unmarshal([]byte(got.Stdout), &data); err != nil {
			t.Fatalf("get: %v: %+v", err, got)
		}
		for _, d := range duties {
			if !d.done(data) {
				t.Errorf("%s: changes are missing in %s", d.verb, got.Stdout)
			}
		}
	}
	for _, d := range duties {
		t.Run(d.verb, func(t *testing.T) { run(t, []duty{d}) })
	}
	t.Run("all", func(t *testing.T) { run(t, duties) })
}

// With --if-version, what was read may be changed anywhere and stored: who was
// too late is told so and begins anew.
func TestSaveIfVersion(t *testing.T) {
	r := begin(t, `{"n":0}`)
	const processes, times = 4, 5
	cmdtest.AtOnce(processes, func(worker int) {
		for range times {
			for tries := 1; ; tries++ {
				var loaded struct {
					Version int
					Data    struct{ N int }
				}
				got := r.Call(t, "load", "--json")
				if err := json.Unmarshal([]byte(got.Stdout), &loaded); err != nil {
					t.Errorf("load: %v: %+v", err, got)
					return
				}
				got = r.Give(t, fmt.Sprintf(`{"n":%d}`, loaded.Data.N+1), "save", "--if-version", strconv.Itoa(loaded.Version))
				if got.Code == 0 {
					break
				}
				// Each refusal is another's success.
				if got.Code != 11 || got.Stdout != "" || tries > processes*times {
					t.Errorf("save, try %d: %+v", tries, got)
					return
				}
			}
		}
	})
	got := r.Call(t, "load", "--json")
	version, n := strconv.Itoa(1+processes*times), strconv.Itoa(processes*times)
	if !strings.Contains(got.Stdout, `"version":`+version+`,`) || !strings.Contains(got.Stdout, `"data":{"n":`+n+`}`) {
		t.Errorf("want version %s and n %s: %+v", version, n, got)
	}
}
