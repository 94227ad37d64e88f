package cmd

// This file is about the id that a session gets next: who chooses it, and whether
// anybody can be told.

import (
	"errors"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

var (
	errUntold = usageError{errors.New("a new id is needed, and nobody could be told: " +
		"without cookies, add --sh or --json and pass CGISESSION_TOKEN on")}
	errUnnamed = usageError{errors.New("the script names this session itself, so it must name the next id too: " +
		"add --new-id")}
	errInUse = usageError{errors.New("--new-id: that id is in use; give another one")}
)

// newIDFlag returns the option of the verbs that give a session a new id.
func (c *call) newIDFlag() cli.Flag {
	return valueFlag("new-id", "of a session that --adopt-id names: its next `ID`, which must not be in use",
		adopted(&c.newID))
}

// adopts reports whether the script names the request's session itself: by --adopt-id
// on this call, or on an earlier call of the request.
func (c *call) adopts() bool {
	if earlier := c.env.Request; earlier.Named {
		return earlier.ID != "" && (earlier.Adopted || earlier.ID == c.adoptID)
	}
	return c.adoptID != ""
}

// adoption returns the variable that tells later calls of the request what adopts
// reports for the session; none if it is unset and would be empty.
func (c *call) adoption(who claim) []setting {
	is := c.adopts()
	if who.origin == originFresh {
		is = c.newID != ""
	}
	if !is && !c.env.Request.Adopted {
		return nil
	}
	return []setting{{"CGISESSION_ADOPTED", oneOrEmpty(is)}}
}

// checkNewName checks --new-id, before anything is changed. It finds an id that is in
// use already; one that another process takes meanwhile is refused when the session
// gets it.
func (c *call) checkNewName() error {
	switch {
	case c.newID == "":
		return nil
	case !c.adopts():
		return usagef("--new-id goes with --adopt-id; any other session gets a random id")
	case !store.ValidID(c.newID):
		return usagef("--new-id must be %d to %d characters A-Z a-z 0-9 _ -", store.MinID, store.MaxID)
	case c.newID == c.adoptID, c.newID == c.env.Request.ID:
		return errInUse
	}
	err := c.store.Look(c.handle(c.newID), func(*store.Session, store.State, error) error { return errInUse })
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// refuseNewID returns why this call can make no id; nil if it can. renew means that the
// verb gives a session a new id whatever it had, so that the script must name it.
func (c *call) refuseNewID(renew bool) error {
	switch {
	case c.newID != "":
		return nil
	case renew && c.adopts():
		return errUnnamed
	case c.untold:
		return errUntold
	}
	return nil
}

// foresee returns an error if the verb would make an id that this call cannot make. It
// reads the session without marking an access, before the verb ends one that has timed
// out or gives one a new id.
func (c *call) foresee(who claim, p policy, r rule) error {
	replaces := p.create >= createMissing && (!r.own || p.renew)
	refused := c.refuseNewID(p.renew)
	if refused == nil || !replaces && !p.moves {
		return nil
	}
	s, err := c.store.Read(c.handle(who.id), store.Peek)
	if err == nil && p.moves && s.Handle == c.handle(who.id) {
		return refused
	}
	return err
}

// replace ends the session and begins a new, empty one.
func (c *call) replace() (*result, error) {
	if err := c.foreseeEnd(); err != nil {
		return nil, err
	}
	if c.newID != "" {
		return c.replaceNamed()
	}
	ended, err := c.endSession(false)
	if err != nil {
		return nil, err
	}
	return c.begin(newClaim(), policy{}, ended, c.update(policy{}, saveNew))
}

// replaceNamed is replace for --new-id. The new session begins first, so that nothing
// has changed if the id is in use.
func (c *call) replaceNamed() (*result, error) {
	if err := c.checkNewName(); err != nil {
		return nil, err
	}
	r, err := c.besideLock(func() (*result, error) {
		return c.begin(claim{id: c.newID, origin: originFresh}, policy{}, false, c.update(policy{}, saveNew))
	})
	if err != nil {
		return nil, err
	}
	if r.wasInvalidated, err = c.endSession(false); err != nil {
		c.store.End(r.session.Handle)
		return nil, err
	}
	return r, nil
}

// foreseeEnd is foresee for a verb that ends the session and begins another.
func (c *call) foreseeEnd() error {
	refused := c.refuseNewID(true)
	if refused == nil {
		return nil
	}
	_, err := c.view(store.Peek)
	if err != nil && !errors.Is(err, errNo) && !errors.Is(err, store.ErrTooLarge) {
		return err
	}
	if c.store.LockedEnded() {
		return errGone
	}
	return refused
}

// besideLock calls work with the store that openBeside opens.
func (c *call) besideLock(work func() (*result, error)) (*result, error) {
	own := c.store
	defer func() { c.store = own }()
	var err error
	if c.store, err = c.openBeside(); err != nil {
		return nil, err
	}
	return work()
}
