//go:build redis && linux

package program

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
	"cgisession/store/redis/redistest"
)

// A twin is a store that does what another does.
type twin struct {
	cmdtest.Request
	age func(id string) // makes a session one that was last used two hours ago
	ids []string        // of the sessions so far, in the order in which they began
}

// listedAs is what operators see of a session: all but its size, its path, and what
// its times are.
type listedAs struct {
	State, User       string
	Version           int
	Created, Accessed bool
}

// listed returns what list prints, by which of the ids it is about.
func (w *twin) listed(t *testing.T, args ...string) map[string]listedAs {
	t.Helper()
	names := map[string]string{}
	for i, id := range w.ids {
		names[handleOf(id)] = strconv.Itoa(i)
	}
	all := map[string]listedAs{}
	text := w.Must(t, append([]string{"list", "--json", "--timeout", "1h"}, args...)...)
	for line := range strings.Lines(text) {
		var o struct {
			Handle, State, User string
			Version             int
			Created, Accessed   *int64
		}
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatal(err)
		}
		all[names[o.Handle]] = listedAs{o.State, o.User, o.Version, o.Created != nil, o.Accessed != nil}
	}
	return all
}

// TestListedAsFiles has sessions in files and in Redis begin, move, end and be ended by
// operators, at random: what calls answer, and what list and show say, is the same.
func TestListedAsFiles(t *testing.T) {
	server := redistest.Start(t)
	long := time.Now().Add(-2 * time.Hour)
	for seed := range uint64(2) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir() + "/sessions"
			prefix := fmt.Sprintf("p%d:", seed)
			twins := []*twin{
				{Request: cmdtest.Request{Env: []string{"CGISESSION_DATA_DIR=" + dir}}, age: func(id string) {
					os.Chtimes(filepath.Join(dir, handleOf(id)[:2], handleOf(id)), long, long)
				}},
				{Request: on(server.URL(), "CGISESSION_REDIS_PREFIX="+prefix), age: func(id string) {
					if key := prefix + "{" + handleOf(id) + "}"; server.Do(t, "exists", key) == "1" {
						server.Do(t, "hset", key, "accessed", strconv.FormatInt(long.UnixMilli(), 10))
					}
				}},
			}
			rng := rand.New(rand.NewPCG(seed, 23))
			for step := range cmdtest.Full(50, 200) {
				n := max(0, len(twins[0].ids)-1-rng.IntN(6))
				args := randomVerb(rng)
				var answers []string
				for _, w := range twins {
					answers = append(answers, w.step(t, n, args))
				}
				if answers[0] != answers[1] {
					t.Fatalf("step %d, %q of session %d: %s; in Redis %s", step, args, n, answers[0], answers[1])
				}
				if step%5 > 0 {
					continue
				}
				for _, about := range [][]string{nil, {"--user", "ann"}} {
					files, redis := twins[0].listed(t, about...), twins[1].listed(t, about...)
					if !maps.Equal(files, redis) {
						t.Fatalf("step %d, %q of session %d: listed are %v; in Redis %v", step, args, n, files, redis)
					}
				}
			}
		})
	}
}

// randomVerb returns a call; HANDLE stands for the session's, and AGE for no call.
func randomVerb(rng *rand.Rand) []string {
	verbs := []string{"set a=1", "incr n", "delete", "load", "regenerate", "regenerate --grace 1h", "regenerate --grace 1h", "regenerate --user ann", "regenerate --user bob",
		"invalidate", "invalidate --expire", "destroy HANDLE", "destroy HANDLE", "show HANDLE", "AGE", "cleanup --timeout 1h", "NEW", "NEW", "NEW", "destroy --user ann"}
	if rng.IntN(3) == 0 {
		verbs = append(verbs, "load --timeout 1h", "incr --timeout 1h n", "regenerate --timeout 1h --grace 1h")
	}
	return strings.Fields(verbs[rng.IntN(len(verbs))])
}

// step does a step with the nth session, and returns the answer, in which no id is.
func (w *twin) step(t *testing.T, n int, args []string) string {
	id := "none"
	if n < len(w.ids) {
		id = w.ids[n]
	}
	args = append([]string{}, args...)
	for i, arg := range args {
		args[i] = strings.ReplaceAll(arg, "HANDLE", handleOf(id))
	}
	s := w.Request.With("HTTP_COOKIE=cgisession_id=" + id)
	switch args[0] {
	case "AGE":
		w.age(id)
		return ""
	case "NEW":
		s, args = w.Request, []string{"set", "n:=1"}
	}
	got := s.Call(t, args...)
	for _, made := range cmdtest.NewIDs(got.Stdout) {
		if made != id {
			w.ids = append(w.ids, made)
		}
	}
	stdout := got.Stdout
	switch args[0] {
	case "cleanup": // keys that the server ends by itself are not counted
		stdout = ""
	case "show":
		var o map[string]any
		if json.Unmarshal([]byte(stdout), &o) == nil {
			stdout = fmt.Sprint(o["state"], o["version"], o["user"], o["created"] == nil, o["accessed"] == nil, o["wrong"])
		}
	case "load":
		stdout = strings.ReplaceAll(stdout, id, "")
	}
	for i, made := range w.ids {
		stdout = strings.ReplaceAll(stdout, made, strconv.Itoa(i))
	}
	return fmt.Sprintf("%d %q", got.Code, stdout)
}
