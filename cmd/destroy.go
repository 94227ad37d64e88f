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
	flags := append(c.sessionFlags(),
		userFlag(&user, "end all sessions of user `NAME` (log out everywhere)"),
		switchFlag("except-current", "except the session of this request", &exceptCurrent),
		jsonFlag(&json))
	return command("destroy", "HANDLE... | --user NAME", "end sessions", flags, func(handles []string) error {
		switch {
		case user == "" && exceptCurrent:
			return usagef("--except-current goes with --user")
		case user != "" && len(handles) > 0:
			return usagef("HANDLE and --user exclude each other")
		case user == "" && len(handles) == 0:
			return usagef("HANDLE, or --user NAME, missing")
		case user == "":
			c.invalidateCorrupt = true // end those too
		}
		return c.operate(func() error {
			d := destroyed{c: c, ended: make(map[string]bool)}
			var err error
			if user == "" {
				err = d.endAll(handles)
			} else {
				err = d.endUser(user, exceptCurrent)
			}
			if err != nil {
				return err
			}
			return d.answer(json)
		})
	})
}

// destroyed is the outcome of destroy.
type destroyed struct {
	c       *call
	ended   map[string]bool // by handle
	unknown []string        // arguments without a session
	failed  error           // the last error of a session that was not ended
}

// endAll ends the sessions with these handles, corrupt ones too. A handle that does
// not name one session is an error before any is ended.
func (d *destroyed) endAll(handles []string) error {
	var known []string
	for _, arg := range handles {
		handle, err := findHandle(d.c.store, arg)
		switch {
		case errors.Is(err, store.ErrNotFound):
			d.unknown = append(d.unknown, arg)
		case err != nil:
			return err
		default:
			known = append(known, handle)
		}
	}
	for _, handle := range known {
		d.endOne(handle)
	}
	return nil
}

// endUser ends the user's sessions.
func (d *destroyed) endUser(user string, exceptCurrent bool) error {
	u := userSessions{destroyed: d, user: user, cookieName: d.c.userCookieName(), known: make(map[string]bool)}
	if exceptCurrent {
		if err := d.c.readRequest(); err != nil {
			return err
		}
		r, err := d.c.view(store.Snapshot)
		if err != nil {
			return err
		}
		u.except = r.session.Handle
	}
	if err := u.destroy(); err != nil {
		d.failed = err
	}
	return nil
}

// endOne ends the session at the handle, whatever its user, or what moves left there.
func (d *destroyed) endOne(handle string) {
	last := handle // where moves led to
	s, err := d.c.store.Update(handle, false, func(*store.Session) (store.Outcome, error) { return store.Remove, nil })
	if s != nil {
		last = s.Handle
	}
	if errors.Is(err, store.ErrNotFound) {
		err = d.c.store.End(handle)
	}
	switch {
	case err == nil, errors.Is(err, store.ErrInvalidated): // the latter timed out or was corrupt, and is removed
		d.addEnded(last)
	case !errors.Is(err, store.ErrNotFound):
		d.failed = err
	case !d.ended[last]: // else an old handle of a session that ended just now
		d.unknown = append(d.unknown, handle)
	}
}

// addEnded counts and logs the session at the handle as ended.
func (d *destroyed) addEnded(handle string) {
	d.ended[handle] = true
	d.c.log("removed", handle)
}

// answer prints how many sessions were ended. If some were not, it returns d as the
// error: the count is in the message then, and stdout stays empty.
func (d *destroyed) answer(json bool) error {
	if d.failed == nil && len(d.unknown) == 0 {
		printEnded(d.c.stdout, len(d.ended), json)
		return nil
	}
	return d
}

func (d *destroyed) Error() string {
	text := fmt.Sprintf("ended %d", len(d.ended))
	for _, handle := range d.unknown {
		text += "; no session " + handle
	}
	if d.failed != nil {
		text += "; " + d.failed.Error()
	}
	return text
}

// Unwrap returns the error that decides the exit code.
func (d *destroyed) Unwrap() error {
	if d.failed != nil {
		return d.failed
	}
	return errUnknown
}

// userSessions are a user's sessions while they are being ended.
type userSessions struct {
	*destroyed
	user, except string
	cookieName   string          // empty: all
	known        map[string]bool // handles tried so far; true: the session was not ended
}

const (
	// quietPasses is how many passes in a row must find nothing new in the index. One
	// is not enough: a session that gets a new handle during a pass may be missed
	// under both handles.
	quietPasses = 3

	// maxPasses bounds how often the index is read, however often sessions move.
	maxPasses = 100
)

// destroy ends the sessions. It reads the index until quietPasses passes find nothing
// new.
func (u *userSessions) destroy() error {
	quiet := 0
	for range maxPasses {
		quiet++
		err := u.c.store.UserHandles(u.user, u.cookieName, func(handle string) error {
			if u.destroyOne(handle) {
				quiet = 0
			}
			return nil
		})
		if err != nil || quiet == quietPasses {
			return err
		}
	}
	return fmt.Errorf("sessions of this user get new ids faster than they can be ended: %w; call again",
		store.ErrLocked)
}

// destroyOne ends the session if it is the user's. It reports whether it ended one,
// or the handle is new.
func (u *userSessions) destroyOne(handle string) bool {
	failed, known := u.known[handle]
	if failed {
		return false
	}
	s, err := u.c.store.Update(handle, false, func(s *store.Session) (store.Outcome, error) {
		if !s.IsOf(u.user, u.cookieName) || s.Handle == u.except {
			return store.Keep, errNo
		}
		return store.Remove, nil
	})
	u.known[handle] = false
	switch {
	case err == nil:
		u.addEnded(s.Handle)
		return true
	case errors.Is(err, errNo), absent(err), errors.Is(err, store.ErrCorrupt), u.isOther(handle, err):
	default:
		u.known[handle], u.failed = true, err
	}
	return !known
}

// isOther reports whether the session at the handle is too large to be read, as err
// says, and is another user's. The index may be wrong.
func (u *userSessions) isOther(handle string, err error) bool {
	other := false
	if errors.Is(err, store.ErrTooLarge) {
		u.c.store.Look(handle, func(s *store.Session, _ store.State, _ error) error {
			other = !s.IsOf(u.user, u.cookieName)
			return nil
		})
	}
	return other
}

func printEnded(out *output, n int, json bool) {
	if !json {
		fmt.Fprintf(out, "ended %d\n", n)
		return
	}
	var o object
	o.int("ended", int64(n))
	out.printJSON(o.end())
}
