//go:build redis

package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"cgisession/store"
)

// Config says where the sessions are, and how to get there.
type Config struct {
	// URL has one of these forms, which go-redis reads:
	//
	//	redis://[USER[:PASSWORD]@]HOST[:PORT][/DB]                one; rediss:// with TLS
	//	redis://HOST:PORT?addr=HOST:PORT…                         a cluster
	//	redis+cluster://HOST:PORT                                 the same, by one address
	//	redis+sentinel://HOST:PORT?master_name=NAME[&addr=…]      one that Sentinel knows
	//	unix://[USER[:PASSWORD]@]PATH[?db=DB]                     one on this machine
	//
	// Of its parameters count addr, db, client_name and, with Sentinel, master_name,
	// username and password, which are the master's; the URL's own user and password
	// are for the Sentinels then. What go-redis knows besides, such as pool_size or
	// read_timeout, is accepted and has no effect. Any other parameter is an error, and
	// so is skip_verify: certificates are always verified.
	URL      string
	Password string // of the server, in place of the URL's, unless empty
	CA       []byte // PEM; nil: the system's
	Prefix   string // of all keys

	// Once says that the whole life of the store is one call, and has the time of
	// one.
	Once bool

	largest int64    // bytes of an answer
	exposed *exposed // where connections without TLS are noted
}

// silent drops the client's own messages: stderr has one line for an error.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// prefixDigits are the characters of a prefix: those of patterns and of hash tags are
// left out.
const prefixDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-"

// Open returns the store. It does not connect yet, so the only error is that of a
// configuration that cannot work, [store.ErrConfig]. It never holds the URL.
func Open(c Config, opts store.Options) (*Store, error) {
	redis.SetLogger(silent{}) // the library has one for all clients, and no option for it
	if n := len(c.Prefix); n < 1 || n > 64 || strings.Trim(c.Prefix, prefixDigits) != "" {
		return nil, fmt.Errorf("%w: --redis-prefix must be 1 to 64 characters A-Z a-z 0-9 _ . : -", store.ErrConfig)
	}
	c.largest = largestAnswer(opts)
	s := &Store{
		prefix: c.Prefix,
		opts:   opts,
		lock:   lock{token: opts.LockToken, tell: new(sync.Once)},
		budget: &budget{once: c.Once},

		exposed: new(exposed),
	}
	c.exposed = s.exposed
	if err := s.setClient(c); err != nil {
		return nil, fmt.Errorf("%w: --redis-url: %w", store.ErrConfig, err)
	}
	return s, nil
}

// The errors of a URL. The library's own would repeat it, and with it the password.
var (
	errURL = errors.New("no URL such as redis://HOST:PORT/0, rediss://…, " +
		"redis+sentinel://HOST:PORT?master_name=NAME or redis+cluster://HOST:PORT")
	errEscape = errors.New("its password has characters that end it; " +
		"write / ? # @ as %2F %3F %23 %40, or use --redis-password-file")
)

// setClient sets the client that the URL asks for, what messages call the server, and,
// for a cluster, that.
func (s *Store) setClient(c Config) error {
	u, err := url.Parse(c.URL)
	if strings.Contains(c.URL, "@") && (err != nil || u.User == nil) {
		return errEscape // else a part of it would be taken for the host
	}
	if err != nil || (u.Host == "") != (u.Scheme == "unix") {
		return errURL
	}
	if u.Query().Has("skip_verify") {
		return errors.New("skip_verify: certificates are always verified; name a --redis-ca-file")
	}
	kind := ""
	if scheme, rest, ok := strings.Cut(u.Scheme, "+"); ok {
		u.Scheme, kind = scheme, rest
	} else if u.Query().Has("addr") {
		kind = "cluster"
	}
	if s.where = u.Host; u.Scheme == "unix" {
		s.where = u.Path
	}
	switch kind {
	case "":
		s.client, err = c.single(u.String())
	case "cluster":
		if s.cluster, err = c.cluster(u.String()); err == nil {
			s.client = s.cluster
		}
	case "sentinel":
		s.client, err = c.sentinel(u.String())
	default:
		err = errURL
	}
	return err
}

// maxRedirects is how often a cluster may send a request elsewhere, as it does
// while it moves slots.
const maxRedirects = 8

// options returns the options of every client: of a server, a cluster, a server of a
// cluster, and a Sentinel. This package itself limits times and repeats requests
// (attempt), and its guard checks answers in RESP2, so the library must not do these.
// Nor does it send what a short call has no use for: its own name and version, and the
// wish to be told of maintenance.
func (c Config) options(connect dial, user, password string, addrs ...string) *redis.UniversalOptions {
	return &redis.UniversalOptions{
		Addrs: addrs, Username: user, Password: password, Dialer: connect,
		Protocol:   2,
		MaxRetries: -1, DialerRetries: 1, MaxRedirects: maxRedirects,
		ReadTimeout: answerTime, WriteTimeout: answerTime, ContextTimeoutEnabled: true,
		DialTimeout: callTime, // the dialer has its own limit; it may have to ask Sentinel first
		PoolSize:    4, PipelinePoolSize: -1,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// single returns the client of one server. The library takes an address that begins
// with a slash for the path of a socket.
func (c Config) single(text string) (redis.UniversalClient, error) {
	u, err := redis.ParseURL(text)
	if err != nil {
		return nil, errURL
	}
	connect, err := c.dialer(u.TLSConfig)
	if err != nil {
		return nil, err
	}
	o := c.options(connect, u.Username, cmp.Or(c.Password, u.Password), u.Addr)
	o.DB, o.ClientName = u.DB, u.ClientName
	return redis.NewClient(o.Simple()), nil
}

// A cluster is the client of a cluster.
type cluster struct {
	*redis.ClusterClient
	// node makes a client of the server at an address, apart from the cluster's own.
	node func(addr string) *redis.Client
}

// cluster returns the client of a cluster.
func (c Config) cluster(text string) (*cluster, error) {
	u, err := redis.ParseClusterURL(text)
	if err != nil {
		return nil, errURL
	}
	connect, err := c.dialer(u.TLSConfig)
	if err != nil {
		return nil, err
	}
	o := c.options(connect, u.Username, cmp.Or(c.Password, u.Password), u.Addrs...)
	o.ClientName = u.ClientName
	all := o.Cluster()
	all.DisableRoutingPolicies = true // they would cost a COMMAND
	all.NewClient = newNode
	node := func(addr string) *redis.Client {
		return newNode(c.options(connect, o.Username, o.Password, addr).Simple())
	}
	return &cluster{redis.NewClusterClient(all), node}, nil
}

// newNode returns the client of one server of a cluster, with a check of the maps that
// it sends.
func newNode(o *redis.Options) *redis.Client {
	node := redis.NewClient(o)
	node.AddHook(mapCheck{})
	return node
}
