//go:build redis

package redis

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"
)

// hashes returns some fields of each of these handles' hashes; those that are not
// there, or of what is no hash, are empty.
func (s *Store) hashes(handles []string, fields ...string) ([][]string, error) {
	var asked []*redis.Cmd
	err := s.attempt(func(ctx context.Context, _ int) error {
		asked = nil
		s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, handle := range handles {
				asked = append(asked, hmget(ctx, p, s.key(handle), fields...))
			}
			return nil
		})
		for _, a := range asked {
			if err := answered(a, len(fields)); err != nil {
				return err
			}
		}
		return nil
	})
	found := make([][]string, len(handles))
	for i := range asked {
		found[i] = texts(asked[i], len(fields))
	}
	return found, err
}

// hmget asks for fields of a hash. The library's own command for this takes a
// number for the length of an array.
func hmget(ctx context.Context, to doer, key string, fields ...string) *redis.Cmd {
	return to.Do(ctx, append([]any{"hmget", key}, anys(fields)...)...)
}

// doer is what sends any command: a client or a pipeline.
type doer interface {
	Do(ctx context.Context, args ...any) *redis.Cmd
}

// answered returns why there is no answer of n fields, unless it is that the key
// is of another type.
func answered(asked *redis.Cmd, n int) error {
	switch list, err := asked.Slice(); {
	case asked.Err() != nil && strings.HasPrefix(asked.Err().Error(), "WRONGTYPE"):
		return nil
	case asked.Err() != nil:
		return asked.Err()
	case err != nil || len(list) != n:
		return errNoRedis
	}
	return nil
}

// texts returns the n fields that a server sent.
func texts(asked *redis.Cmd, n int) []string {
	f := make([]string, n)
	list, _ := asked.Slice()
	for i, v := range list[:min(len(list), n)] {
		f[i], _ = v.(string)
	}
	return f
}
