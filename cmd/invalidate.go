package cmd

import (
	"errors"
	"slices"

	"github.com/urfave/cli/v2"

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
