//go:build redis

package redis

import (
	"cmp"
	"context"
	"errors"
	"net"

	"github.com/redis/go-redis/v9"
)

// sentinel returns the client of the server that Sentinel names as the master. The
// URL's own user and password are for Sentinel.
//
// Each new connection asks the Sentinels anew, so after a fail-over it goes to the new
// master. The library's own client for this crashes if a Sentinel's answer has no
// address. It also listens for the next fail-over, which most calls do not live to see.
func (c Config) sentinel(text string) (redis.UniversalClient, error) {
	u, err := redis.ParseFailoverURL(text)
	if err != nil {
		return nil, errURL
	}
	if u.MasterName == "" {
		return nil, errors.New("master_name missing: say which master of Sentinel's is meant")
	}
	connect, err := c.dialer(u.TLSConfig)
	if err != nil {
		return nil, err
	}
	ask := func(ctx context.Context, addr string) (string, error) {
		client := redis.NewClient(c.options(connect, u.SentinelUsername, u.SentinelPassword, addr).Simple())
		defer client.Close()
		return askSentinel(ctx, client, u.MasterName)
	}
	toMaster := func(ctx context.Context, network, _ string) (net.Conn, error) {
		addr, err := firstOf(ctx, u.SentinelAddrs, ask)
		if err != nil {
			return nil, err
		}
		return connect(ctx, network, addr)
	}
	o := c.options(toMaster, u.Username, cmp.Or(c.Password, u.Password))
	o.DB, o.ClientName = u.DB, u.ClientName
	return redis.NewClient(o.Simple()), nil
}

// firstOf asks all Sentinels at once, and returns the first answer; if none answers, the
// error of the last. Those that are slower are left to end by themselves, within the
// time of the request.
func firstOf(ctx context.Context, sentinels []string,
	ask func(ctx context.Context, addr string) (string, error)) (master string, err error) {
	type answer struct {
		master string
		err    error
	}
	answers := make(chan answer, len(sentinels))
	for _, addr := range sentinels {
		go func() {
			master, err := ask(ctx, addr)
			answers <- answer{master, err}
		}()
	}
	for range sentinels {
		a := <-answers
		if a.err == nil {
			return a.master, nil
		}
		err = a.err
	}
	return "", err
}

// errNoMaster says that Sentinel knows no master of the name. It is final: the same
// Sentinel would answer so again.
var errNoMaster = redisError{errors.New("no master has this master_name; see SENTINEL MASTERS")}

// askSentinel asks one Sentinel for the address of the master, HOST:PORT. Its answer is
// a list of the two, or null (Redis documentation, Sentinel client specification).
func askSentinel(ctx context.Context, client *redis.Client, master string) (string, error) {
	at, err := client.Do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", master).StringSlice()
	switch {
	case errors.Is(err, redis.Nil):
		return "", errNoMaster
	case err == nil && len(at) != 2: // host and port
		return "", errNoRedis
	case err != nil:
		return "", err
	}
	return net.JoinHostPort(at[0], at[1]), nil
}
