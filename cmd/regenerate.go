package cmd

import (
	"cmp"
	"errors"
	"time"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func regenerateCommand(c *call) *cli.Command {
	var grace time.Duration
	var user string
	var note clientNote
	var ifExists bool
	return c.headerCommand("regenerate", "", "give the session a new id and keep its data (after log-in)",
		func(args []string) (*result, error) {
			if err := noArguments(args); err != nil {
				return nil, err
			}
			if user == "" && note.given {
				return nil, usagef("--note goes with --user")
			}
			if user != "" && grace > 0 {
				return nil, usagef("--grace and --user exclude each other: " +
					"at a log-in the old id must die at once; leave out --grace")
			}
			if err := c.checkNewName(); err != nil {
				return nil, err
			}
			p := policy{create: createMissing, renew: true, moves: true}.onlyIf(ifExists)
			return c.regenerate(p, grace, user, note.text)
		},
		userFlag(&user, "record `NAME` as the session's user, for list and destroy (log-in)"),
		noteFlag(&note),
		valueFlag("grace", "let the old id reach the session for `TIME` more, for requests under way "+
			"(never at a log-in)", duration(&grace)),
		c.newIDFlag(),
		ifExistsFlag(&ifExists))
}

// regenerate moves the session to a new id, or creates one if the request has none, and
// records the user's name and the note, if a name is given.
func (c *call) regenerate(p policy, grace time.Duration, user, note string) (*result, error) {
	return c.do(p, func(who claim, create bool) (*result, error) {
		switch {
		case who.origin == originFresh:
			r, err := c.update(policy{}, logIn(user, note))(who, create)
			if err == nil {
				c.cookies().endOthers("", r.session.Handle)
			}
			return r, err
		case rules[who.origin].promised: // store it first, so that its lock moves along
			if r, err := c.update(policy{}, saveNew)(who, create); err != nil {
				return r, err
			}
		}
		return c.move(who, grace, user, note)
	})
}

// move moves the session to a new id, and ends other sessions that the request's
// cookies lead to.
func (c *call) move(who claim, grace time.Duration, user, note string) (*result, error) {
	change := logIn(user, note)
	if grace > 0 {
		change = keepKey(c.csrfKey(who.id))
	}
	next := claim{id: cmp.Or(c.newID, store.NewID()), origin: who.origin}
	from := c.handle(who.id)
	s, err := c.store.Move(from, c.handle(next.id), grace, change)
	switch {
	case errors.Is(err, store.ErrTaken):
		return nil, errInUse
	case errors.Is(err, store.ErrMoved) && (user != "" || c.newID != ""):
		return nil, errRotated
	case errors.Is(err, store.ErrMoved): // another request was first; this one goes on with its old id
		return c.result(who, s), nil
	case err != nil:
		return nil, err
	}
	c.cookies().endOthers(from, s.Handle)
	r := c.result(next, s)
	return r, c.addCookie(r, true)
}

// logIn returns the change that records the user's name and the note, unless the name is
// empty, and stores a new session. The note is of this log-in, so without one none stays.
func logIn(user, note string) store.Change {
	return func(s *store.Session) (store.Outcome, error) {
		if user == "" && s.Version > 0 {
			return store.Keep, nil
		}
		s.User, s.Note = user, note
		return store.Save, nil
	}
}

// keepKey returns the change for a move with a grace. It keeps the key of the old
// id's CSRF tokens, so that forms printed under that id are accepted until the grace
// is over.
func keepKey(key string) store.Change {
	return func(s *store.Session) (store.Outcome, error) {
		s.OldKeys = append(s.OldKeys, store.OldKey{Key: key})
		return store.Save, nil
	}
}
