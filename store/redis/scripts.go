//go:build redis

package redis

import (
	"embed"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var lua embed.FS

// A script is a file in lua, whose first lines say what it does and which arguments
// it takes. It is built when it is first used: the library hashes its text, and a call
// of the program uses few.
type script func() *redis.Script

var (
	readScript    = onSession("read")
	restoreScript = onSession("restore")
	saveScript    = onSession("save")
	removeScript  = onSession("remove")
	endScript     = onSession("end")
	purgeScript   = bare("purge")

	placeScript     = onSession("place")
	leaveScript     = onSession("leave")
	confirmScript   = onSession("confirm")
	undoScript      = onSession("undo")
	backScript      = onSession("back")
	forgetScript    = onSession("forget")
	abandonedScript = onSession("abandoned")

	holdScript    = onSession("hold")
	renewScript   = onSession("renew")
	releaseScript = onSession("release")
	whoseScript   = onSession("whose")

	foreignScript = onSession("foreign")
	sweptScript   = bare("swept")
)

// onSession returns a script that works on a session: the numbers that it shares with
// this package, the prelude, and the file of this name.
func onSession(name string) script {
	return sync.OnceValue(func() *redis.Script {
		numbers := fmt.Sprintf("local LEASE, RIDS, RID = %d, %d, %d\n", leaseTime.Milliseconds(), ridsKept, 2*8)
		return redis.NewScript(numbers + source("prelude") + source(name))
	})
}

// bare returns a script without the prelude.
func bare(name string) script {
	return sync.OnceValue(func() *redis.Script { return redis.NewScript(source(name)) })
}

func source(name string) string {
	text, err := lua.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // no file has the name of a script above
	}
	return string(text)
}
