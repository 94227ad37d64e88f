//go:build redis

package redis

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"cgisession/store"
)

// How long a server may take: to answer once, and for a whole call.
const (
	answerTime = 500 * time.Millisecond
	callTime   = 2 * time.Second

	// maxAttempts is how often a request is sent that no answer comes to.
	maxAttempts = 3
	attemptGap  = 50 * time.Millisecond
)

// A budget is the time that servers have for a call. What is waited for on
// purpose, as a lock is, does not count.
type budget struct {
	mu    sync.Mutex
	once  bool          // the whole program is one call
	spent time.Duration // on requests of this call
	lost  time.Duration // of all that, on those that no answer came to
	last  error         // why not
}

// begin begins a call. What was lost stays lost: who is in want of an answer
// again and again does not wait for each anew.
func (b *budget) begin() {
	if !b.once {
		b.waited()
	}
}

// waited says that a call went on after a wait on purpose.
func (b *budget) waited() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent = b.lost
}

func (b *budget) left() (time.Duration, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return callTime - b.spent, b.last
}

func (b *budget) spend(d time.Duration, failed error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent += d
	if failed != nil {
		b.lost += d
		b.last = failed
	}
}

// attempt sends a request, and sends it again where no answer came: it must be
// such that this does no harm.
func (s *Store) attempt(send func(ctx context.Context, try int) error) error {
	left, before := s.time.left()
	if left <= 0 {
		return s.failed(cmp.Or(before, context.DeadlineExceeded))
	}
	ctx, cancel := context.WithTimeout(context.Background(), left)
	defer cancel()
	began := time.Now()
	var failed error
	defer func() { s.time.spend(time.Since(began), failed) }()
	for try := 0; ; try++ {
		err := send(ctx, try)
		if err == nil {
			return nil
		}
		failed = err
		if !worthAnother(err) || try+1 == maxAttempts || ctx.Err() != nil {
			return s.failed(err)
		}
		time.Sleep(attemptGap)
	}
}

// worthAnother reports whether the request may yet be answered: the server said
// nothing, or that it is between two states; or a replica may only be slow.
func worthAnother(err error) bool {
	if errors.Is(err, errNotReplicated) {
		return true
	}
	var said redis.Error
	if !errors.As(err, &said) {
		var certificate *tls.CertificateVerificationError
		return !errors.As(err, &certificate) && unanswered(err)
	}
	for _, word := range []string{"TRYAGAIN", "CLUSTERDOWN", "MOVED", "ASK"} {
		if strings.HasPrefix(said.Error(), word) {
			return true
		}
	}
	return false
}

// unanswered reports whether an error is that there was no answer, rather than that
// it made no sense.
func unanswered(err error) bool {
	var connecting dialError
	_, broken := errors.AsType[*net.OpError](err)
	return broken || isTimeout(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &connecting)
}

// failed says what the server, or the way to it, has. The library's messages
// about answers are left out, since they repeat them.
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
	return fmt.Errorf("redis %s: %w: %w", s.where, store.ErrUnavailable, err)
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// maxSaid is how many bytes of a server's error are repeated.
const maxSaid = 200

// hint adds what to do to what a server says. The arguments of a request, which
// some servers repeat, are left out.
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
