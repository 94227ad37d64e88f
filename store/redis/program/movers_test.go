//go:build redis && linux

package program

import (
	"strings"
	"sync"
	"testing"

	"cgisession/cmd/cmdtest"
	"cgisession/store/redis/redistest"
)

// TestMoversAtOnce has 4 calls rotate the id of one session with a grace, and 3 count
// in it, all at once and by the same cookie. Each goes well; one rotates, and it alone
// sends a cookie; nothing is counted twice or lost.
func TestMoversAtOnce(t *testing.T) {
	moversAtOnce(t, redistest.Start(t).URL(), cmdtest.Full(10, 150))
}

// TestClusterMoversAtOnce is TestMoversAtOnce in a cluster.
func TestClusterMoversAtOnce(t *testing.T) {
	moversAtOnce(t, "redis+cluster://"+redistest.Cluster(t, 3)[0].Addr(), cmdtest.Full(4, 50))
}

func moversAtOnce(t *testing.T, url string, rounds int) {
	t.Helper()
	plain := on(url)
	with := func(id string) cmdtest.Request { return plain.With("HTTP_COOKIE=cgisession_id=" + id) }
	for range rounds {
		old := idOf(plain.Must(t, "set", "n:=0"))
		var mu sync.Mutex
		var cookies []string
		cmdtest.AtOnce(7, func(i int) {
			if i < 3 {
				with(old).Want(t, "incr", "n")
				return
			}
			if stdout, _ := with(old).Want(t, "regenerate", "--grace", "1h"); stdout != "" {
				mu.Lock()
				defer mu.Unlock()
				cookies = append(cookies, stdout)
			}
		})
		if len(cookies) != 1 {
			t.Fatalf("%d movers sent a cookie:\n%s", len(cookies), strings.Join(cookies, "\n"))
		}
		for _, id := range []string{old, idOf(cookies[0])} {
			if got := with(id).Must(t, "get", "n"); got != "3" {
				t.Fatalf("counted to %s; want 3", got)
			}
		}
	}
}
