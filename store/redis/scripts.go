//go:build redis

package redis

import (
	"context"
	"embed"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var lua embed.FS

// A script is a file in lua, whose first lines say what it does and which arguments
// it takes. The server runs it as one atomic step. It is sent by its hash (EVALSHA), and
// whole if the server does not know it yet.
//
// It is built when it is first used: the library hashes its text, and a call of the
// program uses few.
type script func() *redis.Script

var (
	// The session. save and remove ask for a version, end asks for nothing.
	readScript    = onSession("read")
	restoreScript = onSession("restore")
	saveScript    = onSession("save")
	removeScript  = onSession("remove")
	endScript     = onSession("end")
	purgeScript   = bare("purge")

	// A move: its three steps, and what takes them back or removes what they left.
	placeScript     = onSession("place")
	leaveScript     = onSession("leave")
	confirmScript   = onSession("confirm")
	undoScript      = onSession("undo")
	backScript      = onSession("back")
	forgetScript    = onSession("forget")
	abandonedScript = onSession("abandoned")

	// The lock.
	holdScript    = onSession("hold")
	renewScript   = onSession("renew")
	releaseScript = onSession("release")
	whoseScript   = onSession("whose")

	// The sweep.
	foreignScript = onSession("foreign")
	sweptScript   = bare("swept")
)

// onSession returns a script that works on a session: the numbers that it shares with
// this package, the prelude, and the file of this name.
func onSession(name string) script {
	return sync.OnceValue(func() *redis.Script {
		numbers := fmt.Sprintf("local LEASE, RIDS, RID = %d, %d, %d\n", milliseconds(leaseTime), ridsKept, ridSize)
		return redis.NewScript(numbers + source("prelude") + source(name))
	})
}

// bare returns a script without the prelude.
func bare(name string) script {
	return sync.OnceValue(func() *redis.Script { return redis.NewScript(source(name)) })
}

// source returns the text of a file in lua.
func source(name string) string {
	text, err := lua.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // no file has the name of a script above
	}
	return string(text)
}

// retryFlag is a placeholder argument of run: 1 on a retry, else 0.
type retryFlag struct{}

// flag encodes a boolean for a script.
func flag(on bool) int {
	if on {
		return 1
	}
	return 0
}

// milliseconds returns a time in whole ms, rounded up: to the scripts 0 means no limit.
func milliseconds(d time.Duration) int64 {
	return d.Milliseconds() + int64(flag(d%time.Millisecond > 0))
}

// run runs a script on the session's key, and returns its reply; see refused for those
// that are no success. args come after the four arguments that all scripts have
// (lua/prelude.lua). With Durable, a script that changes the session succeeds only once
// a replica has the change; else the error is errNotReplicated.
func (s *Store) run(script script, handle string, changes bool, args ...any) (reply, error) {
	lifetime := int64(-1)
	if s.opts.Lifetime > 0 {
		lifetime = int64(s.opts.Lifetime / time.Second)
	}
	all := append([]any{
		s.lock.tokenAt(handle), flag(s.opts.LockElsewhere), milliseconds(s.opts.Timeout), lifetime,
	}, args...)
	var r reply
	err := s.attempt(func(ctx context.Context, try int) (err error) {
		sent := make([]any, len(all))
		for i, arg := range all {
			if _, ok := arg.(retryFlag); ok {
				arg = min(try, 1)
			}
			sent[i] = arg
		}
		var v any
		if changes && s.opts.Durable {
			v, err = s.replicated(ctx, script, handle, sent)
		} else {
			v, err = script().Run(ctx, s.client, []string{s.key(handle)}, sent...).Result()
		}
		if r, _ = v.([]any); err == nil && len(r) == 0 {
			err = errNoRedis
		}
		return err
	})
	return r, err
}
