package store_test

import (
	"testing"
	"time"

	"cgisession/store"
)

// For as long as Left says, a session that nobody accesses is live, and after two
// seconds more it is not: a Lifetime is counted in whole seconds.
func TestLeft(t *testing.T) {
	now := time.Unix(1764000000, 500)
	for _, row := range []struct {
		name              string
		timeout, lifetime time.Duration
		idle, age         time.Duration
		want              time.Duration
	}{
		{"the timeout", time.Hour, 0, 20 * time.Minute, 10 * time.Hour, 40 * time.Minute},
		{"the timeout before the lifetime", time.Hour, 24 * time.Hour, 20 * time.Minute, time.Hour, 40 * time.Minute},
		{"the lifetime before the timeout", time.Hour, 2 * time.Hour, time.Minute, 90 * time.Minute, 30*time.Minute - 500},
		{"accessed in the future", time.Hour, 0, -5 * time.Hour, 0, time.Hour},
		{"created in the future", 0, time.Hour, 0, -5 * time.Hour, time.Hour},
		{"past the timeout", time.Hour, 24 * time.Hour, 2 * time.Hour, 2 * time.Hour, 0},
		{"past the lifetime", time.Hour, 2 * time.Hour, 0, 3 * time.Hour, 0},
	} {
		o := store.Options{Timeout: row.timeout, Lifetime: row.lifetime}
		s := &store.Session{Accessed: now.Add(-row.idle), Created: now.Add(-row.age).Unix()}
		left, limited := o.Left(s, now)
		if left != row.want || !limited {
			t.Errorf("%s: %v, %v; want %v", row.name, left, limited, row.want)
		}
		if state := o.State(s, now.Add(left)); left > 0 && row.idle >= 0 && row.age >= 0 && state != store.Live {
			t.Errorf("%s: %s already", row.name, state)
		}
		if state := o.State(s, now.Add(left+2*time.Second)); row.idle >= 0 && row.age >= 0 && state == store.Live {
			t.Errorf("%s: still live", row.name)
		}
	}
	if _, limited := (store.Options{}).Left(&store.Session{}, now); limited {
		t.Error("a limit without one")
	}
}
