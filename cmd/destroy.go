package cmd

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func destroyCommand(c *call) *cli.Command {
	var user string
	var exceptCurrent, json bool
	return c.operatorCommand("destroy", "HANDLE... | --user NAME", "end sessions", func(handles []string) error {
		switch {
		case user == "" && exceptCurrent:
			return usagef("--except-current goes with --user")
		case user != "" && len(handles) > 0:
			return usagef("HANDLE and --user exclude each other")
		case user == "":
			if err := someArguments(handles, "HANDLE, or --user NAME,"); err != nil {
				return err
			}
			return c.destroyAll(handles, json)
		}
		return c.destroyUser(user, exceptCurrent, json)
	},
		append(c.cookieFlags(),
			userFlag(&user, "end all sessions of user `NAME` (log out everywhere)"),
			&cli.BoolFlag{Name: "except-current", Usage: "but not the one of this request", Destination: &exceptCurrent},
			jsonFlag(&json))...)
}

// destroyAll ends the sessions with these handles, corrupt ones too. One that is
// not there makes the answer errNo, and one that cannot be ended is an error,
// once the others have ended.
func (c *call) destroyAll(handles []string, json bool) error {
	c.invalidateCorrupt = true
	if err := c.findStore(); err != nil {
		return err
	}
	var found []string
	var failed error
	for _, arg := range handles {
		handle, err := c.findHandle(arg)
		switch {
		case errors.Is(err, store.ErrNotFound):
			failed = errNo
		case err != nil:
			return err
		default:
			found = append(found, handle)
		}
	}
	ended := 0
	for _, handle := range found {
		_, err := c.store.Update(handle, false, func(*store.Session) (store.Outcome, error) { return store.Remove, nil })
		switch {
		case err == nil, errors.Is(err, store.ErrInvalidated):
			ended++
			c.log("removed", handle)
		case !errors.Is(err, store.ErrNotFound):
			failed = err
		case failed == nil:
			failed = errNo
		}
	}
	c.printEnded(ended, json)
	return failed
}

// destroyUser ends the user's sessions. One that cannot be ended is an error,
// once the others have ended.
func (c *call) destroyUser(user string, exceptCurrent, json bool) error {
	current := ""
	if exceptCurrent {
		if err := c.prepare(); err != nil {
			return err
		}
		r, err := c.view(store.Snapshot)
		if err != nil {
			return err
		}
		current = r.session.Handle
	}
	u := userSessions{c: c, user: user, except: current, known: make(map[string]bool)}
	if err := u.destroy(); err != nil {
		return err
	}
	c.printEnded(u.ended, json)
	return u.failed
}

// userSessions are a user's sessions while they are being ended.
type userSessions struct {
	c            *call
	user, except string
	known        map[string]bool // handles that were looked at, and whether in vain
	ended        int
	failed       error // the last, of one session
}

const (
	// quietPasses is how often in a row the index has to hold nothing new. Once
	// is not enough: a session that gets a new handle while the index is read
	// may be missed under both.
	quietPasses = 3

	// maxPasses bounds how often the index is read, however often sessions move.
	maxPasses = 100
)

// destroy ends the sessions, reading the index again until all is quiet.
func (u *userSessions) destroy() error {
	quiet := 0
	for range maxPasses {
		quiet++
		err := u.c.store.UserHandles(u.user, func(handle string) error {
			if u.destroyOne(handle) {
				quiet = 0
			}
			return nil
		})
		if err != nil || quiet == quietPasses {
			return err
		}
	}
	return fmt.Errorf("sessions of this user get new ids faster than they can be ended: %w; call again", store.ErrLocked)
}

// destroyOne ends the session if it is the user's, and reports whether that, or
// the handle, is news.
func (u *userSessions) destroyOne(handle string) bool {
	inVain, known := u.known[handle]
	if inVain {
		return false
	}
	_, err := u.c.store.Update(handle, false, func(s *store.Session) (store.Outcome, error) {
		if s.User != u.user || s.Handle == u.except {
			return store.Keep, errNo
		}
		return store.Remove, nil
	})
	u.known[handle] = false
	switch {
	case err == nil:
		u.ended++
		u.c.log("removed", handle)
		return true
	case errors.Is(err, errNo), absent(err), errors.Is(err, store.ErrCorrupt):
	default:
		u.known[handle], u.failed = true, err
	}
	return !known
}

func (c *call) printEnded(n int, json bool) {
	if !json {
		fmt.Fprintf(c.stdout, "ended %d\n", n)
		return
	}
	var o object
	o.int("ended", int64(n))
	c.stdout.Write(append(o.end(), '\n'))
}
