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

// fullMemory is what the server of TestFull may use, in bytes.
const fullMemory = 3 << 20

// A fullSite is a site whose server's memory is full, and its visitors.
type fullSite struct {
	cmdtest.Request
	server *redistest.Server
}

// withID is the site as a request sees it that has a session.
func (f fullSite) withID(id string) cmdtest.Request {
	return f.Request.With("HTTP_COOKIE=cgisession_id=" + id)
}

// used returns how much memory the server uses.
func (f fullSite) used(t *testing.T) int {
	t.Helper()
	_, rest, _ := strings.Cut(f.server.Do(t, "info", "memory"), "used_memory:")
	text, _, _ := strings.Cut(rest, "\r")
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestFull has first visits of 100 KB fill a server of 3 MB, which then takes no new
// session, while those that are there can be read and ended.
func TestFull(t *testing.T) {
	server := redistest.Start(t, "--maxmemory", strconv.Itoa(fullMemory), "--maxmemory-policy", "noeviction")
	f := fullSite{on(server.URL()), server}
	begin := func(args ...string) string { // a session with a member
		id := idOf(f.Must(t, "set", "n:=1"))
		if len(args) > 0 {
			id = idOf(f.withID(id).Must(t, args...))
		}
		return id
	}
	live, old, gone, expired, deleted := begin(), begin(), begin(), begin(), begin()
	destroyed, ann, idle := begin(), begin("regenerate", "--user", "ann"), begin()
	moved := idOf(f.withID(old).Must(t, "regenerate", "--grace", "1h"))
	f.firstVisits(t)
	server.Do(t, "config", "set", "maxmemory", strconv.Itoa(fullMemory/3)) // it stays full whatever ends

	refused := func(s cmdtest.Request, args ...string) {
		t.Helper()
		got := s.Call(t, args...)
		if got.Code != 69 || got.Stdout != "" || !strings.Contains(got.Stderr, "OOM") || strings.Count(got.Stderr, "\n") != 1 {
			t.Errorf("%q: %+v; want 69", args, got)
		}
	}
	stays := func(id string) {
		t.Helper()
		if got := f.withID(id).Must(t, "get"); got != `{"n":1}` {
			t.Errorf("the session holds %s", got)
		}
	}
	ended := func(id string) {
		t.Helper()
		if got := f.withID(id).Call(t, "get"); got.Code != 1 {
			t.Errorf("the session that ended: %+v", got)
		}
		if server.Do(t, "exists", keyOf(id)) != "0" {
			t.Error("its key is left")
		}
	}
	long := func(id string) { server.Do(t, "hset", keyOf(id), "accessed", "1000") }
	server.Do(t, "config", "set", "maxmemory", "0") // HSET is refused too
	long(expired)
	long(idle)
	server.Do(t, "config", "set", "maxmemory", strconv.Itoa(fullMemory/3))

	for _, args := range [][]string{{"load"}, {"set", "a=1"}, {"load", "--adopt-id", cmdtest.Visitor}, {"lock", "--adopt-id", cmdtest.Visitor, cmdtest.Program, "get"}, {"regenerate"}, {"regenerate", "--user", "ann"}} {
		refused(f.Request, args...)
	}
	for _, args := range [][]string{{"regenerate"}, {"regenerate", "--grace", "1h"}, {"regenerate", "--user", "bob"}, {"set", "a=1"}, {"incr", "n"}} {
		refused(f.withID(live), args...)
		stays(live)
	}
	for _, args := range [][]string{{"get"}, {"load"}, {"info"}, {"load", "--json"}, {"csrf"}} {
		f.withID(live).Must(t, args...)
		f.withID(moved).Must(t, args...)
		f.withID(old).Must(t, args...)
	}
	refused(f.withID(gone), "invalidate")
	ended(gone)
	refused(f.withID(expired), "load", "--timeout", "1h")
	ended(expired)

	f.withID(deleted).Must(t, "delete")
	if got := f.withID(deleted).Must(t, "get"); got != "{}" {
		t.Errorf("deleted: %s", got)
	}
	f.withID(deleted).Must(t, "invalidate", "--expire")
	ended(deleted)
	f.Must(t, "destroy", handleOf(destroyed))
	ended(destroyed)
	f.Must(t, "destroy", "--user", "ann")
	ended(ann)
	f.Must(t, "cleanup", "--timeout", "1h")
	ended(idle)
	f.withID(old).Must(t, "invalidate", "--expire")
	ended(moved)
	for _, args := range [][]string{{"list"}, {"stats"}, {"show", handleOf(live)}, {"doctor"}} {
		f.Must(t, args...)
	}
}

// firstVisits makes first visits of 100 KB until the server is full, and more.
func (f fullSite) firstVisits(t *testing.T) {
	t.Helper()
	codes := map[int]int{}
	data := fmt.Sprintf(`{"a":%q}`, strings.Repeat("x", 100_000))
	for i := range 120 {
		got := f.Give(t, data, "set", "--stdin")
		codes[got.Code]++
		if i >= 40 && got.Code != 69 {
			t.Fatalf("first visit %d: %+v", i, got)
		}
	}
	if codes[0] < 5 || codes[0]+codes[69] != 120 {
		t.Errorf("first visits ended with %v", codes)
	}
	if used := f.used(t); used > fullMemory+300_000 {
		t.Errorf("the server uses %d bytes; it may use %d", used, fullMemory)
	}
}
