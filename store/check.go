package store

import (
	"errors"
	"io/fs"
	"time"
)

// What an examination looks at in each session.

// Sessions is what CheckSessions needs of a store.
type Sessions struct {
	Each func(visit Visit) error
	Look func(handle string, visit Visit) error

	// Mend mends a session, or moves it out of the way, and returns what it did.
	// nil: sessions cannot be mended.
	Mend func(handle string) (did []string, err error)

	// Indexed reports whether the index of users leads to the session. nil: that
	// cannot be told.
	Indexed func(s *Session) bool
	// Index makes the index of users lead to the session.
	Index func(s *Session) error
	// PruneIndex removes what leads to no session of its user, and returns how many
	// entries that were. nil: Sweep does it.
	PruneIndex func() (removed int, err error)
}

// sessionCheck is a check of all sessions under way.
type sessionCheck struct {
	Sessions
	repair        bool
	findings      *Findings
	seen, damaged int
	users         int   // sessions of a user
	unindexed     int   // of them: not in the index, where that can be told
	failed        error // to index one
}

// CheckSessions reads every session, adds to found what is wrong, and with repair
// mends what can be mended.
func CheckSessions(findings *Findings, of Sessions, repair bool) {
	c := sessionCheck{Sessions: of, repair: repair, findings: findings}
	if err := c.Each(c.visit); err != nil {
		findings.Say(Problem, "sessions", "not all could be read: %v", err)
	}
	findings.Say(Fine, "sessions", "%d read, %d damaged", c.seen, c.damaged)
	c.reportIndex()
}

func (c *sessionCheck) visit(s *Session, state State, wrong error) error {
	c.seen++
	if unusable(state, wrong) {
		c.damaged++
	}
	if wrong == nil {
		wrong = fromFuture(s, state)
	}
	if wrong == nil || !c.report(s, state, wrong) {
		c.index(s)
		return nil
	}
	err := c.Look(s.Handle, func(s *Session, _ State, _ error) error { // mended, it may be a user's
		c.index(s)
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// unusable reports whether no session can be had from what was found.
func unusable(state State, wrong error) bool {
	switch state {
	case Unsafe, Corrupt, Oversize:
		return true
	case Unused:
		return wrong != nil
	}
	return false
}

// MaxSkew is how far clocks may be apart.
const MaxSkew = 5 * time.Second

var errFromFuture = errors.New("it is from the future; a clock was set back")

// fromFuture returns errFromFuture for a session with a time in the future. An old
// id's tombstone has such a time on purpose.
func fromFuture(s *Session, state State) error {
	latest := time.Now().Add(MaxSkew)
	if state != Moved && (s.Accessed.After(latest) || s.Created > latest.Unix()) {
		return errFromFuture
	}
	return nil
}

// report adds what is wrong with a session, or mends it, and reports whether it is
// mended.
func (c *sessionCheck) report(s *Session, state State, wrong error) (mended bool) {
	about := "session " + s.Handle
	if c.Mend != nil && c.repair {
		did, err := c.Mend(s.Handle)
		c.findings.Mended(about, wrong, did, err)
		return err == nil
	}
	_, unread := errors.AsType[*fs.PathError](wrong) // too large, or the disk's error
	switch {
	case !unusable(state, wrong):
		c.findings.Say(Warning, about, "%v", wrong)
	case state == Unsafe:
		c.findings.Say(Problem, about, "%v: %s", wrong, s.Path)
	case unread:
		c.findings.Say(Problem, about, "%v", wrong)
	case c.Mend == nil:
		c.findings.Say(Problem, about, "%v; destroy ends it", wrong)
	default:
		c.findings.Say(Problem, about, "%v; doctor --repair moves %s out of the way", wrong, s.Path)
	}
	return false
}

// index counts a session of a user, and with repair puts it in the index.
func (c *sessionCheck) index(s *Session) {
	if s.User == "" {
		return
	}
	c.users++
	if c.Indexed != nil && !c.Indexed(s) {
		c.unindexed++
	}
	if c.repair && c.failed == nil {
		c.failed = c.Index(s)
	}
}

// reportIndex adds what is wrong with the index of users, once all sessions are read.
func (c *sessionCheck) reportIndex() {
	const about = "index of users"
	removed := 0
	if c.repair && c.PruneIndex != nil && c.failed == nil {
		removed, c.failed = c.PruneIndex()
	}
	switch {
	case c.failed != nil:
		c.findings.Say(Problem, about, "%v", c.failed)
	case c.repair && c.PruneIndex != nil:
		c.findings.Say(Fine, about, "it leads to all %d sessions that are a user's: %d added; %d that led elsewhere removed", c.users, c.unindexed, removed)
	case c.repair:
		c.findings.Say(Fine, about, "it leads to all %d sessions that are a user's", c.users)
	case c.unindexed > 0:
		c.findings.Say(Warning, about, "%d of %d sessions are missing; the next access of each mends that, or doctor --repair", c.unindexed, c.users)
	}
}
