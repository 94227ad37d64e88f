//go:build redis && linux

package program

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
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
