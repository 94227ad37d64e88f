//go:build !redis

package cmd

import (
	"fmt"

	"cgisession/store"
)

// What the help says of Redis: nothing.
const (
	shownRedis group = 0
	typeUsage        = "keep sessions as `TYPE`: file (also called dbm); memory: on a RAM file system"
)

// openRedis returns an error that says how to build the program with Redis. This
// build is without it: the client library would make every call start more slowly.
func (o *options) openRedis(store.Options) (store.Backend, error) {
	return nil, fmt.Errorf("%w: this program was built without --type redis; build it with scripts/build --redis",
		store.ErrConfig)
}
