//go:build redis && linux

package redis_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"cgisession/scripts/scripttest"
	"cgisession/store/redis/redistest"
)

// aboutFiles are the scripts that ask for what only sessions in files have, each
// with what that is.
var aboutFiles = map[string]string{
	"cleanup":    "empty files, find -delete, how a sweep of directories goes on",
	"corrupt":    "damaged files",
	"datadir":    "directories and their modes",
	"delete":     "looks for older versions in files",
	"destroy":    "makes files that a short handle fits",
	"doctor":     "checks a file system",
	"exit_codes": "a damaged file, and directories without permission",
	"info":       "the path of a file",
	"list":       "sizes in whole pages",
	"lock":       "descriptors",
	"log":        "a damaged file",
	"memory":     "a file system in memory",
	"redis":      "the program that has no client",
	"sh":         "prints all variables, of which here are more",
	"stats":      "inodes, empty files",
	"users":      "modes of files",
}

// find prints the sessions' handles for their paths, with -mmin +N those that were
// idle for longer; with -exec touch it dates their last access long back.
const find = `#!/bin/sh
idle=0
touch=0
case "$*" in *-mmin*) idle=${*##*+} ;; *touch*) touch=1 ;; esac
redis-cli -p %d eval "
	local found = {}
	for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
		local accessed = tonumber(redis.call('HGET', key, 'accessed') or '')
		if accessed and redis.call('TIME')[1] - accessed / 1000 > ARGV[2] * 60 - 1 then
			if ARGV[3] == '1' then
				redis.call('HSET', key, 'accessed', '0')
			else
				found[#found + 1] = 'sessions/' .. string.match(key, '{(.*)}')
			end
		end
	end
	return found" 0 '%s{*}' "$idle" "$touch" | grep .
true
`

// TestScript runs the scripts in testdata/script with the sessions in Redis. Each
// has a prefix of its own. A "find" that comes first in PATH lists sessions for files.
func TestScript(t *testing.T) {
	server := redistest.Start(t)
	scripts, err := filepath.Glob("../../testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	scripts = slices.DeleteFunc(scripts, func(file string) bool {
		return aboutFiles[strings.TrimSuffix(filepath.Base(file), ".txtar")] != ""
	})
	p := scriptParams(t, server)
	p.Files = scripts
	testscript.Run(t, p)
}

// TestRedisScript runs the scripts in testdata/redis, about what Redis alone has.
func TestRedisScript(t *testing.T) {
	p := scriptParams(t, redistest.Start(t))
	p.Dir = "../../testdata/redis"
	testscript.Run(t, p)
}

// scriptParams are those of scripts whose sessions are in the server.
func scriptParams(t *testing.T, server *redistest.Server) testscript.Params {
	p := scripttest.Params("")
	setup := p.Setup
	p.Setup = func(e *testscript.Env) error {
		if err := setup(e); err != nil {
			return err
		}
		prefix := filepath.Base(e.WorkDir) + ":"
		e.Setenv("CGISESSION_TYPE", "redis")
		e.Setenv("CGISESSION_REDIS_URL", server.URL())
		e.Setenv("CGISESSION_REDIS_PREFIX", prefix)
		bin := filepath.Join(e.WorkDir, ".bin")
		if err := os.Mkdir(bin, 0o700); err != nil {
			return err
		}
		e.Setenv("PATH", bin+":"+filepath.Dir(program)+":"+e.Getenv("PATH"))
		cli := fmt.Appendf(nil, "#!/bin/sh\nexec redis-cli -p %d \"$@\"\n", server.Port)
		if err := os.WriteFile(filepath.Join(bin, "redis"), cli, 0o700); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(bin, "find"), fmt.Appendf(nil, find, server.Port, prefix), 0o700)
	}
	p.Cmds["age"] = func(ts *testscript.TestScript, neg bool, args []string) {
		if ts.Getenv("CGISESSION_TYPE") != "redis" {
			scripttest.Age(ts, neg, args)
			return
		}
		by, err := time.ParseDuration(args[0])
		ts.Check(err)
		server.Do(t, "eval", `for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
			redis.call('HSET', key, 'accessed', string.format('%.0f', redis.call('TIME')[1] * 1000 - ARGV[2]))
		end`, "0", ts.Getenv("CGISESSION_REDIS_PREFIX")+"{*}", fmt.Sprint(by.Milliseconds()))
	}
	return p
}
