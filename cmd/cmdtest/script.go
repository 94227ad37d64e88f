package cmdtest

import (
	"os"
	"syscall"
	"testing"
)

// WriteScript writes a file that is to be executed. No child can be forked meanwhile:
// until its own exec it would hold the file open for writing, and execve(2) of such a
// file is ETXTBSY.
func WriteScript(t testing.TB, path, text string) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}
