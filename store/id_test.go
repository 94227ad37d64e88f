package store_test

import (
	"testing"

	"cgisession/store"
)

// A million ids are all different, and have each character at each place about
// equally often. The bound is 7.2 standard deviations of a fair count (174): among
// 1024 counts, chance alone goes past it once in 10^9 runs.
func TestNewID(t *testing.T) {
	const n, length, alphabet = 1_000_000, 32, "abcdefghijklmnopqrstuvwxyz234567"
	const fair, most = n / len(alphabet), 1253
	seen := make(map[[length]byte]struct{}, n)
	var counts [length][256]int
	for range n {
		id := store.NewID()
		if len(id) != length || !store.ValidID(id) {
			t.Fatalf("an id of %d characters", len(id))
		}
		seen[[length]byte([]byte(id))] = struct{}{}
		for place := range length {
			counts[place][id[place]]++
		}
	}
	if len(seen) != n {
		t.Errorf("%d ids came twice", n-len(seen))
	}
	for place, count := range counts {
		all := 0
		for _, c := range []byte(alphabet) {
			all += count[c]
			if off := count[c] - fair; off < -most || off > most {
				t.Errorf("%q at place %d: %d times, %d would be fair", c, place, count[c], fair)
			}
		}
		if all != n {
			t.Errorf("at place %d %d characters are not of the alphabet", place, n-all)
		}
	}
}
