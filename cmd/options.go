package cmd

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"cgisession/cgi"
	"cgisession/cookie"
	"cgisession/store"
	"cgisession/store/file"
)

// options are what flags, variables and the configuration file set. sessionFlags, storeFlags and
// cookieFlags bind each: its name, variable, default and unit stand there, and nowhere
// else.
type options struct {
	naming
	dataDir, storeType string
	id                 clientToken // perhaps an empty one
	adoptID            string
	useCookies         bool
	timeout, lifetime  time.Duration
	cookie             cookie.Attributes
	secure             string
	cacheControl       string // empty: no header line
	secretFile         string
	invalidateCorrupt  bool
	lockTimeout        time.Duration
	noLock, durable    bool
	maxSize            int
	logFile            string
	redis              redisOptions

	cookieNamed bool     // the cookie's name was set
	anyLock     bool     // CGISESSION_LOCK_FD may hold the lock of another session than the verb's
	asOwner     bool     // root becomes the owner of the data directory
	actAs       *account // whom it becomes; nil: whom the directory belongs to

	configFile string // "": the usual one, if it is there
	site       string // the section of it that this site uses; "": none
	fileRead   string // the configuration file that was read; "": none
	sections   int    // how many that file has
	user       string // what %u in the file stands for; "": this process's user
	bound      []*binding

	progress *progress // of the store's walks; nil: nobody watches
}

// redisOptions say which server has the sessions, and how to reach it.
type redisOptions struct{ url, passwordFile, caFile, prefix string }

func defaults() options {
	return options{
		storeType:    "file",
		redis:        redisOptions{prefix: "cgisession:"},
		naming:       naming{cookieName: "cgisession_id"},
		useCookies:   true,
		cookie:       cookie.Attributes{Path: "/", HTTPOnly: true},
		secure:       "auto",
		cacheControl: "no-store",
		lockTimeout:  10 * time.Second,
		maxSize:      1 << 20,
	}
}

// sessionFlags binds the options of the verbs that work on the request's session.
func (o *options) sessionFlags() []cli.Flag {
	return append(append(o.storeFlags(), o.cookieFlags()...),
		o.option("cache-control", "`TEXT` of the Cache-Control line that load and run print once a request; "+
			"off: none", "no-store", cacheControl(&o.cacheControl)))
}

// storeFlags binds the options of the store.
func (o *options) storeFlags() []cli.Flag {
	return []cli.Flag{
		o.option("data-dir", "`DIR` that holds the sessions", "$TMPDIR/cgisession-UID", o.path(&o.dataDir)),
		o.option("type", "keep sessions as `TYPE`: file (also called dbm); memory: on a RAM file system; "+
			"redis: in Redis or Valkey", "file", choice(&o.storeType, "file", "dbm", "memory", "redis")),
		o.option("redis-url", "`URL` of the server, such as redis://HOST:PORT/0, without its password",
			"none", serverURL(&o.redis.url)),
		o.option("redis-password-file", "`FILE` that holds the server's password",
			"none", o.path(&o.redis.passwordFile)),
		o.option("redis-ca-file", "`FILE` of the certificates, in PEM, that TLS trusts",
			"the system's", o.path(&o.redis.caFile)),
		o.option("redis-prefix", "`PREFIX` of all keys", "cgisession:", oneLine(&o.redis.prefix)),
		o.option("timeout", "longest `TIME` between accesses, as 1800 (seconds), 30m or 7d; 0: no limit",
			"0", duration(&o.timeout)),
		o.option("lifetime", "longest `TIME` since the session was created; 0: no limit", "0", duration(&o.lifetime)),
		o.switchOn("invalidate-corrupt", "treat a corrupt session as a timed-out one, instead of failing",
			&o.invalidateCorrupt),
		o.option("lock-timeout", "longest `TIME` to wait for a session that is locked; 0: do not wait",
			"10s", duration(&o.lockTimeout)),
		o.switchOn("durable", "sync each save to the disk before it is reported; "+
			"set the same for all programs that use the directory", &o.durable),
		o.option("max-size", "largest data of a session, in `BYTES`", "1048576", size(&o.maxSize)),
		o.option("log-file", "append events to `FILE`; - is standard error", "none", o.path(&o.logFile)),
		o.option("cookie-name", "`NAME` of the cookie, to which sessions and their users belong",
			"cgisession_id", o.cookieNameValue(), "key"),
		o.option("config", "`FILE` of options; none: no file", configFile+", if it is there", oneLine(&o.configFile)),
		o.option("site", "`NAME` of the section of that file to use", "none", oneLine(&o.site)),
	}
}

// cookieNameValue accepts a cookie's name, and notes that it was set. A store keeps
// it beside a session's user, as UTF-8.
func (o *options) cookieNameValue() *value {
	line := oneLine(&o.cookieName)
	v := &value{set: func(text string) error {
		if _, err := store.StringValue(text); err != nil {
			return errors.New("must be UTF-8")
		}
		o.cookieNamed = true
		return line.Set(text)
	}}
	return v.checkedInFile(cookie.CheckName)
}

// cookieFlags binds the options that say how a request names its session: the
// cookie's attributes, the token or id in place of it, and the keys.
func (o *options) cookieFlags() []cli.Flag {
	flags := o.id.flags("id", "`TOKEN` that the client sent in a form field or URL, checked as a cookie is; "+
		"other users can see the command line",
		"the same, with the token read from descriptor `N`; 0: standard input")
	return append(flags,
		o.option("adopt-id", "the script's own `ID` for a session, which is created if it does not exist",
			"", adopted(&o.adoptID)),
		o.option("use-cookies", "read and print cookies: `true|false`", "true", boolean(&o.useCookies)),
		o.option("cookie-expires", "when the browser drops the cookie: true (when it is closed), "+
			"false (never: 400 days), a `TIME`, or a date such as 2027-01-31T00:00:00Z",
			"true", expires(&o.cookie.Expires)),
		o.option("cookie-path", "`PATH` of the URLs that the cookie is sent to", "/",
			oneLine(&o.cookie.Path).checkedInFile(cookie.CheckPath)),
		o.option("cookie-domain", "`DOMAIN` of the hosts that the cookie is sent to",
			"this host only", oneLine(&o.cookie.Domain).checkedInFile(cookie.CheckDomain)),
		o.option("cookie-secure", "send the cookie over https only: `auto|always|never`; "+
			"auto: where the server sets HTTPS, or REQUEST_SCHEME=https",
			"auto", choice(&o.secure, "auto", "always", "never")),
		o.option("cookie-http-only", "keep the cookie from the page's scripts: `true|false`",
			"true", boolean(&o.cookie.HTTPOnly)),
		o.option("cookie-same-site", "cross-site requests that carry the cookie: `lax|strict|none`",
			"lax", sameSite(&o.cookie.SameSite)),
		o.switchOn("cookie-partitioned", "keep one cookie for each top-level site (CHIPS)", &o.cookie.Partitioned),
		o.option("secret-file", "`FILE` of keys that sign ids, one a line, the first for new ones; "+
			"or set CGISESSION_SECRET", "", o.path(&o.secretFile)))
}

// noLockFlag binds the option of the verbs that only read.
func (o *options) noLockFlag() cli.Flag {
	return o.switchOn("no-lock", "read a recent version without waiting for the lock, and mark no access", &o.noLock)
}

// bindAll binds the options of all verbs, and returns their flags.
func (o *options) bindAll() []cli.Flag { return append(o.sessionFlags(), o.noLockFlag()) }

// parsed returns a value that parses its text and stores the result in *to.
func parsed[T any](to *T, parse func(string) (T, error)) *value {
	return &value{set: func(text string) (err error) {
		*to, err = parse(text)
		return err
	}}
}

// of notes the texts that the value accepts, for completions.
func (v *value) of(words ...string) *value {
	v.words = words
	return v
}

// oneLine accepts one line that is not empty.
func oneLine(to *string) *value {
	return parsed(to, func(text string) (string, error) {
		switch {
		case text == "":
			return "", errors.New("must not be empty")
		case strings.ContainsAny(text, "\r\n\x00"):
			return "", errors.New("must be one line")
		}
		return text, nil
	})
}

// cacheControl accepts the value of a header field (RFC 9110 §5.5) in UTF-8, which JSON
// can hold too, and off for none.
func cacheControl(to *string) *value {
	return parsed(to, func(text string) (string, error) {
		control := func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
		switch {
		case strings.EqualFold(text, "off"):
			return "", nil
		case text == "", strings.Trim(text, " \t") != text, !utf8.ValidString(text),
			strings.ContainsFunc(text, control):
			return "", errors.New("must be one line without control characters or blanks around it, or off")
		}
		return text, nil
	})
}

// choice accepts one of the words.
func choice(to *string, words ...string) *value {
	return parsed(to, func(text string) (string, error) {
		if !slices.Contains(words, text) {
			return "", errors.New("must be one of " + strings.Join(words, ", "))
		}
		return text, nil
	}).of(words...)
}

// boolean accepts what strconv.ParseBool does: true, false, 1, 0 and so on.
func boolean(to *bool) *value {
	return parsed(to, func(text string) (bool, error) {
		on, err := strconv.ParseBool(text)
		if err != nil {
			err = errors.New("must be true or false")
		}
		return on, err
	}).of("true", "false")
}

func duration(to *time.Duration) *value { return parsed(to, cookie.ParseDuration) }

func expires(to *cookie.Expires) *value { return parsed(to, cookie.ParseExpires) }

func sameSite(to *cookie.SameSite) *value {
	return parsed(to, cookie.ParseSameSite).of("lax", "strict", "none")
}

// maxSize bounds --max-size, in bytes: a session is read into memory whole. A file may
// be over three times as large (store.Options.MaxRead), so it is a quarter GiB where an
// int has 32 bits, and 1 GiB elsewhere.
const maxSize = 1 << (28 + 2*(^uint(0)>>63))

// size accepts a number of bytes from 2 up, the size of the empty object.
func size(to *int) *value {
	return parsed(to, func(text string) (int, error) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 2 || n > maxSize {
			return 0, fmt.Errorf("must be bytes from 2 to %d", maxSize)
		}
		return n, nil
	})
}

// adopted accepts any text that is not empty. readRequest validates it.
func adopted(to *string) *value {
	return parsed(to, func(text string) (string, error) {
		if text == "" {
			return "", errors.New("must not be empty")
		}
		return text, nil
	})
}

// attributes returns the cookie's attributes for a request over http or https.
func (o *options) attributes(https bool) cookie.Attributes {
	a := o.cookie
	a.Secure = o.secure == "always" || o.secure == "auto" && https
	return a
}

// directory returns the directory that holds the sessions: --data-dir, or else this
// user's own one. That is below the directory for temporary files or, with --type
// memory, below that for runtime files.
func (o *options) directory(env cgi.Env) string {
	own := "cgisession-" + o.userID()
	switch {
	case o.dataDir != "":
		return filepath.Clean(o.dataDir)
	case o.storeType != "memory":
		return filepath.Join(env.TempDir, own)
	case env.RuntimeDir != "":
		return filepath.Join(env.RuntimeDir, "cgisession")
	}
	return filepath.Join("/dev/shm", own)
}

// open opens the store that the options name. The descriptor or token in env holds
// a lock that this call may use.
func (o *options) open(env cgi.Env, log func(event, handle string)) (store.Backend, error) {
	opts := store.Options{
		Timeout: o.timeout, Lifetime: o.lifetime, LockTimeout: o.lockTimeout, MaxSize: o.maxSize,
		Durable: o.durable, InvalidateCorrupt: o.invalidateCorrupt,
		LockFD: env.LockFD, LockToken: env.LockToken, LockElsewhere: o.anyLock, Log: log,
	}
	if !o.asOwner { // an operator finds sessions by their handles, whatever their cookie's name
		opts.CookieName = o.cookieName
	}
	if o.progress != nil {
		opts.Progress = o.progress.show
	}
	if o.storeType == "redis" {
		if err := o.checkServer(); err != nil {
			return nil, err
		}
		return o.openRedis(opts)
	}
	dir := o.directory(env)
	config := file.Config{
		Dir: dir, TempDir: env.TempDir, InMemory: o.storeType == "memory",
		TryLock: func(path string) (bool, error) { return tryLockElsewhere(dir, path) },
	}
	if config.InMemory {
		if err := file.CheckMemory(dir); err != nil {
			return nil, err
		}
	}
	return file.Open(config, opts), nil
}
