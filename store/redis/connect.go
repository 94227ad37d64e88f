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

// How long a server may take: to answer once, and for a whole call.
const (
	answerTime = 500 * time.Millisecond
	callTime   = 2 * time.Second

	// maxAttempts is how often a request is sent that no answer comes to.
	maxAttempts = 3
	attemptGap  = 50 * time.Millisecond
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
	o.Protocol, o.MaxRetries, o.DialerRetries = 2, -1, 1
	if err := c.trust(o.TLSConfig); err != nil {
		return nil, err
	}
	o.Dialer = dialer(o.TLSConfig)
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.ContextTimeoutEnabled = answerTime, answerTime, answerTime, true
	o.PoolSize, o.PipelinePoolSize, o.DisableIdentity = 4, -1, true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(o), nil
}

// sentinel is the client of the server that Sentinel says is the master. The
// URL's own user and password are for Sentinel.
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
	o.ReplicaOnly, o.RouteByLatency, o.RouteRandomly = false, false, false
	o.Protocol, o.MaxRetries, o.DialerRetries = 2, -1, 1
	if err := c.trust(o.TLSConfig); err != nil {
		return nil, err
	}
	o.Dialer = dialer(o.TLSConfig)
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.ContextTimeoutEnabled = answerTime, answerTime, answerTime, true
	o.PoolSize, o.PipelinePoolSize, o.DisableIdentity = 4, -1, true
	return redis.NewFailoverClient(o), nil
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
	o.Protocol, o.MaxRetries, o.DialerRetries, o.MaxRedirects = 2, -1, 1, maxRedirects
	if err := c.trust(o.TLSConfig); err != nil {
		return nil, err
	}
	o.Dialer = dialer(o.TLSConfig)
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.ContextTimeoutEnabled = answerTime, answerTime, answerTime, true
	o.PoolSize, o.PipelinePoolSize, o.DisableIdentity = 4, -1, true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClusterClient(o), nil
}

// nodeOf returns the client of one server of a cluster.
func nodeOf(o *redis.ClusterOptions, addr string) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: addr, Username: o.Username, Password: o.Password, Dialer: o.Dialer,
		Protocol: o.Protocol, MaxRetries: -1, DialerRetries: 1,
		DialTimeout: answerTime, ReadTimeout: answerTime, WriteTimeout: answerTime, ContextTimeoutEnabled: true,
		PoolSize: 1, PipelinePoolSize: -1, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// dialer connects, with TLS where it is used. Each server has to show a
// certificate for the very address by which it is reached, which Sentinel or the
// cluster may have named.
func dialer(t *tls.Config) func(ctx context.Context, network, addr string) (net.Conn, error) {
	d := &net.Dialer{Timeout: answerTime}
	if t == nil {
		return d.DialContext
	}
	return (&tls.Dialer{NetDialer: d, Config: t}).DialContext
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
		return !errors.As(err, &certificate)
	}
	for _, word := range []string{"TRYAGAIN", "CLUSTERDOWN", "MOVED", "ASK"} {
		if strings.HasPrefix(said.Error(), word) {
			return true
		}
	}
	return false
}

// failed says what the server, or the way to it, has.
func (s *Store) failed(err error) error {
	var said redis.Error
	switch {
	case errors.As(err, &said):
		if final := (redisError{}); errors.As(err, &final) {
			break
		}
		err = errors.New(hint(said.Error()))
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		err = errors.New("no answer in time")
	default:
		if op, ok := errors.AsType[*net.OpError](err); ok {
			err = op.Err
		}
	}
	return fmt.Errorf("redis %s: %w: %w", s.where, store.ErrUnavailable, err)
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// hint adds what to do to what a server says.
func hint(said string) string {
	for word, advice := range map[string]string{
		"NOAUTH":    "set --redis-password-file",
		"WRONGPASS": "see --redis-password-file and the URL's user",
		"READONLY":  "name the master, or use redis+sentinel://",
		"OOM":       "give it more memory, or set shorter timeouts",
		"MISCONF":   "see the server's log; it cannot write its files",
		"NOPERM":    "allow the user the keys and commands that the manual names",
	} {
		if strings.HasPrefix(said, word) {
			return strings.TrimSuffix(said, ".") + "; " + advice
		}
	}
	return said
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
func (s *Store) run(script *redis.Script, handle string, changes bool, args ...any) (reply, error) {
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
			v, err = script.Run(ctx, s.client, []string{s.key(handle)}, sent...).Result()
		}
		if list, ok := v.([]any); ok {
			r = list
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
func (s *Store) replicated(ctx context.Context, script *redis.Script, handle string, args []any) (any, error) {
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

// runAndWait sends the words of first, a script and WAIT, all at once.
func runAndWait(ctx context.Context, node redis.Cmdable, script *redis.Script, key string, args []any, first ...any) (any, error) {
	var ran, replicas *redis.Cmd
	_, err := node.Pipelined(ctx, func(p redis.Pipeliner) error {
		if len(first) > 0 {
			p.Do(ctx, first...)
		}
		ran = script.Eval(ctx, p, []string{key}, args...)
		replicas = p.Do(ctx, "WAIT", 1, (answerTime * 4 / 5).Milliseconds())
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
