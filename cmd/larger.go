package cmd

// This file ties together the two programs that the module builds: the usual one, and
// the larger one, which also has --type redis. For that type the usual one executes the
// larger one in its place. So a site changes its store by configuration alone, and
// calls that keep sessions in files do not load the client library of Redis.

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"cgisession/store"
)

// largerName is the larger program's name.
const largerName = "cgisession-redis"

// usualProgram returns what the usual program says in argument 0 when it executes the
// larger one: NAME VERSION PATH. The version is that of both, and the path that of the
// usual program. ok is false if it did not execute this one.
func usualProgram(arg0 string) (version, path string, ok bool) {
	name, rest, ok := strings.Cut(arg0, " ")
	version, path, _ = strings.Cut(rest, " ")
	return version, path, ok && name == largerName
}

// checkUsual returns an error if the usual program executed this one, and they do not
// fit together. Programs of two versions may know different options.
func checkUsual(arg0 string) error {
	version, _, ok := usualProgram(arg0)
	switch {
	case !ok:
		return nil
	case !hasRedis:
		return fmt.Errorf("%w: %w", store.ErrConfig, errNotLarger)
	case version != Version:
		return fmt.Errorf("%w: cgisession is of version %s, %s of version %s; install both from one build",
			store.ErrConfig, short(version), largerName, Version)
	}
	return nil
}

// errNotLarger means that the usual program is installed under the larger one's name.
var errNotLarger = errors.New("this " + largerName + " was built without Redis; build it with scripts/build --redis")

// checkServer returns an error if no server is named, or if the command line holds its
// password, which other users can see (ps(1)).
func (o *options) checkServer() error {
	if o.redis.url == "" {
		return fmt.Errorf("%w: --type redis needs --redis-url or CGISESSION_REDIS_URL", store.ErrConfig)
	}
	for _, arg := range os.Args[1:] {
		if strings.Contains(arg, o.redis.url) && mayHoldPassword(o.redis.url) {
			return usagef("--redis-url holds a password, which other users can see; " +
				"set CGISESSION_REDIS_URL or --redis-password-file")
		}
	}
	return nil
}
