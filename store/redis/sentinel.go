//go:build redis

package redis

import (
	"context"
	"errors"
	"net"

	"github.com/redis/go-redis/v9"
)

// sentinel is the client of the server that Sentinel says is the master. The
// URL's own user and password are for Sentinel.
//
// The library's own client for this crashes where a Sentinel's answer has no
// address, and listens for the next fail-over, which most calls do not live to see.
func (c Config) sentinel(text string) (redis.UniversalClient, error) {
	o, err := redis.ParseFailoverURL(text)
	if err != nil {
		return nil, errURL
	}
	if o.MasterName == "" {
		return nil, errors.New("master_name missing: say which master of Sentinel's is meant")
	}
	if c.Password != "" {
		o.Password = c.Password
	}
	if err := c.trust(o.TLSConfig); err != nil {
		return nil, err
	}
	connect := c.dialer(o.TLSConfig)
	master := func(ctx context.Context, network, _ string) (net.Conn, error) {
		addr, err := masterOf(ctx, o, connect)
		if err != nil {
			return nil, err
		}
		return connect(ctx, network, addr)
	}
	return newClient(&redis.Options{Username: o.Username, Password: o.Password, DB: o.DB, Dialer: master}), nil
}

// masterOf asks all Sentinels at once, and returns the address that the first to
// answer says.
func masterOf(ctx context.Context, o *redis.FailoverOptions, connect dial) (addr string, err error) {
	type answer struct {
		addr string
		err  error
	}
	answers := make(chan answer, len(o.SentinelAddrs))
	for _, sentinel := range o.SentinelAddrs {
		go func() {
			addr, err := askSentinel(ctx, sentinel, o, connect)
			answers <- answer{addr, err}
		}()
	}
	for range o.SentinelAddrs {
		a := <-answers
		if a.err == nil {
			return a.addr, nil
		}
		err = a.err
	}
	return "", err
}

// errNoMaster says that Sentinel knows no master of the name.
var errNoMaster = redisError{errors.New("no master has this master_name; see SENTINEL MASTERS")}

// askSentinel asks one Sentinel for the address of the master.
func askSentinel(ctx context.Context, sentinel string, o *redis.FailoverOptions, connect dial) (string, error) {
	client := newClient(&redis.Options{Addr: sentinel, Username: o.SentinelUsername, Password: o.SentinelPassword, Dialer: connect})
	defer client.Close()
	at, err := client.Do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", o.MasterName).StringSlice()
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
