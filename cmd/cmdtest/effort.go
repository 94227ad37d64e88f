package cmdtest

import (
	"sync"
	"testing"
	"time"
)

// Full returns how often to do something: seldom with -short, else often.
func Full(few, many int) int {
	if testing.Short() {
		return few
	}
	return many
}

// Long skips a test with -short, which takes long beside what it tests.
func Long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: it takes long")
	}
}

// Patience is how long anything may take that is waited for, on a machine that is
// busy with other things. No test wants it to be short.
const Patience = 5 * time.Minute

// Until waits until it is so, where no other sign of it can be waited for.
func Until(t testing.TB, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s in %v", what, Patience)
		}
	}
}

// AtOnce calls work n times at once, each with another number, and waits for all.
func AtOnce(n int, work func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { work(i) })
	}
	all.Wait()
}
