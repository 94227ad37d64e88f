package cmd

import (
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"cgisession/cookie"
	"cgisession/store"
)

func cookieCommand(c *call) *cli.Command {
	return c.headerCommand("cookie", "", "print the Set-Cookie line of the current session again",
		func(args []string) (*result, error) {
			if err := noArguments(args); err != nil {
				return nil, err
			}
			r, err := c.view(store.Peek)
			if err != nil {
				return nil, err
			}
			return r, c.addCookie(r, true)
		})
}

// checkCookie returns an error if browsers would drop a cookie with these options. It
// runs before anything is changed, and tries the longest id.
func (c *call) checkCookie() error {
	sample := &result{token: c.token(strings.Repeat("a", store.MaxID))}
	return c.addCookie(sample, true)
}

// refreshes reports whether the client gets its cookie again: signed by a newer key,
// or with a later expiry date.
func (o *options) refreshes(who claim, p policy) bool {
	return who.resign || p.opens && !rules[who.origin].bound && o.cookie.Expires.Persistent()
}

// addCookie adds the header line for the session's cookie, if it is due. A client
// that used an id in its grace gets none: another answer brings it the cookie of the
// new id, and this one would overwrite that.
func (c *call) addCookie(r *result, due bool) error {
	inGrace := r.session != nil && r.session.Handle != c.handle(r.id)
	if !due || !c.useCookies || inGrace {
		return nil
	}
	line, err := cookie.Set(c.cookieName, r.token, c.attributes(c.env.HTTPS), time.Now())
	if err != nil {
		return usageError{err}
	}
	r.headers = append(append(r.headers, c.variants()...), line)
	return nil
}

// addCacheControl adds the header line that keeps the page out of shared caches, which
// would give it to the next visitor. Of the calls that a request binds to its session
// only the first adds it.
func (c *call) addCacheControl(r *result) {
	if c.cacheControl != "" && !c.env.Request.Named {
		r.headers = append(r.headers, "Cache-Control: "+c.cacheControl)
	}
}

// variants returns the header lines that delete the cookies that made this request
// ambiguous, as far as this program can know them.
func (c *call) variants() []string {
	if !c.ambiguous || !c.useCookies {
		return nil
	}
	return cookie.Variants(c.cookieName, c.attributes(c.env.HTTPS), c.env.ServerName, c.env.ScriptName)
}

// dropCookie returns the result of a session that has ended, whose header line makes
// the browser drop the cookie.
func (c *call) dropCookie() (*result, error) {
	if !c.useCookies {
		return &result{wasInvalidated: true}, nil
	}
	line, err := cookie.Delete(c.cookieName, c.attributes(c.env.HTTPS))
	if err != nil {
		return nil, usageError{err}
	}
	return &result{wasInvalidated: true, headers: append(c.variants(), line)}, nil
}
