//go:build redis && linux

package program

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cgisession/store/redis/redistest"
)

// TestPassword has the password where it may be, and where it may not.
func TestPassword(t *testing.T) {
	server := redistest.Start(t, "--requirepass", "swordfish")
	visitorOn("redis://:swordfish@"+server.Addr()).Must(t, "set", "a=1")
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("swordfish\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := visitorOn(server.URL(), "CGISESSION_REDIS_PASSWORD_FILE="+file)
	if got := s.Must(t, "get", "a"); got != `"1"` {
		t.Errorf("get: %s", got)
	}
	got := s.Call(t, "get", "--redis-url", "redis://:swordfish@"+server.Addr())
	if got.Code != 64 || strings.Contains(got.Stderr, "swordfish") {
		t.Errorf("password on the command line: %+v", got)
	}
	url := "redis://:swordfish@" + server.Addr()
	got = s.With("CGISESSION_REDIS_URL="+url).Call(t, "get", "--redis-url", url)
	if got.Code != 64 || strings.Contains(got.Stderr, "swordfish") {
		t.Errorf("password on the command line and in the variable: %+v", got)
	}
	for _, bad := range []string{"redis://:mack/erel@h:1", "redis://:123/mackerel@h:1", "redis+cluster://:123/mackerel@h:1", "redis://:mack#erel@h:1", "redis://mack?erel@h:1", "http://:mackerel@h:1",
		"redis://:mackerel@h:1?addr=erel", "redis+sentinel://h:1?pasmack=mackerel", "unix://mackerel/s", "redis://:mackerel@h:1/x", "redis://:mack%zzerel@h:1"} {
		got := visitorOn(bad).Call(t, "get")
		if got.Code != 78 || strings.Contains(got.Stderr, "mack") || strings.Contains(got.Stderr, "erel") || strings.Contains(got.Stderr, "123") {
			t.Errorf("%s: %+v; want 78, and not a part of it", bad, got)
		}
	}
	os.Chmod(file, 0o644)
	if got := s.Call(t, "get"); got.Code != 78 || !strings.Contains(got.Stderr, "chmod 600") {
		t.Errorf("password file for all to read: %+v", got)
	}
}
