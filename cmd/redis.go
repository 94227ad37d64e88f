//go:build redis

package cmd

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"cgisession/store"
	"cgisession/store/redis"
)

const hasRedis = true

// openRedis returns the store in Redis.
func (o *options) openRedis(opts store.Options) (store.Backend, error) {
	config := redis.Config{URL: o.redis.url, Prefix: o.redis.prefix, Once: !o.anyLock}
	if o.redis.passwordFile != "" {
		text, err := readSecretFile(o.redis.passwordFile)
		if err != nil {
			return nil, fmt.Errorf("%w: password file %s: %w", store.ErrConfig, o.redis.passwordFile, err)
		}
		if config.Password = strings.TrimRight(string(text), "\r\n"); config.Password == "" {
			return nil, fmt.Errorf("%w: password file %s: it is empty", store.ErrConfig, o.redis.passwordFile)
		}
	}
	if o.redis.caFile != "" {
		var err error
		if config.CA, err = readRegular(o.redis.caFile, 0, maxCAFile, noCheck); err != nil {
			return nil, fmt.Errorf("%w: CA file %s: %w", store.ErrConfig, o.redis.caFile, err)
		}
	}
	return redis.Open(config, opts)
}

// maxCAFile bounds a file of certificates, in bytes. Debian's file of all authorities
// has 220 KB.
const maxCAFile = 1 << 20

// noCheck accepts a file of any owner and mode: certificates are no secret.
func noCheck(*unix.Stat_t) error { return nil }
