package cmd

// This file ends sessions by their handles and users, for destroy, and for invalidate
// --everywhere.

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"cgisession/store"
)

// destroyed is what destroy has ended. It is an error if a session was not ended, or
// not found.
type destroyed struct {
	store   store.Backend
	log     func(event, handle string)
	count   int
	ended   map[string]bool // handles of sessions that were ended
	failed  map[string]bool // handles whose sessions were not ended
	last    error           // why the last of those was not
	unknown []string        // arguments without a session
}

func newDestroyed(s store.Backend, log func(event, handle string)) *destroyed {
	return &destroyed{store: s, log: log, ended: make(map[string]bool), failed: make(map[string]bool)}
}

// remove is the change that ends a session.
func remove(*store.Session) (store.Outcome, error) { return store.Remove, nil }

// endNamed ends the sessions with these handles, corrupt ones too.
func (d *destroyed) endNamed(args []string) error {
	return d.endFound(args, d.store.Find, func(handle string) bool {
		last, err := d.end(handle, "")
		return d.note(handle, last, err) || d.ended[last] // the latter: an old handle of one that ended just now
	})
}

// endFound finds the handle for each argument and ends the session there. end reports
// whether it did. An argument that is no handle, or fits several, is an error before any
// session is ended.
func (d *destroyed) endFound(args []string, find findFunc, end func(handle string) bool) error {
	var known []string
	for _, arg := range args {
		handle, err := findHandle(arg, find)
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
		if !end(handle) && !d.ended[handle] && !d.failed[handle] {
			d.unknown = append(d.unknown, handle)
		}
	}
	return nil
}

// endEvery ends all sessions, and removes what is no session. What was created after it
// began may stay.
func (d *destroyed) endEvery() {
	d.ended = nil // not needed here, and there may be many
	began := time.Now().Unix()
	d.repeat(func() (found bool, err error) {
		err = d.store.Each(func(s *store.Session, state store.State, _ error) error {
			if d.failed[s.Handle] {
				return nil
			}
			last, err := d.end(s.Handle, state)
			if state == store.Unused && errors.Is(err, store.ErrLocked) {
				d.failed[s.Handle] = true // no session yet, and a request is about to make one
				return nil
			}
			found = d.note(s.Handle, last, err) && s.Created <= began || found
			return nil
		})
		return found, err
	})
}

// end ends the session at the handle, whatever its user, or what moves left there. The
// state is that of the handle in a walk, which names also what holds no session; empty:
// none was looked for. end returns the session's handle, which differs if moves led to it.
func (d *destroyed) end(handle string, state store.State) (last string, err error) {
	last = handle
	s, err := d.store.Update(handle, state != "", remove)
	if s != nil {
		last = s.Handle
	}
	if err == nil && s.Version == 0 {
		err = store.ErrNotFound
	}
	// End takes no lock. Where nothing was stored yet, it could end the session that a
	// visitor's first request is creating.
	if errors.Is(err, store.ErrNotFound) && state != store.Unused {
		err = d.store.End(handle)
	}
	return last, err
}

// note keeps the outcome of ending the session at the handle, which was at last, and
// reports whether it has ended.
func (d *destroyed) note(handle, last string, err error) bool {
	switch {
	case err == nil, errors.Is(err, store.ErrInvalidated): // the latter timed out or was corrupt, and is removed
		d.count++
		if d.ended != nil {
			d.ended[last] = true
		}
		d.log("removed", last)
		return true
	case !errors.Is(err, store.ErrNotFound):
		d.failed[handle], d.last = true, err
	}
	return false
}

const (
	// quietPasses is how many passes in a row must find nothing new. One is not enough:
	// a session that gets a new handle during a pass may be missed under both handles.
	quietPasses = 3

	// maxPasses bounds how often all is read, however often sessions move.
	maxPasses = 100
)

// repeat calls pass until quietPasses passes have found nothing new. An error ends it,
// and is kept.
func (d *destroyed) repeat(pass func() (found bool, err error)) {
	quiet := 0
	for range maxPasses {
		quiet++
		found, err := pass()
		if found {
			quiet = 0
		}
		if err != nil {
			d.last = err
		}
		if err != nil || quiet == quietPasses {
			return
		}
	}
	d.last = fmt.Errorf("sessions get new ids faster than they can be ended: %w; call again", store.ErrLocked)
}

// outcome returns d as the error if a session was not ended or not found. The count is
// in the message then, and stdout stays empty.
func (d *destroyed) outcome() error {
	if d.last == nil && len(d.unknown) == 0 {
		return nil
	}
	return d
}

func (d *destroyed) Error() string {
	text := fmt.Sprintf("ended %d", d.count)
	for _, handle := range d.unknown {
		text += "; no session " + handle
	}
	if d.last != nil {
		text += "; " + d.last.Error()
	}
	return text
}

// Unwrap returns the error that decides the exit code; a missing session is exit 1,
// with a message.
func (d *destroyed) Unwrap() error {
	if d.last != nil {
		return d.last
	}
	return errUnknown
}

// userSessions are a user's sessions while they are being ended.
type userSessions struct {
	*destroyed
	user       string
	cookieName string          // empty: all
	except     string          // the handle of the session to leave; empty: none
	seen       map[string]bool // handles that the index had so far
}

func (d *destroyed) of(user, cookieName string) *userSessions {
	return &userSessions{destroyed: d, user: user, cookieName: cookieName, seen: make(map[string]bool)}
}

// eachHandle calls visit with the handles that the index has. They may be others'.
func (u *userSessions) eachHandle(visit func(handle string) error) error {
	return u.store.UserHandles(u.user, u.cookieName, visit)
}

// endAll ends the user's sessions. It reads the index until nothing new is in it.
func (u *userSessions) endAll() {
	u.repeat(func() (found bool, err error) {
		err = u.eachHandle(func(handle string) error {
			isNew := !u.seen[handle]
			u.seen[handle] = true
			found = u.endOne(handle) || isNew || found
			return nil
		})
		return found, err
	})
}

// endGiven ends the sessions with these handles that are the user's. The handles may
// come from a form. So another's is unknown, as one that is not there, and as what is no
// handle at all.
func (u *userSessions) endGiven(args []string) error {
	var handles []string
	for _, arg := range args {
		if isHandle(arg) {
			handles = append(handles, arg)
		} else {
			u.unknown = append(u.unknown, short(arg))
		}
	}
	return u.endFound(handles, u.find, u.endOne)
}

// find is Find among the user's sessions.
func (u *userSessions) find(prefix string) (string, error) {
	if len(prefix) == store.HandleSize {
		return prefix, nil // endOne sees whose it is
	}
	return store.OnlyHandle(func(visit func(handle string) error) error {
		return u.eachHandle(func(handle string) error {
			if !strings.HasPrefix(handle, prefix) {
				return nil
			}
			return visit(handle)
		})
	})
}

// endOne ends the session if it is the user's, and reports whether it did.
func (u *userSessions) endOne(handle string) bool {
	if u.failed[handle] || handle == u.except {
		return false
	}
	s, err := u.store.Update(handle, false, func(s *store.Session) (store.Outcome, error) {
		if !s.IsOf(u.user, u.cookieName) || s.Handle == u.except {
			return store.Keep, errNo
		}
		return store.Remove, nil
	})
	switch {
	case err == nil:
		return u.note(handle, s.Handle, nil)
	case errors.Is(err, errNo), absent(err), errors.Is(err, store.ErrCorrupt), u.isOther(handle, err):
	default:
		u.note(handle, handle, err)
	}
	return false
}

// isOther reports whether the session that the handle leads to could not be read or
// locked, as err says, and is another user's.
func (u *userSessions) isOther(handle string, err error) (other bool) {
	if !errors.Is(err, store.ErrTooLarge) && !errors.Is(err, store.ErrLocked) {
		return false
	}
	if at, _ := u.store.Live([]string{handle}, 1); at != nil && at[0] != "" {
		u.store.Look(at[0], func(s *store.Session, _ store.State, _ error) error {
			other = !s.IsOf(u.user, u.cookieName)
			return nil
		})
	}
	return other
}
