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
)

// gone is the message of a call whose session was ended by another request.
const gone = "the session is gone"

// isGone reports whether a call changed nothing since its session is gone.
func (e ended) isGone() bool {
	return e.code == 10 && e.stdout == "" && strings.Contains(e.stderr, gone)
}

// Of many requests that regenerate a session at once, one does. The others say
// that it is gone, and make none.
func TestRegenerateAtOnce(t *testing.T) {
	r := begin(t, `{"user":"ann"}`)
	answers := make([]ended, 8)
	atOnce(len(answers), func(i int) { answers[i] = r.call(t, "regenerate") })

	var ids []string
	for _, got := range answers {
		if !got.isGone() && got.code != 0 {
			t.Errorf("regenerate: %+v", got)
		}
		ids = append(ids, newIDs(got.stdout)...)
	}
	if len(ids) != 1 {
		t.Fatalf("%d new ids, want 1", len(ids))
	}
	if live, others := r.files(t); len(live) != 1 || len(others) != 0 {
		t.Errorf("%d sessions and %d other files, want 1 and 0", len(live), len(others))
	}
	if got := r.client(ids[0]).call(t, "get"); got != (ended{stdout: `{"user":"ann"}` + "\n"}) {
		t.Errorf("get by the new id: %+v", got)
	}
	if got := r.client(visitor).call(t, "get"); got != (ended{code: 1}) {
		t.Errorf("get by the old id: %+v", got)
	}
	if got := r.client(visitor).call(t, "load"); len(newIDs(got.stdout)) != 1 {
		t.Errorf("load by the old id, which should make a new session: %+v", got)
	}
}

// Who has only the cookie cannot know that there was a session: each of those
// who are late gets a new one, and just one gets the data.
func TestRegenerateAtOnceByCookie(t *testing.T) {
	r := begin(t, `{"user":"ann"}`)
	const times = 8
	answers := make([]ended, times)
	atOnce(times, func(i int) { answers[i] = r.client(visitor).call(t, "regenerate") })

	count := make(map[string]int)
	for _, got := range answers {
		for _, id := range newIDs(got.stdout) {
			count[r.client(id).call(t, "get").stdout]++
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
	for round := range full(10, 100) {
		r := begin(t, `{"n":0}`)
		request := []request{r, r.client(visitor)}[round%2]
		answers := make([]ended, tabs)
		atOnce(tabs, func(i int) { answers[i] = request.call(t, "regenerate", "--grace", "1m") })

		ids := []string{visitor}
		for _, got := range answers {
			if got.code != 0 || got.stderr != "" {
				t.Errorf("regenerate: %+v", got)
			}
			ids = append(ids, newIDs(got.stdout)...)
		}
		if live, others := r.files(t); len(ids) != 2 || len(live) != 1 || len(others) != 1 {
			t.Fatalf("%d ids, %d sessions and %d other files, want 2, 1 and 1", len(ids), len(live), len(others))
		}
		for i, id := range ids {
			if got := r.client(id).call(t, "load"); got != (ended{}) {
				t.Errorf("load by id %d, which should need no new cookie: %+v", i, got)
			}
			if got := r.client(id).call(t, "incr", "n"); got.stdout != strconv.Itoa(i+1)+"\n" {
				t.Errorf("incr by id %d: %+v", i, got)
			}
		}
	}
}

// A log-in that comes by an id which was given up at that moment is refused, so
// that who holds the old id does not get the logged-in session.
func TestLogInAgainstRotation(t *testing.T) {
	won := 0
	for range full(10, 50) {
		r := begin(t, `{"n":0}`).client(visitor)
		calls := [][]string{{"regenerate", "--user", "ann"}, {"regenerate", "--grace", "1m"}}
		answers := make([]ended, len(calls))
		atOnce(len(calls), func(i int) { answers[i] = r.call(t, calls[i]...) })
		logIn, rotation := answers[0], answers[1]
		byOld := r.call(t, "get", "n")
		switch user := strings.Contains(r.call(t, "list").stdout, `"ann"`); {
		case rotation.code != 0 || len(newIDs(rotation.stdout)) != 1:
			t.Errorf("rotation: %+v", rotation)
		case logIn.code == 0 && (len(newIDs(logIn.stdout)) != 1 || !user || byOld.code != 1): // rotation began another session
			t.Errorf("log-in: %+v; a user's session is there: %v; get by the old id: %+v", logIn, user, byOld)
		case logIn.code == 10 && (logIn.stdout != "" || user || byOld.stdout != "0\n"):
			t.Errorf("log-in: %+v; a user's session is there: %v; get by the old id: %+v", logIn, user, byOld)
		case logIn.code == 0:
			won++
		case logIn.code != 10:
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
	token := strings.TrimSpace(r.client(visitor).call(t, "csrf").stdout)
	begun := time.Now()
	ids := newIDs(r.call(t, "regenerate", "--grace", grace.String()).stdout)
	if len(ids) != 1 {
		t.Fatalf("%d new ids", len(ids))
	}
	check := func() ended { return r.client(ids[0]).call(t, "csrf", "--check="+token) }
	if got := check(); got != (ended{}) && time.Since(begun) < grace {
		t.Errorf("a form of the old id, in its grace: %+v", got)
	}
	for {
		got := r.client(visitor).call(t, "get", "--raw", "user")
		since := time.Since(begun)
		if got == (ended{code: 1}) && since >= grace {
			break
		}
		if got != (ended{stdout: "ann\n"}) || since > grace+patience {
			t.Fatalf("get by the old id, %v after it was given up: %+v", since, got)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if got := check(); got != (ended{code: 1}) {
		t.Errorf("a form of the old id, after its grace: %+v", got)
	}
	if got := r.call(t, "set", "late=1"); !got.isGone() {
		t.Errorf("set in a request with the old id: %+v", got)
	}
	if got := r.client(visitor).call(t, "load"); len(newIDs(got.stdout)) != 1 {
		t.Errorf("load by the old id, which should make a new session: %+v", got)
	}
	if got := r.client(ids[0]).call(t, "get"); got.stdout != `{"user":"ann"}`+"\n" {
		t.Errorf("get by the new id: %+v", got)
	}
}

// contest has requests of one session change, regenerate and end it at once, and
// returns how each ended, by what it did.
func contest(t *testing.T, r request, calls map[string][]string) map[string]ended {
	names := slices.Collect(maps.Keys(calls))
	answers := make([]ended, len(names))
	atOnce(len(names), func(i int) { answers[i] = r.give(t, `{}`, calls[names[i]]...) })
	all := make(map[string]ended)
	for i, got := range answers {
		all[names[i]] = got
		if got.code != 0 && !got.isGone() {
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
func holds(t *testing.T, r request, id string, answers map[string]ended) bool {
	t.Helper()
	got, want := make(map[string]int), make(map[string]int)
	if err := json.Unmarshal([]byte(r.client(id).call(t, "get").stdout), &got); err != nil {
		t.Error(err)
	}
	for key, answer := range answers {
		if strings.HasPrefix(key, "key") && answer.code == 0 {
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
			for range full(8, 50) {
				r := begin(t, `{}`)
				calls := setters(6)
				calls["regenerate"] = []string{"regenerate", "--grace", grace}
				answers := contest(t, r, calls)
				ids := newIDs(answers["regenerate"].stdout)
				if len(ids) != 1 {
					t.Fatalf("regenerate: %+v", answers["regenerate"])
				}
				if !holds(t, r, ids[0], answers) {
					t.Errorf("%+v, but the data is %s", answers, r.client(ids[0]).call(t, "get").stdout)
				}
				if live, _ := r.files(t); len(live) != 1 {
					t.Errorf("%d sessions, want 1", len(live))
				}
			}
		})
	}
}

// Once invalidate reports the session's end, no request has it, whatever went on
// at the same time. If it was moved without grace before, invalidate says that
// it is gone, and it lives on with all that was stored.
func TestInvalidateAgainstAll(t *testing.T) {
	for _, grace := range []string{"0", "1m"} {
		t.Run("grace "+grace, func(t *testing.T) {
			wins := 0
			for range full(8, 50) {
				r := begin(t, `{}`)
				calls := setters(4)
				calls["regenerate"] = []string{"regenerate", "--grace", grace}
				calls["invalidate"] = []string{"invalidate", "--expire"}
				answers := contest(t, r, calls)
				live, _ := r.files(t)
				ids := newIDs(answers["regenerate"].stdout)
				switch {
				case answers["invalidate"].code == 0 && len(live) == 0:
					wins++
				case answers["invalidate"].code == 10 && grace == "0" && len(live) == 1 && len(ids) == 1:
					if !holds(t, r, ids[0], answers) {
						t.Errorf("%+v, but the data is %s", answers, r.client(ids[0]).call(t, "get").stdout)
					}
				default:
					t.Errorf("%+v, with %d sessions left", answers, len(live))
				}
				late := contest(t, r, map[string][]string{"set": {"set", "a=1"}, "save": {"save"}, "incr": {"incr", "n"}})
				for verb, got := range late {
					if after, _ := r.files(t); !got.isGone() || len(after) != len(live) {
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
	slow := r.client(visitor).start(t, "sh")
	slow.do(t, `eval "$(cgisession load --sh)"`)
	if stdout, _ := slow.do(t, `cgisession get --raw user`); stdout != "ann\n" {
		t.Fatalf("the slow request has no session: %q", stdout)
	}
	if got := r.client(visitor).call(t, "invalidate", "--expire"); got.code != 0 {
		t.Fatalf("invalidate: %+v", got)
	}
	for _, late := range []string{"set a=1", "set --stdin", "save", "save --if-version 1", "incr n", "append a 1", "pop user", "unset user",
		"edit touch filtered", "delete", "regenerate", "regenerate --grace 5s", "invalidate"} {
		if stdout, code := slow.do(t, "echo {} | cgisession "+late); code != 10 || stdout != "" {
			t.Errorf("%s: code %d, stdout %q", late, code, stdout)
		}
	}
	if live, others := r.files(t); len(live) != 0 || len(others) != 0 {
		t.Errorf("%d sessions and %d other files came back", len(live), len(others))
	}
	if message := slow.said(t); strings.Count(message, gone) != 13 {
		t.Errorf("want 13 messages: %s", message)
	}
	if _, err := os.Stat(r.dir + "/filtered"); err == nil {
		t.Error("the filter of edit was run")
	}
	got := r.client(visitor).call(t, "load", "--json")
	if !strings.Contains(got.stdout, `"is_new":true`) || strings.Contains(got.stdout, visitor) {
		t.Errorf("load by the old cookie, which should make a new session: %+v", got)
	}
}

// Whoever deletes files by their age, and takes no lock, may delete one that is
// in use at that moment. Then all who come later say that the session is gone,
// none brings it back, and up to then no change was lost.
func TestFindDeletesInUse(t *testing.T) {
	deleted := 0
	for range full(10, 60) {
		r := begin(t, `{}`)
		const workers, rounds = 4, 6
		sums := make([][]ended, workers)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 5 {
				hoursAgo := time.Now().Add(-2 * time.Hour)
				os.Chtimes(r.file(visitor), hoursAgo, hoursAgo)
				finish(t, exec.Command("find", r.dir+"/sessions", "-type", "f", "-mmin", "+60", "-delete"))
			}
		}()
		atOnce(workers, func(i int) {
			for range rounds {
				sums[i] = append(sums[i], r.call(t, "incr", "n"))
			}
		})
		<-done

		seen := make(map[int]bool)
		for _, own := range sums {
			ended := false
			for _, got := range own {
				n, err := strconv.Atoi(strings.TrimSpace(got.stdout))
				switch {
				case got.isGone():
					ended = true
				case got.code != 0 || err != nil || ended || seen[n]:
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
