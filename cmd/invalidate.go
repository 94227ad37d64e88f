package cmd

import (
	"github.com/urfave/cli/v2"

	"cgisession/cookie"
	"cgisession/store"
)

func invalidateCommand(c *call) *cli.Command {
	var expire bool
	return c.headerCommand("invalidate", "", "end the session and begin a new, empty one with another id", func(args []string) (*result, error) {
		if err := noArguments(args); err != nil {
			return nil, err
		}
		ended, err := c.changeExisting(func(*store.Session) (store.Outcome, error) { return store.Remove, nil })
		if err != nil {
			return nil, err
		}
		if ended != nil {
			c.log("removed", ended.session.Handle)
		}
		if expire {
			return c.expired()
		}
		next := named{id: store.NewID(), minted: true, ended: ended != nil}
		return c.begin(next, policy{create: true}, func(*store.Session) (store.Outcome, error) { return store.Save, nil })
	},
		&cli.BoolFlag{Name: "expire", Usage: "begin no new session, and tell the browser to drop the cookie (log out)", Destination: &expire})
}

// expired is the result without a session, with the line that makes the browser
// drop the cookie.
func (c *call) expired() (*result, error) {
	if !c.useCookies {
		return &result{}, nil
	}
	line, err := cookie.Delete(c.cookieName, c.attributes(c.env.HTTPS))
	if err != nil {
		return nil, usageError{err}
	}
	return &result{headers: []string{line}}, nil
}
