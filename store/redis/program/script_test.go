//go:build redis && linux

package redis_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"cgisession/cmd/cmdtest"
	"cgisession/cmd/scripttest"
	"cgisession/store/redis/redistest"
)

// aboutFiles are the scripts that ask for what only sessions in files have, each
// with what that is.
var aboutFiles = map[string]string{
	"cleanup": "empty files, find -delete, how a sweep of directories goes on",
	"corrupt": "damaged files",
	"datadir": "directories and their modes",
	"doctor":  "checks a file system",
	"list":    "sizes in whole pages",
	"lock":    "descriptors",
	"memory":  "a file system in memory",
	"redis":   "the program that has no client",
	"stats":   "inodes, empty files",
}

// phasesAboutFiles are the phases of scripts that do so, by how the sentence that
// heads them begins. The other phases are run.
var phasesAboutFiles = map[string][]string{
	"ambiguous":  {"What it cannot end it logs", "One that leads to a corrupt"},
	"csrf":       {"What its record has", "The token of a descriptor"},
	"delete":     {"Nothing of it is left in the file", "Nor of data that filled"},
	"destroy":    {"What is no handle, or fits several", "A corrupt session is ended too"},
	"exit_codes": {"65: wrong data", "77: what is not"},
	"info":       {"The path leads to the session's file"},
	"log":        {"Events go to", "It is for this user alone", "No id is in it", "It is opened anew", "What a session's life brings", "What could steer a terminal"},
	"max_size":   {"So can a user's"},
	"visible":    {"Nor can a directory"},
	"request":    {"The path of its file", "The programs that are run get none"},
	"users": {"It finds them without reading", "One that cannot be ended", "The index only finds", "doctor --repair", "An entry that is missing", "The entry is as young",
		"cleanup takes both", "An index that is not safe"},
}

// inRedis returns a script without its phases about files. Where it removes all
// files, all sessions go; and what the program is told of Redis it need not print.
func inRedis(name, script string) (string, error) {
	at := strings.Index(script, "\n-- ")
	if at < 0 {
		at = len(script)
	}
	commands, files := script[:at], script[at:]
	phases := strings.Split(commands, "\n\n# ")
	for _, heading := range phasesAboutFiles[name] {
		found := false
		for i, phase := range phases {
			if strings.HasPrefix(strings.TrimPrefix(phase, "# "), heading) {
				phases[i], found = settings(phase), true
			}
		}
		if !found {
			return "", fmt.Errorf("%s has no phase %q", name, heading)
		}
	}
	script = strings.Join(phases, "\n\n# ") + files
	return strings.NewReplacer(
		"\nrm sessions\n", "\nforget\n",
		"\nexec sh locked.sh\n", "\nforget\nexec sh locked.sh\n",
		"-u CGISESSION_LOCK_FD", "-u CGISESSION_LOCK_FD -u CGISESSION_LOCK_TOKEN",
		"\nrm log sessions\n", "\nforget\n",
		"grep ^CGISESSION_ |", `grep ^CGISESSION_ | grep -v "^CGISESSION_\(TYPE\|REDIS_.*\)=" |`,
	).Replace(script), nil
}

// settings returns what a phase that is left out sets for those that follow.
func settings(phase string) string {
	kept := "Left out."
	if strings.HasPrefix(phase, "# ") { // the first one
		kept = "# " + kept
	}
	for line := range strings.Lines(phase) {
		if strings.HasPrefix(line, "env ") {
			kept += "\n" + strings.TrimSuffix(line, "\n")
		}
	}
	return kept
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
	all, err := filepath.Glob("../../../testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var scripts []string
	dir := t.TempDir()
	for _, file := range all {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		if aboutFiles[name] != "" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		script, err := inRedis(name, string(text))
		if err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(dir, filepath.Base(file))
		if err := os.WriteFile(copied, []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		scripts = append(scripts, copied)
	}
	p := scriptParams(t, server)
	p.Files = scripts
	testscript.Run(t, p)
}

// TestRedisScript runs the scripts in testdata/redis, about what Redis alone has.
func TestRedisScript(t *testing.T) {
	p := scriptParams(t, redistest.Start(t))
	p.Dir = "../../../testdata/redis"
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
		e.Setenv("PATH", bin+":"+filepath.Dir(cmdtest.Program)+":"+e.Getenv("PATH"))
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
	p.Cmds["forget"] = func(ts *testscript.TestScript, neg bool, args []string) {
		server.Do(t, "eval", "for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', key) end", "0", ts.Getenv("CGISESSION_REDIS_PREFIX")+"*")
	}
	return p
}
