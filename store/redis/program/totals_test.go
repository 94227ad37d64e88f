//go:build redis && linux

package program

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
	"cgisession/store/redis/redistest"
)

// TestTotals counts with 8 processes at once, and sets keys with 20.
func TestTotals(t *testing.T) {
	totals(t, visitorOn(redistest.Start(t).URL()), cmdtest.Full(25, 500), cmdtest.Full(5, 100))
}

func totals(t *testing.T, s cmdtest.Request, each, sets int) {
	t.Helper()
	s.Must(t, "load")
	cmdtest.AtOnce(8, func(int) {
		for range each {
			s.Want(t, "incr", "n")
		}
	})
	if got, want := s.Must(t, "get", "n"), strconv.Itoa(8*each); got != want {
		t.Errorf("counted to %s; want %s", got, want)
	}
	cmdtest.AtOnce(20, func(i int) {
		for j := range sets {
			s.Want(t, "set", fmt.Sprintf("k%d.%d=x", i, j))
		}
	})
	if got, want := strings.Count(s.Must(t, "get"), `"k`), 20*sets; got != want {
		t.Errorf("%d keys; want %d", got, want)
	}
}

// TestClusterTotals is TestTotals in a cluster.
func TestClusterTotals(t *testing.T) {
	totals(t, visitorOn("redis+cluster://"+redistest.Cluster(t, 3)[2].Addr()), cmdtest.Full(10, 500), cmdtest.Full(2, 100))
}
