package cmd

import (
	"errors"
	"time"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func regenerateCommand(c *call) *cli.Command {
	var grace time.Duration
	var user string
	return c.headerCommand("regenerate", "", "give the session a new id and keep its data (after log-in)", func(args []string) (*result, error) {
		if err := noArguments(args); err != nil {
			return nil, err
		}
		if user != "" && grace > 0 {
			return nil, usagef("--grace and --user exclude each other: at a log-in the old id must die at once; leave out --grace")
		}
		return c.regenerate(grace, user)
	},
		userFlag(&user, "note that the session is user `NAME`'s, for list and destroy (log-in)"),
		&cli.GenericFlag{Name: "grace", Usage: "let the old id reach the session for `TIME` more, for requests under way (never at a log-in)", Value: duration(&grace)})
}

// regenerate moves the session to a new id, or makes a new one where there is
// none, and notes whose it is if that is said.
func (c *call) regenerate(grace time.Duration, user string) (*result, error) {
	who, err := c.identify()
	if err != nil {
		return nil, err
	}
	next := named{id: store.NewID(), minted: true}
	setUser := func(s *store.Session) (store.Outcome, error) {
		if user == "" && s.Version > 0 {
			return store.Keep, nil
		}
		s.User = user
		return store.Save, nil
	}
	if c.another(who) {
		return nil, errGone
	}
	if who.minted { // not stored yet, perhaps; the lock goes with what is moved
		if _, err := c.update(who, policy{create: true}, saveNew); err != nil && !absent(err) {
			return nil, err
		}
	}
	if who.id != "" {
		change := setUser
		if grace > 0 {
			change = c.keepKey(who.id)
		}
		s, err := c.store.Move(c.handle(who.id), c.handle(next.id), grace, change)
		switch {
		case err == nil:
			c.endOthers(c.handle(who.id), s.Handle)
			r := c.result(named{id: next.id, bound: who.bound}, s)
			return r, c.addCookie(r, true)
		case errors.Is(err, store.ErrMoved) && user != "":
			return nil, errRotated
		case errors.Is(err, store.ErrMoved): // another request was first; this one goes on with its id
			return c.result(who, s), nil
		case !absent(err):
			return nil, err
		}
		c.logAbsent(who, err)
		next.ended = errors.Is(err, store.ErrInvalidated)
	}
	if c.gone(who) {
		return nil, errGone
	}
	r, err := c.begin(next, policy{create: true}, setUser)
	if err == nil {
		c.endOthers("", r.session.Handle)
	}
	return r, err
}

// keepKey is the change of a move with a grace: forms that were printed under the
// old id can be checked until it is over.
func (c *call) keepKey(id string) store.Change {
	return func(s *store.Session) (store.Outcome, error) {
		s.OldKeys = append(s.OldKeys, store.OldKey{Key: c.csrfKey(id)})
		return store.Save, nil
	}
}
