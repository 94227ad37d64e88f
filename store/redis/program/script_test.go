//go:build redis && linux

package program

import (
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"cgisession/cmd/scripttest"
	"cgisession/store/redis/redistest"
)

// TestScript runs the scripts in testdata/script with the sessions in Redis.
func TestScript(t *testing.T) { runScripts(t, "../../../testdata/script") }

// TestRedisScript runs scripts about what Redis alone has.
func TestRedisScript(t *testing.T) { runScripts(t, "testdata/script") }

// runScripts runs the scripts in dir. Each has a prefix of its own.
func runScripts(t *testing.T, dir string) {
	t.Helper()
	server := redistest.Start(t)
	testscript.Run(t, scripttest.Params(dir, "redis", func(e *testscript.Env) {
		e.Setenv("CGISESSION_TYPE", "redis")
		e.Setenv("CGISESSION_REDIS_URL", server.URL())
		e.Setenv("CGISESSION_REDIS_PREFIX", filepath.Base(e.WorkDir)+":")
	}))
}
