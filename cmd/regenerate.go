package cmd

import (
	"errors"
	"time"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func regenerateCommand(c *call) *cli.Command {
	var grace time.Duration
	return c.headerCommand("regenerate", "", "give the session a new id and keep its data (after log-in)", func(args []string) (*result, error) {
		if err := noArguments(args); err != nil {
			return nil, err
		}
		return c.regenerate(grace)
	},
		&cli.GenericFlag{Name: "grace", Usage: "let the old id reach the session for `TIME` more, for requests under way", Value: duration(&grace)})
}

// regenerate moves the session to a new id, or makes a new one where there is
// none.
func (c *call) regenerate(grace time.Duration) (*result, error) {
	who, err := c.identify()
	if err != nil {
		return nil, err
	}
	next := named{id: store.NewID(), minted: true}
	invalidated := false
	if who.id != "" {
		s, err := c.store.Move(c.handle(who.id), c.handle(next.id), grace)
		switch {
		case err == nil:
			r := c.result(named{id: next.id, bound: who.bound}, s)
			return r, c.addCookie(r, true)
		case !absent(err):
			return nil, err
		}
		c.logAbsent(who, err)
		invalidated = errors.Is(err, store.ErrInvalidated)
	}
	if c.gone(who) {
		return nil, errGone
	}
	r, err := c.begin(next, policy{create: true}, saveAsIs)
	if err != nil {
		return nil, err
	}
	r.wasInvalidated = invalidated
	return r, nil
}
