//go:build redis

package redis

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// How long a server may take: for one answer, and for a whole call.
const (
	answerTime = 500 * time.Millisecond
	callTime   = 2 * time.Second

	// maxAttempts is how often a request is sent that gets no answer.
	maxAttempts = 3
	attemptGap  = 50 * time.Millisecond
)

// A budget is the time that servers have for a call. A wait on purpose, as for a
// lock, does not count.
type budget struct {
	mu     sync.Mutex
	once   bool          // the whole program is one call
	spent  time.Duration // on requests of this call
	wasted time.Duration // of the whole program, on requests that got no answer
	last   error         // of the last of those
}

// begin begins a call. Time lost to unanswered requests stays spent, so that a dead
// server costs one callTime, however many calls there are.
func (b *budget) begin() {
	if !b.once {
		b.waited()
	}
}

// waited is called after a wait on purpose.
func (b *budget) waited() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent = b.wasted
}

func (b *budget) left() (time.Duration, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return callTime - b.spent, b.last
}

// spend counts the time of a request; failed is why a try of it got no answer.
func (b *budget) spend(d time.Duration, failed error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent += d
	if failed != nil {
		b.wasted += d
		b.last = failed
	}
}

// attempt sends a request, and sends it again where no answer came: that must do no
// harm.
func (s *Store) attempt(send func(ctx context.Context, try int) error) error {
	left, before := s.budget.left()
	if left <= 0 {
		return s.failed(cmp.Or(before, context.DeadlineExceeded))
	}
	ctx, cancel := context.WithTimeout(context.Background(), left)
	defer cancel()
	began := time.Now()
	var failed error
	defer func() { s.budget.spend(time.Since(began), failed) }()
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

// unanswered reports whether an error means that there was no answer, rather than
// one that makes no sense.
func unanswered(err error) bool {
	var connecting dialError
	_, broken := errors.AsType[*net.OpError](err)
	return broken || isTimeout(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &connecting)
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}
