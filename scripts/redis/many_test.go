//go:build redis && linux

package redis_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cgisession/store"
	"cgisession/store/redis/redistest"
)

// TestFailover kills the master while 4 processes at once count: what was
// acknowledged with --durable is there, and nothing was counted twice.
func TestFailover(t *testing.T) {
	master := redistest.Start(t)
	for range 2 {
		replica := redistest.Start(t, "--replicaof", "127.0.0.1 "+strconv.Itoa(master.Port))
		redistest.Wait(t, "link to the master", func() bool {
			return strings.Contains(replica.Do(t, "info", "replication"), "master_link_status:up")
		})
	}
	url := "redis+sentinel://"
	for i := range 3 {
		sentinel := redistest.StartSentinel(t,
			fmt.Sprintf("sentinel monitor sessions 127.0.0.1 %d 2", master.Port),
			"sentinel down-after-milliseconds sessions 1000",
			"sentinel failover-timeout sessions 5000")
		if i == 0 {
			url += sentinel.Addr() + "?master_name=sessions"
		} else {
			url += "&addr=" + sentinel.Addr()
		}
		redistest.Wait(t, "sentinel that knows the others", func() bool {
			said := sentinel.Do(t, "sentinel", "master", "sessions")
			return strings.Contains(said, "num-slaves\n2\n") && strings.Contains(said, fmt.Sprintf("num-other-sentinels\n%d\n", i))
		})
	}
	s := siteOf(url, "CGISESSION_DURABLE=1")
	s.must(t, "load")

	var mu sync.Mutex
	acked, failed, longest := 0, 0, time.Duration(0)
	after := full(20, 250) // calls of each process once it all works again
	time.AfterFunc(500*time.Millisecond, master.Kill)
	began := time.Now()
	atOnce(4, func(int) {
		for left := after; left > 0 && time.Since(began) < time.Minute; {
			got := s.call(t, "incr", "n")
			mu.Lock()
			longest = max(longest, got.took)
			switch {
			case got.code == 0:
				acked++
				if failed > 0 {
					left--
				}
			case got.code == 69 && strings.Count(got.stderr, "\n") == 1:
				failed++
			default:
				t.Errorf("incr: %+v", got)
			}
			mu.Unlock()
		}
	})
	n, err := strconv.Atoi(s.must(t, "get", "n"))
	if err != nil || n < acked || n > acked+failed {
		t.Errorf("counted to %d, %v; %d calls were acknowledged and %d not", n, err, acked, failed)
	}
	if failed == 0 || acked < 4*after {
		t.Errorf("no fail-over was seen, or it did not end: %d acknowledged, %d not", acked, failed)
	}
	if longest > 3*time.Second {
		t.Errorf("a call took %v", longest)
	}
	t.Logf("counted to %d: %d acknowledged, %d not; the longest took %v", n, acked, failed, longest)
}

// TestReshard counts in many sessions, and gives them new ids, while a cluster
// moves slots from one server to another.
func TestReshard(t *testing.T) {
	nodes := redistest.Cluster(t, 3)
	s := siteOf("redis://" + nodes[0].Addr() + "?addr=" + nodes[1].Addr() + "&addr=" + nodes[2].Addr())
	const sessions = 24
	name := func(i int) string { return fmt.Sprintf("session-of-the-cluster-%d", i) }
	for i := range sessions {
		s.must(t, "load", "--adopt-id", name(i))
	}
	resharded := make(chan struct{})
	hot := "cgisession:{" + store.Handle("cgisession_id", name(0)) + "}"
	asked := 0
	go func() {
		defer close(resharded)
		asked = moveSlowly(t, nodes, hot)
		from, to := nodes[0].Do(t, "cluster", "myid"), nodes[1].Do(t, "cluster", "myid")
		nodes[0].Do(t, "--cluster", "reshard", nodes[0].Addr(), "--cluster-from", from, "--cluster-to", to,
			"--cluster-slots", "5000", "--cluster-pipeline", "1", "--cluster-yes")
	}()
	var counts [sessions]int
	var mu sync.Mutex
	moves := 0
	atOnce(4, func(worker int) {
		for round := 0; ; round++ {
			select {
			case <-resharded:
				return
			default:
			}
			i := (worker*sessions/4 + round%(sessions/4)*1) % sessions
			s.must(t, "incr", "n", "--adopt-id", name(i))
			mu.Lock()
			counts[i]++
			mu.Unlock()
			if round%8 == 0 {
				id := fmt.Sprintf("moving-%d-%d-session", worker, round)
				s.must(t, "set", "a=1", "--adopt-id", id)
				moved := s.must(t, "regenerate", "--sh", "--grace", "1h", "--adopt-id", id)
				if got := s.must(t, "get", "a", "--adopt-id", id); got != `"1"` || !strings.Contains(moved, "CGISESSION_ID=") {
					t.Errorf("after a move: %s", got)
				}
				mu.Lock()
				moves++
				mu.Unlock()
			}
		}
	})
	total := 0
	for i, want := range counts {
		total += want
		if got := s.must(t, "get", "n", "--default", "0", "--adopt-id", name(i)); got != strconv.Itoa(want) {
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
	totals(t, siteOf("redis+cluster://"+redistest.Cluster(t, 3)[2].Addr()), full(10, 100), full(2, 20))
}
