//go:build redis

package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"cgisession/store"
)

// How long a server may take: to answer once, and with what is tried again.
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
	return &Store{client: client, prefix: c.Prefix, where: where, opts: opts}, nil
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
var errURL = errors.New("no URL such as redis://HOST:PORT/0, rediss://…, redis+sentinel://HOST:PORT?master_name=NAME or redis+cluster://HOST:PORT")

// client makes the client that the URL asks for.
func (c Config) client() (redis.UniversalClient, string, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" && u.Scheme != "unix" {
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
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.ContextTimeoutEnabled = answerTime, answerTime, answerTime, true
	o.PoolSize, o.PipelinePoolSize, o.DisableIdentity = 4, -1, true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	if err := c.trust(o.TLSConfig); err != nil {
		return nil, err
	}
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
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.ContextTimeoutEnabled = answerTime, answerTime, answerTime, true
	o.PoolSize, o.PipelinePoolSize, o.DisableIdentity = 4, -1, true
	if err := c.trust(o.TLSConfig); err != nil {
		return nil, err
	}
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
	o.Protocol, o.MaxRetries, o.DialerRetries, o.MaxRedirects = 2, -1, 1, maxRedirects
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.ContextTimeoutEnabled = answerTime, answerTime, answerTime, true
	o.PoolSize, o.PipelinePoolSize, o.DisableIdentity = 4, -1, true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	if err := c.trust(o.TLSConfig); err != nil {
		return nil, err
	}
	return redis.NewClusterClient(o), nil
}

// trust has TLS, if it is used, trust the authority that was named, and no other.
func (c Config) trust(t *tls.Config) error {
	switch {
	case t == nil && c.CA != nil:
		return errors.New("--redis-ca-file goes with TLS, a URL of the scheme rediss")
	case t == nil || c.CA == nil:
		return nil
	}
	t.MinVersion = tls.VersionTLS12
	t.RootCAs = x509.NewCertPool()
	if !t.RootCAs.AppendCertsFromPEM(c.CA) {
		return errors.New("--redis-ca-file holds no certificate in PEM")
	}
	return nil
}

// attempt sends a request, and sends it again where no answer came: it must be
// such that this does no harm.
func (s *Store) attempt(send func(ctx context.Context, try int) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	for try := 0; ; try++ {
		err := send(ctx, try)
		if err == nil {
			return nil
		}
		if !worthAnother(err) || try+1 == maxAttempts || ctx.Err() != nil {
			return s.failed(err)
		}
		time.Sleep(attemptGap)
	}
}

// worthAnother reports whether the request may yet be answered: the server said
// nothing, or that it is between two states.
func worthAnother(err error) bool {
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
	case errors.As(err, &said) && strings.Contains(said.Error(), "WRONGTYPE"):
		return store.ErrCorrupt
	case errors.As(err, &said):
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
	elsewhere := "0"
	if s.opts.LockElsewhere {
		elsewhere = "1"
	}
	lifetime := int64(-1)
	if s.opts.Lifetime > 0 {
		lifetime = int64(s.opts.Lifetime / time.Second)
	}
	all := append([]any{s.opts.LockToken, elsewhere, s.opts.Timeout.Milliseconds(), lifetime}, args...)
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
// over one connection, since WAIT is about that.
func (s *Store) replicated(ctx context.Context, script *redis.Script, handle string, args []any) (any, error) {
	key := s.key(handle)
	var node redis.Cmdable = s.client
	if cluster, ok := s.client.(*redis.ClusterClient); ok {
		master, err := cluster.MasterForKey(ctx, key)
		if err != nil {
			return nil, err
		}
		node = master
	}
	var ran *redis.Cmd
	var replicas *redis.Cmd
	_, err := node.Pipelined(ctx, func(p redis.Pipeliner) error {
		ran = script.Eval(ctx, p, []string{key}, args...)
		replicas = p.Do(ctx, "WAIT", 1, (answerTime * 4 / 5).Milliseconds())
		return nil
	})
	v, failed := ran.Result()
	switch {
	case failed != nil:
		if cluster, ok := s.client.(*redis.ClusterClient); ok {
			cluster.ReloadState(ctx)
		}
		return nil, failed
	case err != nil:
		return nil, err
	}
	if n, err := replicas.Int(); err != nil || n < 1 {
		return nil, redisError{errNotReplicated}
	}
	return v, nil
}

// redisError makes an error one that the server gave, and that is final.
type redisError struct{ error }

func (redisError) RedisError() {}
