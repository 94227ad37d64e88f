package cmd

import (
	"errors"

	"github.com/urfave/cli/v2"

	"cgisession/cookie"
	"cgisession/store"
)

func invalidateCommand(c *call) *cli.Command {
	var expire bool
	return c.headerCommand("invalidate", "", "end the session and begin a new, empty one with another id",
		func(args []string) (*result, error) {
			if err := noArguments(args); err != nil {
				return nil, err
			}
			ended, err := c.endSession()
			switch {
			case err != nil:
				return nil, err
			case expire:
				return c.dropCookie()
			}
			return c.begin(newClaim(), policy{}, ended, c.update(policy{}, saveNew))
		},
		switchFlag("expire", "begin no new session, and tell the browser to drop the cookie (log out)", &expire))
}

// endSession ends the request's session, or all sessions that ambiguous cookies lead
// to, and reports whether there was one. A promised session has an empty file if this
// request has locked it; that is removed too.
func (c *call) endSession() (bool, error) {
	remove := func(*store.Session) (store.Outcome, error) { return store.Remove, nil }
	r, err := c.change(policy{create: createPromised}, remove)
	if errors.Is(err, errNo) {
		return c.ambiguous && c.cookies().endOthers("", ""), nil
	}
	if err != nil || r.session.Version == 0 {
		return false, err
	}
	c.log("removed", r.session.Handle)
	return true, nil
}

// dropCookie returns a result without a session, whose header line makes the browser
// drop the cookie.
func (c *call) dropCookie() (*result, error) {
	if !c.useCookies {
		return &result{}, nil
	}
	line, err := cookie.Delete(c.cookieName, c.attributes(c.env.HTTPS))
	if err != nil {
		return nil, usageError{err}
	}
	return &result{headers: append(c.variants(), line)}, nil
}
