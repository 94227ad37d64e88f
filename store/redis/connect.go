//go:build redis

package redis

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"cgisession/store"
)

// Config says where the sessions are.
type Config struct {
	// URL has one of the forms that go-redis reads, with its scheme telling how
	// many servers there are behind it:
	//
	//	redis://[USER[:PASSWORD]@]HOST[:PORT][/DB]                one; rediss:// with TLS
	//	redis://HOST:PORT?addr=HOST:PORT…                         a cluster
	//	redis+cluster://HOST:PORT                                 the same, by one address
	//	redis+sentinel://HOST:PORT?master_name=NAME[&addr=…]      one that Sentinel knows
	//	unix://[USER[:PASSWORD]@]PATH[?db=DB]                     one on this machine
	URL      string
	Password string // in place of the URL's, unless empty
	CA       []byte // PEM; nil: the system's
	Prefix   string // of all keys

	// Once says that all that is done with the store is one call, and shares the
	// time of one.
	Once bool

	largest int64 // bytes of an answer
}

// quiet keeps the client's own messages from stderr, which has one line for an
// error.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// prefixForm is what a prefix may be: no character of a pattern or a hash tag.
var prefixForm = regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,64}$`)

// Open returns the store. It does not connect yet.
func Open(c Config, opts store.Options) (*Store, error) {
	redis.SetLogger(quiet{})
	if !prefixForm.MatchString(c.Prefix) {
		return nil, fmt.Errorf("%w: --redis-prefix must be 1 to 64 characters A-Z a-z 0-9 _ . : -", store.ErrConfig)
	}
	c.largest = largestAnswer(opts)
	client, where, err := c.client()
	if err != nil {
		return nil, fmt.Errorf("%w: --redis-url: %w", store.ErrConfig, err)
	}
	s := &Store{client: client, prefix: c.Prefix, where: where, opts: opts, time: &budget{once: c.Once}, lost: new(sync.Once)}
	if cluster, ok := client.(*redis.ClusterClient); ok {
		s.node = func(addr string) *redis.Client { return nodeOf(cluster.Options(), addr) }
	}
	return s, nil
}

// HasPassword reports whether the URL holds a password.
func HasPassword(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return strings.Contains(text, "@")
	}
	_, has := u.User.Password()
	return has || u.Query().Has("password")
}

// errURL says that a URL is none. The library's own message would repeat it,
// and with it the password.
var (
	errURL    = errors.New("no URL such as redis://HOST:PORT/0, rediss://…, redis+sentinel://HOST:PORT?master_name=NAME or redis+cluster://HOST:PORT")
	errEscape = errors.New("its password has characters that end it; write / ? # @ as %2F %3F %23 %40, or use --redis-password-file")
)

// client makes the client that the URL asks for.
func (c Config) client() (redis.UniversalClient, string, error) {
	u, err := url.Parse(c.URL)
	if strings.Contains(c.URL, "@") && (err != nil || u.User == nil) {
		return nil, "", errEscape // else a part of it would be taken for the host
	}
	if err != nil || (u.Host == "") != (u.Scheme == "unix") {
		return nil, "", errURL
	}
	if u.Query().Has("skip_verify") {
		return nil, "", errors.New("skip_verify: certificates are always verified; name a --redis-ca-file")
	}
	kind := ""
	if scheme, rest, ok := strings.Cut(u.Scheme, "+"); ok {
		u.Scheme, kind = scheme, rest
	} else if u.Query().Has("addr") {
		kind = "cluster"
	}
	var client redis.UniversalClient
	switch kind {
	case "":
		client, err = c.single(u.String())
	case "cluster":
		client, err = c.cluster(u.String())
	case "sentinel":
		client, err = c.sentinel(u.String())
	default:
		err = errURL
	}
	where := u.Host
	if u.Scheme == "unix" {
		where = u.Path
	}
	return client, where, err
}

// single is the client of one server.
func (c Config) single(text string) (redis.UniversalClient, error) {
	o, err := redis.ParseURL(text)
	if err != nil {
		return nil, errURL
	}
	if c.Password != "" {
		o.Password = c.Password
	}
	if err := c.trust(o.TLSConfig); err != nil {
		return nil, err
	}
	o.Dialer = c.dialer(o.TLSConfig)
	return newClient(o), nil
}

// newClient returns the client of one server, whose time and number of tries are
// up to this package.
func newClient(o *redis.Options) *redis.Client {
	o.Protocol, o.MaxRetries, o.DialerRetries = 2, -1, 1
	o.ReadTimeout, o.WriteTimeout, o.ContextTimeoutEnabled = answerTime, answerTime, true
	o.DialTimeout = callTime // the dialer has its own; it may have to ask Sentinel first
	o.PoolSize, o.PipelinePoolSize, o.DisableIdentity = 4, -1, true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(o)
}

// maxRedirects is how often a cluster may send a request elsewhere, as it does
// while it moves slots.
const maxRedirects = 8

// cluster is the client of a cluster.
func (c Config) cluster(text string) (redis.UniversalClient, error) {
	o, err := redis.ParseClusterURL(text)
	if err != nil {
		return nil, errURL
	}
	if c.Password != "" {
		o.Password = c.Password
	}
	o.ReadOnly, o.RouteByLatency, o.RouteRandomly = false, false, false
	o.DisableRoutingPolicies = true // they would cost a COMMAND
	o.Protocol, o.MaxRetries, o.MaxRedirects = 2, -1, maxRedirects
	o.ReadTimeout, o.WriteTimeout, o.ContextTimeoutEnabled = answerTime, answerTime, true // of pipelines
	if err := c.trust(o.TLSConfig); err != nil {
		return nil, err
	}
	o.Dialer, o.NewClient = c.dialer(o.TLSConfig), newNode
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClusterClient(o), nil
}

// newNode returns the client of one server of a cluster.
func newNode(o *redis.Options) *redis.Client {
	node := newClient(o)
	node.AddHook(mapCheck{})
	return node
}

// nodeOf returns a client, apart from the cluster's own, of the server at an
// address.
func nodeOf(o *redis.ClusterOptions, addr string) *redis.Client {
	return newNode(&redis.Options{Addr: addr, Username: o.Username, Password: o.Password, Dialer: o.Dialer})
}

// dialer connects, with TLS where it is used. Each server has to show a
// certificate for the very address by which it is reached, which Sentinel or the
// cluster may have named.
func (c Config) dialer(t *tls.Config) dial {
	d := &net.Dialer{Timeout: answerTime}
	connect := d.DialContext
	if t != nil {
		connect = (&tls.Dialer{NetDialer: d, Config: t}).DialContext
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if !isAddress(addr) {
			return nil, errNoRedis
		}
		conn, err := connect(ctx, network, addr)
		if err != nil {
			return nil, dialError{err}
		}
		return guarded(conn, c.largest), nil
	}
}

// dial connects to a server.
type dial = func(ctx context.Context, network, addr string) (net.Conn, error)

// dialError is a failure to connect, which no server's text is part of.
type dialError struct{ error }

func (e dialError) Unwrap() error { return e.error }

// isAddress reports whether a text, which another server may have sent, can be the
// address of one: a host name has up to 255 bytes (RFC 1035, section 2.3.4).
func isAddress(text string) bool {
	blank := func(r rune) bool { return r <= ' ' || r > '~' }
	return len(text) <= 300 && !strings.ContainsFunc(text, blank)
}

// trust has TLS, if it is used, trust the authority that was named, and no other,
// and ask each server for its own name, not for that of the URL.
func (c Config) trust(t *tls.Config) error {
	switch {
	case t == nil && c.CA != nil:
		return errors.New("--redis-ca-file goes with TLS, a URL of the scheme rediss")
	case t == nil:
		return nil
	}
	t.MinVersion, t.ServerName = tls.VersionTLS12, ""
	if c.CA == nil {
		return nil
	}
	t.RootCAs = x509.NewCertPool()
	if !t.RootCAs.AppendCertsFromPEM(c.CA) {
		return errors.New("--redis-ca-file holds no certificate in PEM")
	}
	return nil
}

// reply is a script's answer: the state first.
type reply []any

func (r reply) state() string { return r.text(0) }

func (r reply) text(i int) string {
	if i >= len(r) {
		return ""
	}
	text, _ := r[i].(string)
	return text
}

func (r reply) int(i int) (n int64) {
	fmt.Sscanf(r.text(i), "%d", &n)
	return n
}

func (r reply) uint(i int) uint64 { return uint64(r.int(i)) }

// again stands for whether the request is sent another time.
type again struct{}

// run runs a script on the session's key. One that changes the session is, with
// Durable, reported only once a replica has it.
func (s *Store) run(script script, handle string, changes bool, args ...any) (reply, error) {
	lifetime := int64(-1)
	if s.opts.Lifetime > 0 {
		lifetime = int64(s.opts.Lifetime / time.Second)
	}
	token := s.opts.LockToken
	if s.void && handle != s.lockedHandle() {
		token = ""
	}
	all := append([]any{token, flag(s.opts.LockElsewhere), s.opts.Timeout.Milliseconds(), lifetime}, args...)
	var r reply
	err := s.attempt(func(ctx context.Context, try int) (err error) {
		sent := make([]any, len(all))
		for i, arg := range all {
			if _, ok := arg.(again); ok {
				arg = min(try, 1)
			}
			sent[i] = arg
		}
		var v any
		if changes && s.opts.Durable {
			v, err = s.replicated(ctx, script, handle, sent)
		} else {
			v, err = script().Run(ctx, s.client, []string{s.key(handle)}, sent...).Result()
		}
		if r, _ = v.([]any); err == nil && len(r) == 0 {
			err = errNoRedis
		}
		return err
	})
	return r, err
}

// errNotReplicated says that a change is on the master alone.
var errNotReplicated = errors.New("the change is stored, but no replica confirmed it, as --durable wants")

// replicated runs a script and waits until a replica has what it did. Both go
// over one connection, since WAIT is about that; so in a cluster it follows by
// itself where a server sends it on.
func (s *Store) replicated(ctx context.Context, script script, handle string, args []any) (any, error) {
	key := s.key(handle)
	cluster, ok := s.client.(*redis.ClusterClient)
	if !ok {
		return runAndWait(ctx, s.client, script, key, args)
	}
	master, err := cluster.MasterForKey(ctx, key)
	if err != nil {
		return nil, err
	}
	from := master.Options().Addr
	v, err := runAndWait(ctx, master, script, key, args)
	for range maxRedirects {
		addr, asking := sentOn(err, from)
		if addr == "" {
			break
		}
		node := s.node(addr)
		from = addr
		if asking {
			v, err = runAndWait(ctx, node, script, key, args, "ASKING")
		} else {
			v, err = runAndWait(ctx, node, script, key, args)
		}
		node.Close()
	}
	if err != nil {
		cluster.ReloadState(ctx)
	}
	return v, err
}

// sentOn returns where a server of a cluster sends a request, and whether that
// has to be asked for; empty: nowhere. An address may lack the host, which then
// is the same.
func sentOn(err error, from string) (addr string, asking bool) {
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

// waitTime is how long a replica may take: less than the server may, and less than
// is left for the call, so that the server says no before its answer counts as lost.
func waitTime(ctx context.Context) time.Duration {
	left := answerTime
	if end, ok := ctx.Deadline(); ok {
		left = min(left, time.Until(end))
	}
	return max(left*4/5, time.Millisecond) // 0 would be without end
}

// runAndWait sends the words of first, a script and WAIT, all at once.
func runAndWait(ctx context.Context, node redis.Cmdable, script script, key string, args []any, first ...any) (any, error) {
	var ran, replicas *redis.Cmd
	_, err := node.Pipelined(ctx, func(p redis.Pipeliner) error {
		if len(first) > 0 {
			p.Do(ctx, first...)
		}
		ran = script().Eval(ctx, p, []string{key}, args...)
		replicas = p.Do(ctx, "WAIT", 1, waitTime(ctx).Milliseconds())
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

// redisError makes an error one that the server gave, and that is final.
type redisError struct{ error }

func (redisError) RedisError()     {}
func (e redisError) Unwrap() error { return e.error }
