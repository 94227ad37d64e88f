//go:build redis && linux

package program

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
	"cgisession/cmd/modeltest"
	"cgisession/store/redis/redistest"
)

// TestSameAsFiles has sessions in files and in Redis do the same random steps: what
// the program prints and exits with is the same, and as the model has it.
func TestSameAsFiles(t *testing.T) {
	const before = 2 * time.Hour
	server := redistest.Start(t)
	for seed := range uint64(4) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			files := func(id string) {
				long := time.Now().Add(-before)
				if err := os.Chtimes(filepath.Join(dir, "sessions", handleOf(id)[:2], handleOf(id)), long, long); err != nil {
					t.Fatal(err)
				}
			}
			redis := func(id string) {
				server.Do(t, "HSET", keyOf(id), "accessed", strconv.FormatInt(time.Now().Add(-before).UnixMilli(), 10))
			}
			modeltest.Compare(t, seed+10, cmdtest.Full(50, 5000),
				modeltest.Target{Request: cmdtest.Request{Dir: dir}, Age: files},
				modeltest.Target{Request: on(server.URL()), Age: redis})
		})
	}
}
