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
	"cgisession/store"
	"cgisession/store/redis/redistest"
)

// TestSameAsFiles has sessions in files and in Redis do the same random steps: what
// the program prints and exits with is the same, and as the model has it.
func TestSameAsFiles(t *testing.T) {
	const before = 2 * time.Hour
	server := redistest.Start(t)
	handle := func(id string) string { return store.Handle("cgisession_id", id) }
	target := func(t *testing.T, s cmdtest.Request, age func(id string)) modeltest.Target {
		return modeltest.Target{Age: age, Run: func(variables []string, stdin string, args ...string) (string, int) {
			got := s.With(variables...).Give(t, stdin, args...)
			return got.Stdout, got.Code
		}}
	}
	for seed := range uint64(4) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir() + "/sessions"
			files := target(t, cmdtest.Request{Env: []string{"CGISESSION_DATA_DIR=" + dir}}, func(id string) {
				long := time.Now().Add(-before)
				if err := os.Chtimes(filepath.Join(dir, handle(id)[:2], handle(id)), long, long); err != nil {
					t.Fatal(err)
				}
			})
			redis := target(t, on(server.URL()), func(id string) {
				server.Do(t, "HSET", "cgisession:{"+handle(id)+"}", "accessed", strconv.FormatInt(time.Now().Add(-before).UnixMilli(), 10))
			})
			modeltest.Compare(t, seed+10, cmdtest.Full(50, 5000), files, redis)
		})
	}
}
