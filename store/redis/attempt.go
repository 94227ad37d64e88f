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
	"sync/atomic"
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

	// tick is the unit in which a server's time is counted; see stopwatch.
	tick = 25 * time.Millisecond
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

// A stopwatch is the context of a request: it is cancelled when the server has used
// up its time. That is counted in ticks, of which a ticker drops all but one that
// come due while this process is stopped or waits for the processor (time.Ticker).
// So on a machine under heavy load a server is not blamed for this process's own
// waits.
type stopwatch struct {
	context.Context
	limit time.Duration
	began time.Time
	ticks atomic.Int64
}

// startStopwatch returns a running stopwatch, and what stops it.
func startStopwatch(limit time.Duration) (*stopwatch, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	w := &stopwatch{Context: ctx, limit: limit, began: time.Now()}
	go func() {
		defer cancel()
		ticker := time.NewTicker(tick)
		defer ticker.Stop()
		for w.spent() < limit {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				w.ticks.Add(1)
			}
		}
	}()
	return w, cancel
}

// spent returns how much time the server has used.
func (w *stopwatch) spent() time.Duration {
	return min(time.Since(w.began), time.Duration(w.ticks.Load()+1)*tick)
}

// Deadline implements [context.Context]: the earliest end of the time.
func (w *stopwatch) Deadline() (time.Time, bool) { return time.Now().Add(w.limit - w.spent()), true }

// attempt sends a request, and sends it again where no answer came: that must do no
// harm.
func (s *Store) attempt(send func(ctx context.Context, try int) error) error {
	left, before := s.budget.left()
	if left <= 0 {
		return s.failed(cmp.Or(before, context.DeadlineExceeded))
	}
	watch, stop := startStopwatch(left)
	defer stop()
	for try := 0; ; try++ {
		err := send(watch, try)
		if err == nil {
			s.budget.spend(watch.spent(), nil)
			return nil
		}
		if !worthAnother(err) || try+1 == maxAttempts || watch.Err() != nil {
			s.budget.spend(watch.spent(), err)
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

// isTimeout reports whether an error means that time was over. Only a stopwatch
// cancels a request.
func isTimeout(err error) bool {
	var t net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.As(err, &t) && t.Timeout()
}
