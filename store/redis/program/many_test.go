//go:build redis && linux

package redis_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
	"cgisession/store"
	"cgisession/store/redis/redistest"
)

// TestFailover kills the master while 8 processes at once count and 20 set keys:
// what was acknowledged with --durable is there, and nothing was counted twice.
func TestFailover(t *testing.T) {
	master := redistest.Start(t)
	for range 2 {
		redistest.Replica(t, master)
	}
	s := visitorOn(sentinels(t, master), "CGISESSION_DURABLE=1")
	keys := s.With("CGISESSION_ADOPT_ID=session-of-the-keys")
	s.Must(t, "load")
	keys.Must(t, "load")

	each, sets := cmdtest.Full(25, 500), cmdtest.Full(5, 100)
	l := load{killAt: int64(2 * each), kill: master.Kill}
	cmdtest.AtOnce(28, func(i int) {
		if i < 8 {
			for range each {
				l.until(t, s, "incr", "n")
			}
			return
		}
		for j := range sets {
			l.until(t, keys, "set", fmt.Sprintf("k%d.%d=x", i, j))
		}
	})
	n, err := strconv.Atoi(s.Must(t, "get", "n"))
	if err != nil || n < 8*each || n > 8*each+int(l.failed.Load()) {
		t.Errorf("counted to %d, %v; %d calls were acknowledged, and %d failed", n, err, 8*each, l.failed.Load())
	}
	if got, want := strings.Count(keys.Must(t, "get"), `"k`), 20*sets; got != want {
		t.Errorf("%d keys; want %d", got, want)
	}
	if l.failed.Load() == 0 {
		t.Error("no fail-over was seen")
	}
	if longest := time.Duration(l.longest.Load()); longest > 10*inTime { // the machine may be busy
		t.Errorf("a call took %v", longest)
	}
	t.Logf("counted to %d; %d calls failed; the longest took %v", n, l.failed.Load(), time.Duration(l.longest.Load()))
}

// load is what many processes do while a server dies.
type load struct {
	killAt          int64 // acknowledged calls before it does
	kill            func()
	once            sync.Once
	acked           atomic.Int64
	failed, longest atomic.Int64
}

// until calls until that is acknowledged.
func (l *load) until(t *testing.T, s cmdtest.Request, args ...string) {
	for range 200 {
		if l.acked.Load() >= l.killAt {
			l.once.Do(l.kill)
		}
		got := s.Measure(t, args...)
		for longest := l.longest.Load(); int64(got.Took) > longest && !l.longest.CompareAndSwap(longest, int64(got.Took)); {
			longest = l.longest.Load()
		}
		switch {
		case got.Code == 0:
			l.acked.Add(1)
			return
		case got.Code != 69 || strings.Count(got.Stderr, "\n") != 1:
			t.Errorf("%q: %+v", args, got)
			return
		}
		l.failed.Add(1)
	}
	t.Errorf("%q: no fail-over in 200 calls", args)
}

// sentinels runs three that watch over a master, and returns their URL.
func sentinels(t *testing.T, master *redistest.Server) string {
	t.Helper()
	var all []*redistest.Server
	url := "redis+sentinel://"
	for i := range 3 {
		sentinel := redistest.StartSentinel(t,
			fmt.Sprintf("sentinel monitor sessions 127.0.0.1 %d 2", master.Port),
			"sentinel down-after-milliseconds sessions 1000",
			"sentinel failover-timeout sessions 5000")
		all = append(all, sentinel)
		if i == 0 {
			url += sentinel.Addr() + "?master_name=sessions"
		} else {
			url += "&addr=" + sentinel.Addr()
		}
	}
	for _, sentinel := range all {
		cmdtest.Until(t, "sentinel that knows the others", func() bool {
			said := sentinel.Do(t, "sentinel", "master", "sessions")
			return strings.Contains(said, "num-slaves\n2\n") && strings.Contains(said, "num-other-sentinels\n2\n")
		})
	}
	return url
}

// TestReshard counts in many sessions, and gives them new ids, while a cluster
// moves slots from one server to another.
func TestReshard(t *testing.T) { reshard(t, redistest.Cluster(t, 3)) }

// TestReshardDurable is TestReshard where replicas have to confirm each change.
func TestReshardDurable(t *testing.T) {
	reshard(t, redistest.ClusterWithReplicas(t), "CGISESSION_DURABLE=1")
}

func reshard(t *testing.T, nodes []*redistest.Server, settings ...string) {
	s := visitorOn("redis://"+nodes[0].Addr()+"?addr="+nodes[1].Addr()+"&addr="+nodes[2].Addr(), settings...)
	const sessions = 24
	name := func(i int) string { return fmt.Sprintf("session-of-the-cluster-%d", i) }
	for i := range sessions {
		s.Must(t, "load", "--adopt-id", name(i))
	}
	var counts [sessions]int
	var mu sync.Mutex
	moves := 0
	resharded := make(chan struct{})
	var loaded sync.WaitGroup
	loaded.Go(func() {
		cmdtest.AtOnce(4, func(worker int) {
			for round := 0; ; round++ {
				select {
				case <-resharded:
					return
				default:
				}
				i := (worker*sessions/4 + round%(sessions/4)) % sessions
				if _, ok := s.Want(t, "incr", "n", "--adopt-id", name(i)); !ok {
					return
				}
				mu.Lock()
				counts[i]++
				mu.Unlock()
				if round%8 > 0 {
					continue
				}
				id := fmt.Sprintf("moving-%d-%d-session", worker, round)
				s.Want(t, "set", "a=1", "--adopt-id", id)
				moved, _ := s.Want(t, "regenerate", "--sh", "--grace", "1h", "--adopt-id", id)
				if got, _ := s.Want(t, "get", "a", "--adopt-id", id); got != `"1"` || !strings.Contains(moved, "CGISESSION_ID=") {
					t.Errorf("after a move: %s", got)
				}
				mu.Lock()
				moves++
				mu.Unlock()
			}
		})
	})
	stop := sync.OnceFunc(func() { close(resharded); loaded.Wait() })
	defer stop()
	hot := "cgisession:{" + store.Handle("cgisession_id", name(0)) + "}"
	asked := moveSlowly(t, nodes, hot)
	from, to := nodes[0].Do(t, "cluster", "myid"), nodes[1].Do(t, "cluster", "myid")
	nodes[0].Do(t, "--cluster", "reshard", nodes[0].Addr(), "--cluster-from", from, "--cluster-to", to,
		"--cluster-slots", "5000", "--cluster-pipeline", "1", "--cluster-yes")
	stop()
	total := 0
	for i, want := range counts {
		total += want
		if got := s.Must(t, "get", "n", "--default", "0", "--adopt-id", name(i)); got != strconv.Itoa(want) {
			t.Errorf("session %d counted to %s; want %d", i, got, want)
		}
	}
	if slots := nodes[0].Do(t, "cluster", "nodes"); strings.Contains(slots, "0-5460") {
		t.Errorf("slots did not move: %s", slots)
	}
	if total == 0 || moves == 0 {
		t.Errorf("%d changes, %d moves", total, moves)
	}
	if asked == 0 {
		t.Error("nobody was sent elsewhere")
	}
	t.Logf("%d changes and %d moves while 5000 slots moved; %d calls were sent elsewhere", total, moves, asked)
}

// moveSlowly moves the slot of a key to another server, and stays for a second in
// the middle, where the key is on the one and the slot still on the other. It
// returns how many requests were sent on.
func moveSlowly(t *testing.T, nodes []*redistest.Server, key string) int {
	slot := nodes[0].Do(t, "cluster", "keyslot", key)
	n, _ := strconv.Atoi(slot)
	from, to := nodes[min(n/5461, 2)], nodes[(min(n/5461, 2)+1)%3]
	fromID, toID := from.Do(t, "cluster", "myid"), to.Do(t, "cluster", "myid")
	to.Do(t, "cluster", "setslot", slot, "importing", fromID)
	from.Do(t, "cluster", "setslot", slot, "migrating", toID)
	time.Sleep(300 * time.Millisecond)
	from.Do(t, "migrate", "127.0.0.1", strconv.Itoa(to.Port), key, "0", "5000")
	time.Sleep(time.Second)
	to.Do(t, "cluster", "setslot", slot, "node", toID)
	from.Do(t, "cluster", "setslot", slot, "node", toID)
	_, rest, _ := strings.Cut(from.Do(t, "info", "errorstats"), "errorstat_ASK:count=")
	asked := 0
	fmt.Sscanf(rest, "%d", &asked)
	return asked
}

// TestClusterTotals is TestTotals in a cluster.
func TestClusterTotals(t *testing.T) {
	totals(t, visitorOn("redis+cluster://"+redistest.Cluster(t, 3)[2].Addr()), cmdtest.Full(10, 500), cmdtest.Full(2, 100))
}
