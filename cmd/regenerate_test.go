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
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
)

// gone is the message of a call whose session was ended by another request.
const gone = "the session is gone"

// isGone reports whether a call changed nothing since its session is gone.
func isGone(e cmdtest.Ended) bool {
	return e.Code == 10 && e.Stdout == "" && strings.Contains(e.Stderr, gone)
}

// Of many requests that regenerate a session at once, one does. The others say
// that it is gone, and make none.
func TestRegenerateAtOnce(t *testing.T) {
	r := begin(t, `{"user":"ann"}`)
	answers := make([]cmdtest.Ended, 8)
	cmdtest.AtOnce(len(answers), func(i int) { answers[i] = r.Call(t, "regenerate") })

	var ids []string
	for _, got := range answers {
		if !isGone(got) && got.Code != 0 {
			t.Errorf("regenerate: %+v", got)
		}
		ids = append(ids, cmdtest.NewIDs(got.Stdout)...)
	}
	if len(ids) != 1 {
		t.Fatalf("%d new ids, want 1", len(ids))
	}
	if live, others := r.files(t); len(live) != 1 || len(others) != 0 {
		t.Errorf("%d sessions and %d other files, want 1 and 0", len(live), len(others))
	}
	if got := r.client(ids[0]).Call(t, "get"); got != (cmdtest.Ended{Stdout: `{"user":"ann"}` + "\n"}) {
		t.Errorf("get by the new id: %+v", got)
	}
	if got := r.client(cmdtest.Visitor).Call(t, "get"); got != (cmdtest.Ended{Code: 1}) {
		t.Errorf("get by the old id: %+v", got)
	}
	if got := r.client(cmdtest.Visitor).Call(t, "load"); len(cmdtest.NewIDs(got.Stdout)) != 1 {
		t.Errorf("load by the old id, which should make a new session: %+v", got)
	}
}

// Who has only the cookie cannot know that there was a session: each of those
// who are late gets a new one, and just one gets the data.
func TestRegenerateAtOnceByCookie(t *testing.T) {
	r := begin(t, `{"user":"ann"}`)
	const times = 8
	answers := make([]cmdtest.Ended, times)
	cmdtest.AtOnce(times, func(i int) { answers[i] = r.client(cmdtest.Visitor).Call(t, "regenerate") })

	count := make(map[string]int)
	for _, got := range answers {
		for _, id := range cmdtest.NewIDs(got.Stdout) {
			count[r.client(id).Call(t, "get").Stdout]++
		}
	}
	if want := map[string]int{`{"user":"ann"}` + "\n": 1, "{}\n": times - 1}; !maps.Equal(count, want) {
		t.Errorf("sessions by their data: %v, want %v", count, want)
	}
	if live, _ := r.files(t); len(live) != times {
		t.Errorf("%d sessions, want %d", len(live), times)
	}
}

// With --grace one does too. The others, which come by an id in its grace, change
// nothing and print no cookie, and both ids lead to the one session.
func TestRegenerateAtOnceWithGrace(t *testing.T) {
	const tabs = 2
	for round := range cmdtest.Full(10, 100) {
		r := begin(t, `{"n":0}`)
		request := []request{r, r.client(cmdtest.Visitor)}[round%2]
		answers := make([]cmdtest.Ended, tabs)
		cmdtest.AtOnce(tabs, func(i int) { answers[i] = request.Call(t, "regenerate", "--grace", "1m") })

		ids := []string{cmdtest.Visitor}
		for _, got := range answers {
			if got.Code != 0 || got.Stderr != "" {
				t.Errorf("regenerate: %+v", got)
			}
			ids = append(ids, cmdtest.NewIDs(got.Stdout)...)
		}
		if live, others := r.files(t); len(ids) != 2 || len(live) != 1 || len(others) != 1 {
			t.Fatalf("%d ids, %d sessions and %d other files, want 2, 1 and 1", len(ids), len(live), len(others))
		}
		for i, id := range ids {
			if got := r.client(id).Call(t, "load"); got != (cmdtest.Ended{}) {
				t.Errorf("load by id %d, which should need no new cookie: %+v", i, got)
			}
			if got := r.client(id).Call(t, "incr", "n"); got.Stdout != strconv.Itoa(i+1)+"\n" {
				t.Errorf("incr by id %d: %+v", i, got)
			}
		}
	}
}

// A log-in that comes by an id which was given up at that moment is refused, so
// that who holds the old id does not get the logged-in session.
func TestLogInAgainstRotation(t *testing.T) {
	won := 0
	for range cmdtest.Full(10, 50) {
		r := begin(t, `{"n":0}`).client(cmdtest.Visitor)
		calls := [][]string{{"regenerate", "--user", "ann"}, {"regenerate", "--grace", "1m"}}
		answers := make([]cmdtest.Ended, len(calls))
		cmdtest.AtOnce(len(calls), func(i int) { answers[i] = r.Call(t, calls[i]...) })
		logIn, rotation := answers[0], answers[1]
		byOld := r.Call(t, "get", "n")
		switch user := strings.Contains(r.Call(t, "list").Stdout, `"ann"`); {
		case rotation.Code != 0 || len(cmdtest.NewIDs(rotation.Stdout)) != 1:
			t.Errorf("rotation: %+v", rotation)
		case logIn.Code == 0 && (len(cmdtest.NewIDs(logIn.Stdout)) != 1 || !user || byOld.Code != 1): // rotation began another session
			t.Errorf("log-in: %+v; a user's session is there: %v; get by the old id: %+v", logIn, user, byOld)
		case logIn.Code == 10 && (logIn.Stdout != "" || user || byOld.Stdout != "0\n"):
			t.Errorf("log-in: %+v; a user's session is there: %v; get by the old id: %+v", logIn, user, byOld)
		case logIn.Code == 0:
			won++
		case logIn.Code != 10:
			t.Errorf("log-in: %+v", logIn)
		}
	}
	t.Logf("the log-in was first %d times", won)
}

// The old id leads to the session until the grace is over, and so long its forms
// are the session's. Then neither.
func TestGraceEnds(t *testing.T) {
	r := begin(t, `{"user":"ann"}`)
	const grace = time.Second
	token := strings.TrimSpace(r.client(cmdtest.Visitor).Call(t, "csrf").Stdout)
	begun := time.Now()
	ids := cmdtest.NewIDs(r.Call(t, "regenerate", "--grace", grace.String()).Stdout)
	if len(ids) != 1 {
		t.Fatalf("%d new ids", len(ids))
	}
	check := func() cmdtest.Ended { return r.client(ids[0]).Call(t, "csrf", "--check="+token) }
	if got := check(); got != (cmdtest.Ended{}) && time.Since(begun) < grace {
		t.Errorf("a form of the old id, in its grace: %+v", got)
	}
	for {
		got := r.client(cmdtest.Visitor).Call(t, "get", "--raw", "user")
		since := time.Since(begun)
		if got == (cmdtest.Ended{Code: 1}) && since >= grace {
			break
		}
		if got != (cmdtest.Ended{Stdout: "ann\n"}) || since > grace+cmdtest.Patience {
			t.Fatalf("get by the old id, %v after it was given up: %+v", since, got)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if got := check(); got != (cmdtest.Ended{Code: 1}) {
		t.Errorf("a form of the old id, after its grace: %+v", got)
	}
	if got := r.Call(t, "set", "late=1"); !isGone(got) {
		t.Errorf("set in a request with the old id: %+v", got)
	}
	if got := r.client(cmdtest.Visitor).Call(t, "load"); len(cmdtest.NewIDs(got.Stdout)) != 1 {
		t.Errorf("load by the old id, which should make a new session: %+v", got)
	}
	if got := r.client(ids[0]).Call(t, "get"); got.Stdout != `{"user":"ann"}`+"\n" {
		t.Errorf("get by the new id: %+v", got)
	}
}

// contest has requests of one session change, regenerate and end it at once, and
// returns how each ended, by what it did.
func contest(t *testing.T, r request, calls map[string][]string) map[string]cmdtest.Ended {
	names := slices.Collect(maps.Keys(calls))
	answers := make([]cmdtest.Ended, len(names))
	cmdtest.AtOnce(len(names), func(i int) { answers[i] = r.Give(t, `{}`, calls[names[i]]...) })
	all := make(map[string]cmdtest.Ended)
	for i, got := range answers {
		all[names[i]] = got
		if got.Code != 0 && !isGone(got) {
			t.Errorf("%s: %+v", names[i], got)
		}
	}
	return all
}

// setters returns n calls, each to set the key that is its name.
func setters(n int) map[string][]string {
	calls := make(map[string][]string)
	for i := range n {
		key := fmt.Sprintf("key%d", i)
		calls[key] = []string{"set", key + ":=1"}
	}
	return calls
}

// holds reports whether the session's data is what the calls of setters that
// went well have set.
func holds(t *testing.T, r request, id string, answers map[string]cmdtest.Ended) bool {
	t.Helper()
	got, want := make(map[string]int), make(map[string]int)
	if err := json.Unmarshal([]byte(r.client(id).Call(t, "get").Stdout), &got); err != nil {
		t.Error(err)
	}
	for key, answer := range answers {
		if strings.HasPrefix(key, "key") && answer.Code == 0 {
			want[key] = 1
		}
	}
	return maps.Equal(got, want)
}

// What set reports as stored moves with the session. Without grace, those who
// come after the move say that the session is gone.
func TestRegenerateAgainstSet(t *testing.T) {
	for _, grace := range []string{"0", "1m"} {
		t.Run("grace "+grace, func(t *testing.T) {
			for range cmdtest.Full(8, 50) {
				r := begin(t, `{}`)
				calls := setters(6)
				calls["regenerate"] = []string{"regenerate", "--grace", grace}
				answers := contest(t, r, calls)
				ids := cmdtest.NewIDs(answers["regenerate"].Stdout)
				if len(ids) != 1 {
					t.Fatalf("regenerate: %+v", answers["regenerate"])
				}
				if !holds(t, r, ids[0], answers) {
					t.Errorf("%+v, but the data is %s", answers, r.client(ids[0]).Call(t, "get").Stdout)
				}
				if live, _ := r.files(t); len(live) != 1 {
					t.Errorf("%d sessions, want 1", len(live))
				}
			}
		})
	}
}

// Once invalidate reports the session's end, no request has it, whatever went on
// at the same time. If it was moved without grace before, it is gone to invalidate, and
// lives on with all that was stored.
func TestInvalidateAgainstAll(t *testing.T) {
	for _, grace := range []string{"0", "1m"} {
		t.Run("grace "+grace, func(t *testing.T) {
			wins := 0
			for range cmdtest.Full(8, 50) {
				r := begin(t, `{}`)
				calls := setters(4)
				calls["regenerate"] = []string{"regenerate", "--grace", grace}
				calls["invalidate"] = []string{"invalidate", "--expire"}
				answers := contest(t, r, calls)
				live, _ := r.files(t)
				ids := cmdtest.NewIDs(answers["regenerate"].Stdout)
				switch {
				case answers["invalidate"].Code == 0 && len(live) == 0:
					wins++
				case isLogOut(answers["invalidate"]) && grace == "0" && len(live) == 1 && len(ids) == 1:
					if !holds(t, r, ids[0], answers) {
						t.Errorf("%+v, but the data is %s", answers, r.client(ids[0]).Call(t, "get").Stdout)
					}
				default:
					t.Errorf("%+v, with %d sessions left", answers, len(live))
				}
				late := contest(t, r, map[string][]string{"set": {"set", "a=1"}, "save": {"save"}, "incr": {"incr", "n"}})
				for verb, got := range late {
					if after, _ := r.files(t); !isGone(got) || len(after) != len(live) {
						t.Errorf("late %s: %+v, with %d sessions after %d", verb, got, len(after), len(live))
					}
				}
			}
			t.Logf("invalidate was before regenerate %d times, or went where that led", wins)
		})
	}
}

// A session that ends while a slow request is under way does not come back, and
// the next request with its cookie has a new one.
func TestInvalidateDuringRequest(t *testing.T) {
	r := begin(t, `{"user":"ann"}`)
	slow := r.client(cmdtest.Visitor).Start(t, "sh")
	slow.Do(t, `eval "$(cgisession load --sh)"`)
	if stdout, _ := slow.Do(t, `cgisession get --raw user`); stdout != "ann\n" {
		t.Fatalf("the slow request has no session: %q", stdout)
	}
	if got := r.client(cmdtest.Visitor).Call(t, "invalidate", "--expire"); got.Code != 0 {
		t.Fatalf("invalidate: %+v", got)
	}
	for _, late := range []string{"set a=1", "set --stdin", "save", "save --if-version 1", "incr n", "append a 1", "pop user", "unset user",
		"edit touch filtered", "delete", "regenerate", "regenerate --grace 5s", "invalidate"} {
		if stdout, code := slow.Do(t, "echo {} | cgisession "+late); code != 10 || stdout != "" {
			t.Errorf("%s: code %d, stdout %q", late, code, stdout)
		}
	}
	if live, others := r.files(t); len(live) != 0 || len(others) != 0 {
		t.Errorf("%d sessions and %d other files came back", len(live), len(others))
	}
	if message := slow.Said(t); strings.Count(message, gone) != 13 {
		t.Errorf("want 13 messages: %s", message)
	}
	if _, err := os.Stat(r.Dir + "/filtered"); err == nil {
		t.Error("the filter of edit was run")
	}
	got := r.client(cmdtest.Visitor).Call(t, "load", "--json")
	if !strings.Contains(got.Stdout, `"is_new":true`) || strings.Contains(got.Stdout, cmdtest.Visitor) {
		t.Errorf("load by the old cookie, which should make a new session: %+v", got)
	}
}

// A program that deletes files by their age, and takes no lock, may delete one that
// is in use at that moment. All later calls say then that the session is gone, none
// brings it back, and up to then no change was lost.
func TestFindDeletesInUse(t *testing.T) {
	deleted := 0
	for range cmdtest.Full(10, 60) {
		r := begin(t, `{}`)
		const workers, rounds = 4, 6
		sums := make([][]cmdtest.Ended, workers)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 5 {
				hoursAgo := time.Now().Add(-2 * time.Hour)
				os.Chtimes(r.file(cmdtest.Visitor), hoursAgo, hoursAgo)
				cmdtest.Finish(t, exec.Command("find", r.Dir+"/sessions", "-type", "f", "-mmin", "+60", "-delete"))
			}
		}()
		cmdtest.AtOnce(workers, func(i int) {
			for range rounds {
				sums[i] = append(sums[i], r.Call(t, "incr", "n"))
			}
		})
		<-done

		seen := make(map[int]bool)
		for _, own := range sums {
			ended := false
			for _, got := range own {
				n, err := strconv.Atoi(strings.TrimSpace(got.Stdout))
				switch {
				case isGone(got):
					ended = true
				case got.Code != 0 || err != nil || ended || seen[n]:
					t.Errorf("incr, after it was gone %v, after the same number %v: %+v", ended, seen[n], got)
				default:
					seen[n] = true
				}
			}
		}
		last := len(seen)
		for n := range last {
			if !seen[n+1] {
				t.Errorf("no call printed %d of %d", n+1, last)
			}
		}
		switch live, others := r.files(t); {
		case len(live) == 0 && len(others) == 0:
			deleted++
		case len(others) != 0 || last != workers*rounds:
			t.Errorf("after %d of %d changes: %d sessions and %d other files", last, workers*rounds, len(live), len(others))
		}
	}
	t.Logf("deleted in use: %d times", deleted)
}
