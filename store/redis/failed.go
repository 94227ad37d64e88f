//go:build redis

package redis

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"

	"cgisession/store"
)

// errNoRedis says that an answer is none of Redis. It does not repeat the answer,
// which may hold a value.
var errNoRedis error = answerError{"that is no answer of Redis; see whether the URL names the right server"}

// answerError says what is wrong with an answer, without a word of it.
type answerError struct{ text string }

func (e answerError) Error() string { return e.text }

// dialError is a failure to connect, which no server's text is part of.
type dialError struct{ error }

func (e dialError) Unwrap() error { return e.error }

// redisError makes an error one that the server gave, for the library, and that is final
// for this package: failed repeats its text as it is.
type redisError struct{ error }

func (redisError) RedisError()     {}
func (e redisError) Unwrap() error { return e.error }

// unavailable returns [store.ErrUnavailable] with the server and the reason.
func (s *Store) unavailable(err error) error {
	return fmt.Errorf("redis %s: %w: %w", s.where, store.ErrUnavailable, err)
}

// failed returns the error of a request in words for an operator, as
// [store.ErrUnavailable]. A message of the server is repeated, with advice. The library's
// own messages about answers are not, since they hold the answer, and so perhaps a
// secret: what is not known here is errNoRedis.
func (s *Store) failed(err error) error {
	var said redis.Error
	var connecting dialError
	var answer answerError
	op, broken := errors.AsType[*net.OpError](err)
	switch {
	case errors.Is(err, redis.Nil): // in place of something
		err = errNoRedis
	case errors.As(err, &said):
		if final := (redisError{}); errors.As(err, &final) {
			break
		}
		err = errors.New(hint(said.Error()))
	case isTimeout(err):
		err = errors.New("no answer in time")
	case broken:
		err = op.Err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("it closed the connection")
	case errors.As(err, &answer):
		err = answer
	case errors.As(err, &connecting):
		err = connecting.error
	default:
		err = errNoRedis
	}
	return s.unavailable(err)
}

// maxSaid is how many bytes of a server's error are repeated.
const maxSaid = 200

// hint adds to a server's error what to do about it. Its first word is its kind (Redis
// serialization protocol specification). The arguments of the request, which some
// servers repeat, are left out.
func hint(said string) string {
	said, _, _ = strings.Cut(said, ", with args")
	said = strings.TrimSuffix(said[:min(len(said), maxSaid)], ".")
	for word, advice := range map[string]string{
		"NOAUTH":    "set --redis-password-file",
		"WRONGPASS": "see --redis-password-file and the URL's user",
		"READONLY":  "name the master, or use redis+sentinel://",
		"OOM":       "give it more memory, or set shorter timeouts",
		"MISCONF":   "see the server's log; it cannot write its files",
		"NOPERM":    "allow the user the keys and commands that the manual names",
	} {
		if strings.HasPrefix(said, word) {
			return said + "; " + advice
		}
	}
	return said
}
