//go:build redis

package redis

import (
	"cmp"
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// errNotReplicated says that a change is on the master alone, and would be lost with it.
// A replica may only be slow, so the script is sent again, and finds its change made.
var errNotReplicated = errors.New("the change is stored, but no replica confirmed it, as --durable wants")

// replicated runs a script and waits until a replica has its change. WAIT answers for
// the changes of its own connection (Redis command reference, WAIT), so both go over
// the same. The library's cluster client cannot do that: where a server redirects the
// script, up to maxRedirects times, that is followed here.
func (s *Store) replicated(ctx context.Context, script script, handle string, args []any) (any, error) {
	key := s.key(handle)
	if s.cluster == nil {
		return runAndWait(ctx, s.client, script, key, args)
	}
	master, err := s.cluster.MasterForKey(ctx, key)
	if err != nil {
		return nil, err
	}
	from := master.Options().Addr
	v, err := runAndWait(ctx, master, script, key, args)
	for range maxRedirects {
		addr, asking := redirect(err, from)
		if addr == "" {
			break
		}
		node := s.cluster.node(addr)
		from = addr
		if asking {
			v, err = runAndWait(ctx, node, script, key, args, "ASKING")
		} else {
			v, err = runAndWait(ctx, node, script, key, args)
		}
		node.Close()
	}
	if err != nil {
		s.cluster.ReloadState(ctx)
	}
	return v, err
}

// redirect returns the server that a server of a cluster named in place of an
// answer, and whether ASKING must go first; empty: it named none. An address without
// a host means the same host (Redis cluster specification).
func redirect(err error, from string) (addr string, asking bool) {
	addr, asking = redis.IsAskError(err)
	if !asking {
		addr, _ = redis.IsMovedError(err)
	}
	at := strings.LastIndexByte(addr, ':')
	if at < 0 {
		return "", false
	}
	host := strings.Trim(addr[:at], "[]")
	if host == "" {
		host, _, _ = net.SplitHostPort(from)
	}
	return net.JoinHostPort(host, addr[at+1:]), asking
}

// waitTime returns how long a replica may take: less than the server may, and less
// than is left for the call, so that the server can still say that none confirmed.
func waitTime(ctx context.Context) time.Duration {
	left := answerTime
	if end, ok := ctx.Deadline(); ok {
		left = min(left, time.Until(end))
	}
	return max(left*4/5, time.Millisecond) // 0 would mean no limit
}

// runAndWait sends a script and WAIT at once, and before them the command first, if
// there is one. The script is sent whole (EVAL), since WAIT follows before the server
// could say that it does not know the script by its hash. It returns the script's reply,
// or errNotReplicated.
func runAndWait(ctx context.Context, node redis.Cmdable, script script, key string, args []any,
	first ...any) (any, error) {
	var ran, replicas *redis.Cmd
	_, err := node.Pipelined(ctx, func(p redis.Pipeliner) error {
		if len(first) > 0 {
			p.Do(ctx, first...)
		}
		ran = script().Eval(ctx, p, []string{key}, args...)
		replicas = p.Do(ctx, "WAIT", 1, milliseconds(waitTime(ctx)))
		return nil
	})
	v, failed := ran.Result()
	if failed != nil || err != nil {
		return nil, cmp.Or(failed, err)
	}
	if n, err := replicas.Int(); err != nil || n < 1 {
		return nil, redisError{errNotReplicated}
	}
	return v, nil
}
