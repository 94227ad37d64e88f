//go:build redis && linux

package program

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
	"cgisession/store/redis/redistest"
)

// TestRoundTrips counts what the program asks of the server, the greeting of a new
// connection aside.
func TestRoundTrips(t *testing.T) {
	server := redistest.Start(t)
	roundTrips(t, []*redistest.Server{server}, visitorOn(server.URL(), "CGISESSION_TIMEOUT=1h"), "hello")
}

// TestClusterRoundTrips counts them in a cluster, whose map is asked for first.
func TestClusterRoundTrips(t *testing.T) {
	nodes := redistest.Cluster(t, 3)
	roundTrips(t, nodes, visitorOn("redis+cluster://"+nodes[0].Addr(), "CGISESSION_TIMEOUT=1h"), "hello", "cluster")
}

func roundTrips(t *testing.T, nodes []*redistest.Server, s cmdtest.Request, aside ...string) {
	t.Helper()
	for _, args := range [][]string{{"set", "n:=1"}, {"load"}, {"get"}, {"incr", "n"}, {"invalidate", "--expire"}, {"set", "n:=1"}} {
		s.Must(t, args...)
		for _, server := range nodes { // so that the server knows the scripts
			if len(nodes) > 1 {
				s.Must(t, append(args, "--adopt-id", "session-of-port-"+strconv.Itoa(server.Port))...)
			}
		}
	}
	for _, tt := range []struct {
		most int
		args []string
	}{{1, []string{"get", "n"}}, {1, []string{"load"}}, {2, []string{"set", "n:=2"}}, {2, []string{"incr", "n"}}, {2, []string{"unset", "n"}}} {
		asked, before := 0, map[string]int{}
		for _, word := range redistest.Monitor(t, nodes, func() { s.Must(t, tt.args...) }) {
			if slices.Contains(aside, word) {
				before[word]++
			} else {
				asked++
			}
		}
		if asked == 0 || asked > tt.most {
			t.Errorf("%s: %d round trips; want %d at most", tt.args[0], asked, tt.most)
		}
		t.Logf("%s: %d, beside %v", tt.args[0], asked, before)
	}
}

// TestManyCookies sends as many cookies that lead nowhere as a variable of the
// environment can hold, and one that leads to a session: they are asked for all
// together, and none by a script.
func TestManyCookies(t *testing.T) {
	server := redistest.Start(t)
	visitorOn(server.URL()).Must(t, "set", "a=1")
	var header strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&header, "cgisession_id=nobody%012d; ", i)
	}
	s := on(server.URL(), "HTTP_COOKIE="+header.String()+"cgisession_id="+cmdtest.Visitor)
	asked := make(map[string]int)
	for _, word := range redistest.Monitor(t, []*redistest.Server{server}, func() {
		got := s.Measure(t, "get", "a")
		if got.Code != 0 || got.Stdout != "\"1\"\n" {
			t.Errorf("%+v", got)
		}
		t.Logf("it took %v", got.Took)
	}) {
		asked[word]++
	}
	if asked["hmget"] != 3001 || asked["evalsha"] != 1 {
		t.Errorf("the server was asked %v", asked)
	}
}
