//go:build redis && linux

package program

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
	"cgisession/store"
	"cgisession/store/redis/redistest"
)

// TestReshard counts in many sessions, and gives them new ids, while a cluster
// moves slots from one server to another.
func TestReshard(t *testing.T) {
	cmdtest.Long(t)
	reshard(t, redistest.Cluster(t, 3))
}

// TestReshardDurable is TestReshard where replicas have to confirm each change.
func TestReshardDurable(t *testing.T) {
	cmdtest.Long(t)
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
				moved, _ := s.Want(t, "regenerate", "--sh", "--grace", "1h", "--adopt-id", id, "--new-id", id+"-moved")
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
