//go:build redis

package redis

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"
)

// field returns one field of a session's hash, empty if it is not there.
func (s *Store) field(handle, name string) (string, error) {
	var text string
	err := s.attempt(func(ctx context.Context, _ int) (err error) {
		text, err = s.client.HGet(ctx, s.key(handle), name).Result()
		if err == redis.Nil {
			err = nil
		}
		return err
	})
	return text, err
}

// fields returns some fields of each session's hash, in one round trip: a list for each
// handle, in the order of the names. A field that is not there, or whose key is no hash,
// is empty.
func (s *Store) fields(handles []string, names ...string) ([][]string, error) {
	var asked []*redis.Cmd
	err := s.attempt(func(ctx context.Context, _ int) error {
		asked = nil
		s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, handle := range handles {
				asked = append(asked, hmget(ctx, p, s.key(handle), names...))
			}
			return nil
		})
		for _, a := range asked {
			if err := answered(a, len(names)); err != nil {
				return err
			}
		}
		return nil
	})
	all := make([][]string, len(handles))
	for i := range asked {
		all[i] = texts(asked[i], len(names))
	}
	return all, err
}

// doer sends any command: a client or a pipeline.
type doer interface {
	Do(ctx context.Context, args ...any) *redis.Cmd
}

// hmget asks for fields of a hash. The library's own HMGet is not used: it takes an
// integer in place of an array for the length of one, and allocates that.
func hmget(ctx context.Context, to doer, key string, names ...string) *redis.Cmd {
	return to.Do(ctx, append([]any{"hmget", key}, anys(names)...)...)
}

// answered returns why there is no answer of n fields: the server's error, or errNoRedis.
// That the key is of another type is an answer.
func answered(asked *redis.Cmd, n int) error {
	switch list, err := asked.Slice(); {
	case isWrongType(asked.Err()):
		return nil
	case asked.Err() != nil:
		return asked.Err()
	case err != nil || len(list) != n:
		return errNoRedis
	}
	return nil
}

// isWrongType reports whether a server says that a key is of another type.
func isWrongType(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "WRONGTYPE") }

// texts returns the n fields of an answer; those that are missing are empty.
func texts(asked *redis.Cmd, n int) []string {
	f := make([]string, n)
	list, _ := asked.Slice()
	for i, v := range list[:min(len(list), n)] {
		f[i], _ = v.(string)
	}
	return f
}

// anys returns texts as the arguments of a command.
func anys(texts []string) []any {
	all := make([]any, len(texts))
	for i, text := range texts {
		all[i] = text
	}
	return all
}
