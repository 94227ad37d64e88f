package cmd

// This file has what operators' verbs need for a user's sessions.

import (
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"cgisession/cgi"
	"cgisession/store"
)

func userFlag(user *string, usage string) cli.Flag {
	return valueFlag("user", usage, parsed(user, parseUser))
}

// maxUser bounds a user's name, in bytes.
const maxUser = 256

// parseUser accepts a user's name that a session's record can hold.
func parseUser(text string) (string, error) {
	if _, err := store.StringValue(text); err != nil || text == "" || len(text) > maxUser {
		return "", fmt.Errorf("must be 1 to %d bytes of UTF-8", maxUser)
	}
	return text, nil
}

// userCookieName returns the cookie name whose sessions --user means; empty: those of
// all names. In an operator's shell that is what was set, since the default would find
// none of a site with another name. A request means its own sessions.
func (c *call) userCookieName() string {
	if c.cookieNamed || cgi.ReadScript(os.LookupEnv).Request {
		return c.cookieName
	}
	return ""
}

// eachOfUser visits the user's sessions. The store's index of users may be out of
// date, so a session that is another user's by now, or gone, is left out.
func (c *call) eachOfUser(user string, visit store.Visit) error {
	cookieName := c.userCookieName()
	return c.store.UserHandles(user, cookieName, func(handle string) error {
		err := c.store.Look(handle, func(s *store.Session, state store.State, wrong error) error {
			if !s.IsOf(user, cookieName) {
				return nil
			}
			return visit(s, state, wrong)
		})
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
}
