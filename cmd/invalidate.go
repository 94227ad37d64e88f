package cmd

import (
	"errors"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func invalidateCommand(c *call) *cli.Command {
	var expire, everywhere bool
	return c.headerCommand("invalidate", "", "end the session and begin a new, empty one with another id",
		func(args []string) (*result, error) {
			switch err := noArguments(args); {
			case err != nil:
				return nil, err
			case !expire && everywhere:
				return nil, usagef("--everywhere goes with --expire")
			case !expire:
				return c.replace()
			case c.newID != "":
				return nil, usagef("--new-id and --expire exclude each other")
			}
			var err error
			if everywhere {
				err = c.endEverywhere()
			} else {
				_, err = c.endSession(true)
			}
			if err != nil {
				return nil, err
			}
			return c.dropCookie()
		},
		switchFlag("expire", "begin no new session, and tell the browser to drop the cookie (log out)", &expire),
		switchFlag("everywhere", "with --expire: end all sessions of this session's user", &everywhere),
		c.newIDFlag())
}

// endSession ends the request's session, or all sessions that ambiguous cookies lead
// to, and reports whether there was one. With expire, one that has ended during this
// request is no error. A promised session has an empty file if this request has locked
// it; that is removed too.
func (c *call) endSession(expire bool) (bool, error) {
	r, err := c.change(policy{create: createPromised}, remove)
	if errors.Is(err, errNo) || expire && errors.Is(err, errGone) {
		return c.ambiguous && c.cookies().endOthers("", ""), nil
	}
	if err != nil || r.session.Version == 0 {
		return false, err
	}
	c.log("removed", r.session.Handle)
	return true, nil
}

// endEverywhere ends all sessions of the user whose session the request has, its own
// last: after an error the call can be repeated, since it still has its session then. It
// waits for the locks of the others, but holds none meanwhile. So two such calls do not
// wait for each other.
func (c *call) endEverywhere() error {
	user, handle, err := c.owner()
	if err != nil {
		return err
	}
	if user == "" {
		_, err = c.endSession(true)
		return err
	}
	others, err := c.openBeside()
	if err != nil {
		return err
	}
	u := newDestroyed(others, c.log).of(user, c.cookieName)
	u.except = handle
	u.endAll()
	if err := u.outcome(); err != nil {
		return fmt.Errorf("%w; the session of this request has not ended: call again", err)
	}
	ended, err := c.endSession(true)
	if err == nil && !ended { // it has ended, or has a new id: then it is found by its user
		u.except = ""
		u.endAll()
		err = u.outcome()
	}
	return err
}

// owner returns the user of the request's session, and the session's handle.
func (c *call) owner() (user, handle string, err error) {
	_, err = c.change(policy{create: createPromised}, func(s *store.Session) (store.Outcome, error) {
		user, handle = s.User, s.Handle
		return store.Keep, nil
	})
	switch {
	case errors.Is(err, errNo), errors.Is(err, errGone):
		err = errNobody
	case errors.Is(err, store.ErrTooLarge) && handle != "": // its data is not needed
		err = nil
	}
	return user, handle, err
}

// endOthers ends the sessions that the tokens lead to, and reports whether it ended
// any. It leaves out the session that was at the handle from and is at kept now. So
// after a log-in no other cookie, planted or left over, competes with the session's
// own. The session has its new id by then, and the client must get that id. So
// endOthers waits for no lock, and only logs an error.
func (t tokens) endOthers(from, kept string) (ended bool) {
	claims, _ := t.claims()
	others := slices.DeleteFunc(t.handles(claims), func(handle string) bool { return handle == from || handle == kept })
	if len(others) == 0 {
		return false
	}
	at, err := t.store.Live(others, len(others))
	if err != nil {
		t.log("other sessions not found: "+err.Error(), others[0])
	}
	slices.Sort(at)
	for _, handle := range slices.Compact(at) {
		if handle == "" || handle == kept {
			continue
		}
		switch err := t.store.End(handle); {
		case err == nil:
			t.log("removed", handle)
			ended = true
		case !absent(err):
			t.log("not ended: "+err.Error(), handle)
			if errors.Is(err, store.ErrUnavailable) { // the next would not be ended either
				return ended
			}
		}
	}
	return ended
}
