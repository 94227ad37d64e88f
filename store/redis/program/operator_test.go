//go:build redis && linux

package program

import (
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
	"cgisession/store/redis/redistest"
)

// TestDoctorCluster has doctor look at every server of a cluster.
func TestDoctorCluster(t *testing.T) {
	nodes := redistest.Cluster(t, 3)
	nodes[1].Do(t, "config", "set", "maxmemory-policy", "allkeys-lru")
	nodes[2].Do(t, "config", "set", "appendonly", "yes")
	s := visitorOn("redis+cluster://" + nodes[0].Addr())
	text := s.Must(t, "doctor")
	for i, server := range nodes {
		for finding, want := range map[string]bool{
			"ok       server ":      true,
			"warning  persistence ": i != 2,
			"warning  memory ":      i == 1,
		} {
			if strings.Contains(text, finding+server.Addr()+": ") != want {
				t.Errorf("of server %d: %s: want %v in\n%s", i, finding, want, text)
			}
		}
	}
	nodes[1].Kill()
	cmdtest.Until(t, "cluster that has lost a part", func() bool {
		return strings.Contains(nodes[0].Do(t, "cluster", "info"), "cluster_state:fail")
	})
	got := s.Call(t, "doctor")
	for _, says := range []string{
		"problem  server " + nodes[0].Addr() + ": cluster_state is fail",
		"problem  server " + nodes[1].Addr() + ": redis " + nodes[1].Addr() + ": store unavailable: connect: connection refused",
	} {
		if got.Code != 1 || !strings.Contains(got.Stdout, says) {
			t.Errorf("doctor: %+v; want 1 and %s", got, says)
		}
	}
}

// TestMemory has operators' verbs go through many large sessions: they keep none of
// the data in memory, and but one where they have to read it.
func TestMemory(t *testing.T) {
	server, s := withSession(t)
	s = s.With("GOMEMLIMIT=24MiB") // so that it is not garbage that is measured
	verbs := [][]string{{"list"}, {"stats"}, {"cleanup", "--timeout", "1h"}, {"doctor", "--deep"}}
	var before []int64
	for _, args := range verbs {
		before = append(before, memory(t, s, args...))
	}
	server.Do(t, "eval", `for i = 1, 100 do
		redis.call('HSET', 'cgisession:{' .. string.format('%064x', i) .. '}', 'version', 1, 'created', 1,
			'accessed', string.format('%.0f', redis.call('TIME')[1] * 1000), 'data', '{"a":"' .. string.rep('x', 1000000) .. '"}')
	end`, "0")
	for i, args := range verbs {
		if more := memory(t, s, args...) - before[i]; more > 20<<10 {
			t.Errorf("%s: 100 MB of data made it %d KiB larger", args[0], more)
		}
	}
	if got := strings.Count(s.Must(t, "list"), " live"); got != 101 {
		t.Errorf("%d sessions; want 101", got)
	}
	for _, args := range verbs {
		server.Do(t, "config", "resetstat")
		s.Must(t, args...)
		if read := server.Calls(t)["hget"] > 0; read != (args[0] == "doctor") {
			t.Errorf("%s: it reads data: %v", args[0], read)
		}
	}
}

// memory returns the most KiB that a call had in memory.
func memory(t *testing.T, r cmdtest.Request, args ...string) int64 {
	t.Helper()
	got := r.Measure(t, args...)
	if got.Code != 0 {
		t.Fatalf("%q: %+v", args, got)
	}
	return got.Memory
}
