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

// destroyAll ends the sessions with these handles. One that is not there makes
// the answer errNo, once the others have ended.
func (c *call) destroyAll(handles []string, json bool) error {
	var found []string
	missing := false
	for _, arg := range handles {
		handle, err := c.findHandle(arg)
		switch {
		case errors.Is(err, store.ErrNotFound):
			missing = true
		case err != nil:
			return err
		default:
			found = append(found, handle)
		}
	}
	ended := 0
	for _, handle := range found {
		ok, err := c.destroy(handle, func(*store.Session) bool { return true })
		if err != nil {
			return err
		}
		if ok {
			ended++
		}
	}
	c.printEnded(ended, json)
	if missing {
		return errNo
	}
	return nil
}

// maxPasses bounds how often the index is read again for sessions that got a
// new handle meanwhile.
const maxPasses = 10

// destroyUser ends the user's sessions, until none is found.
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
	total := 0
	for range maxPasses {
		ended := 0
		err := c.file.UserHandles(user, func(handle string) error {
			ok, err := c.destroy(handle, func(s *store.Session) bool { return s.User == user && s.Handle != current })
			if ok {
				ended++
			}
			return err
		})
		if err != nil {
			return err
		}
		if ended == 0 {
			break
		}
		total += ended
	}
	c.printEnded(total, json)
	return nil
}

// destroy ends the session if its owner agrees, and reports whether it did.
func (c *call) destroy(handle string, agrees func(*store.Session) bool) (bool, error) {
	_, err := c.store.Update(handle, false, func(s *store.Session) (store.Outcome, error) {
		if !agrees(s) {
			return store.Keep, errNo
		}
		return store.Remove, nil
	})
	switch {
	case err == nil:
		c.log("removed", handle)
		return true, nil
	case errors.Is(err, store.ErrInvalidated):
		return true, nil
	case errors.Is(err, store.ErrNotFound), errors.Is(err, errNo):
		return false, nil
	}
	return false, err
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
