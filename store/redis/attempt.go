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

// How long servers may take. A visitor of a web site waits meanwhile, and a web server
// ends a CGI script that takes too long.
const (
	answerTime = 500 * time.Millisecond // for one answer
	callTime   = 2 * time.Second        // for a whole call, with all its requests

	// maxAttempts is how often a request is sent that gets no answer, and attemptGap
	// how long it waits between: a server that restarts needs some time.
	maxAttempts = 3
	attemptGap  = 50 * time.Millisecond
)

// A budget is the time that servers have for a call: callTime. A wait on purpose, as for
// a lock, does not count, and a call that works on many sessions has the whole time for
// each round trip (waited).
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

// waited is called after a wait on purpose, and gives back the time that was spent on
// requests with an answer.
func (b *budget) waited() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent = b.wasted
}

// left returns the time that is left of the call; if that is 0 or less, the error is why
// the last request got no answer, if one got none.
func (b *budget) left() (time.Duration, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return callTime - b.spent, b.last
}

// spend counts the time of a request; failed is why it got no answer in the end.
func (b *budget) spend(d time.Duration, failed error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent += d
	if failed != nil {
		b.wasted += d
		b.last = failed
	}
}

// A stopwatch is the context of a request. Its deadline is when the server has used
// up the time that is left of the call.
//
// The library asks for the deadline before each step that waits for a server: to
// connect, write or read. No step waits longer than answerTime. If more time than that
// is between two of them, this process was stopped, or waited for the processor, and
// the excess is not counted: the server is not to blame for it. So the deadline may
// move, but only to a later time.
type stopwatch struct {
	context.Context // without values, never cancelled
	limit           time.Duration

	mu    sync.Mutex
	spent time.Duration
	last  time.Time // when spent was last counted
}

// startStopwatch returns a running stopwatch with this much time.
func startStopwatch(limit time.Duration) *stopwatch {
	return &stopwatch{Context: context.Background(), limit: limit, last: time.Now()}
}

// lap counts the time since the last lap, and returns the sum of all.
func (w *stopwatch) lap() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.spent += min(now.Sub(w.last), answerTime)
	w.last = now
	return w.spent
}

// Deadline implements [context.Context].
func (w *stopwatch) Deadline() (time.Time, bool) { return time.Now().Add(w.limit - w.lap()), true }

// attempt calls send, which sends one request, or several in one round trip. It calls it
// again, up to maxAttempts in all, if no answer came: a request that was carried out
// must do no harm when it is sent again. try counts from 0. No new try begins once the
// time of the call is over.
//
// The error is [store.ErrUnavailable], in words for an operator (failed).
func (s *Store) attempt(send func(ctx context.Context, try int) error) error {
	left, before := s.budget.left()
	if left <= 0 {
		return s.failed(cmp.Or(before, context.DeadlineExceeded))
	}
	watch := startStopwatch(left)
	var unconfirmed error // what an earlier try learned: errNotReplicated
	for try := 0; ; try++ {
		err := send(watch, try)
		spent := watch.lap()
		switch {
		case errors.Is(err, errNotReplicated):
			unconfirmed = err
		case err != nil && unanswered(err):
			err = cmp.Or(unconfirmed, err) // says more than that an answer was late
		}
		if err == nil {
			s.budget.spend(spent, nil)
			return nil
		}
		if !worthAnother(err) || try+1 == maxAttempts || spent >= left {
			s.budget.spend(spent, err)
			return s.failed(err)
		}
		time.Sleep(attemptGap)
	}
}

// worthAnother reports whether the request may yet be answered: the server said
// nothing; or a cluster is moving slots or electing a master (TRYAGAIN, CLUSTERDOWN, and
// more redirections than the library follows); or a replica may only be slow. A
// certificate that is wrong stays wrong.
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
	closed := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	return broken || isTimeout(err) || closed || errors.As(err, &connecting)
}

// isTimeout reports whether an error means that time was over.
func isTimeout(err error) bool {
	var t net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}
