//go:build !redis

package cmd

import (
	"fmt"

	"cgisession/store"
)

// openRedis says how to get the program that has what this one lacks: the client
// would make every call of those who do not need it start more slowly.
func (o *options) openRedis(store.Options) (store.Backend, error) {
	return nil, fmt.Errorf("%w: this program was built without --type redis; build it with scripts/build --redis", store.ErrConfig)
}
