package cmd

import (
	"cmp"
	"fmt"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"cgisession/store"
)

func destroyCommand(c *call) *cli.Command {
	var user string
	var all, exceptCurrent, json bool
	flags := append(c.sessionFlags(),
		userFlag(&user, "end all sessions of user `NAME` (log out everywhere); with HANDLE, only such a session"),
		switchFlag("except-current", "except the session of this request", &exceptCurrent),
		switchFlag("all", "end all sessions", &all),
		jsonFlag(&json))
	const arguments = "HANDLE... | --user NAME [HANDLE...] | --all"
	return command("destroy", arguments, "end sessions", flags, func(handles []string) error {
		named := len(handles) > 0
		switch {
		case all && (named || user != ""):
			return usagef("--all excludes HANDLE and --user")
		case exceptCurrent && (named || user == ""):
			return usagef("--except-current goes with --user, and without HANDLE")
		case !named && user == "" && !all:
			return usagef("HANDLE, --user NAME or --all missing")
		case !named && c.dashes: // a list of a form's handles that came out empty must not end all
			return usagef("HANDLE missing after --")
		}
		c.invalidateCorrupt = c.invalidateCorrupt || user == "" // end those too
		return c.operate(func() error {
			d := newDestroyed(c.store, c.log)
			var err error
			switch {
			case all:
				d.endEvery()
			case user == "":
				err = d.endNamed(handles)
			case named:
				err = d.of(user, c.userCookieName()).endGiven(handles)
			default:
				err = c.endUser(d.of(user, c.userCookieName()), exceptCurrent)
			}
			if err = cmp.Or(err, d.outcome()); err == nil {
				c.printEnded(d.count, json)
			}
			return err
		})
	})
}

// endUser ends the user's sessions, except the request's own if that is wanted.
func (c *call) endUser(u *userSessions, exceptCurrent bool) error {
	if exceptCurrent {
		if err := c.readRequest(); err != nil {
			return err
		}
		r, err := c.view(store.Snapshot)
		if err != nil {
			return err
		}
		u.except = r.session.Handle
	}
	u.endAll()
	return nil
}

// printEnded prints how many sessions were ended: as JSON, or else only on a terminal,
// since a CGI script may call destroy among its header lines.
func (c *call) printEnded(n int, json bool) {
	switch {
	case json:
		var o object
		o.int("ended", int64(n))
		c.stdout.printJSON(o.end())
	case term.IsTerminal(unix.Stderr):
		fmt.Fprintf(c.stderr, "ended %d\n", n)
	}
}
