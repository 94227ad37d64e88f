package scripttest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// files is a directory. Each file below it counts as a session.
type files string

func (dir files) each(do func(path string, e fs.DirEntry) error) error {
	err := filepath.WalkDir(string(dir), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		return do(path, e)
	})
	if errors.Is(err, fs.ErrNotExist) { // nothing has been stored yet
		return nil
	}
	return err
}

func (dir files) accessed() (all []time.Time, err error) {
	err = dir.each(func(_ string, e fs.DirEntry) error {
		info, err := e.Info()
		if err == nil {
			all = append(all, info.ModTime())
		}
		return err
	})
	return all, err
}

func (dir files) age(by time.Duration) error {
	return ageFiles(by, filepath.Join(string(dir), "*", "*"))
}

func (dir files) forget() error { return os.RemoveAll(string(dir)) }

func (dir files) print(to *os.File) error {
	return dir.each(func(path string, _ fs.DirEntry) error {
		text, err := os.ReadFile(path)
		if err == nil {
			_, err = to.Write(text)
		}
		return err
	})
}

// keys are those of a Redis server that begin with a prefix. Each with an access
// counts as a session: what leads from an old id to a new one, or holds a lock, has none.
type keys struct{ url, prefix string }

// eval runs a Lua script on the server. KEYS are given by a pattern.
func (k keys) eval(pattern, script string, args ...string) (string, error) {
	script = "local found = {}; for _, key in ipairs(redis.call('KEYS', ARGV[1])) do " + script + " end; return found"
	c := exec.Command("redis-cli", append([]string{"-e", "-u", k.url, "eval", script, "0", k.prefix + pattern}, args...)...)
	text, err := c.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, text)
	}
	return string(bytes.TrimSuffix(text, []byte("\n"))), nil
}

func (k keys) accessed() (all []time.Time, err error) {
	text, err := k.eval("{*}", `found[#found + 1] = redis.call('HGET', key, 'accessed') or nil`)
	for _, word := range strings.Fields(text) {
		ms, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return nil, err
		}
		all = append(all, time.UnixMilli(ms))
	}
	return all, err
}

func (k keys) age(by time.Duration) error {
	_, err := k.eval("{*}", `if redis.call('HEXISTS', key, 'accessed') == 1 then
		redis.call('HSET', key, 'accessed', string.format('%.0f', redis.call('TIME')[1] * 1000 - ARGV[2])) end`, strconv.FormatInt(by.Milliseconds(), 10))
	return err
}

func (k keys) forget() error {
	_, err := k.eval("*", `redis.call('DEL', key)`)
	return err
}

func (k keys) print(to *os.File) error {
	text, err := k.eval("{*}", `for _, word in ipairs(redis.call('HGETALL', key)) do found[#found + 1] = word end`)
	if err == nil {
		_, err = fmt.Fprintln(to, text)
	}
	return err
}
