package store

import (
	"errors"
	"io/fs"
	"time"
)

// Sessions is a store as CheckSessions needs it. nil functions are steps that the
// store does not have.
type Sessions struct {
	Each func(visit Visit) error
	Look func(handle string, visit Visit) error

	// Mend mends a session, or sets it aside, and returns what it did, in words for
	// an operator. nil: sessions cannot be mended.
	Mend func(handle string) (did []string, err error)

	// Indexed reports whether the index of users leads to the session. nil: the
	// store cannot tell.
	Indexed func(s *Session) bool
	// Index makes the index of users lead to the session.
	Index func(s *Session) error
	// PruneIndex removes the entries that lead to no session of their user, and
	// returns their number. nil: Sweep does that.
	PruneIndex func() (removed int, err error)
}

// A sessionCheck is a CheckSessions in progress.
type sessionCheck struct {
	Sessions
	repair        bool
	findings      *Findings
	seen, damaged int
	users         int   // sessions with a user
	unindexed     int   // those that are not in the index, where the store can tell
	failed        error // the first error of the index; nothing is added to it after that
}

// CheckSessions reads every session and adds what is wrong to findings. With repair it
// also mends what can be mended.
func CheckSessions(findings *Findings, of Sessions, repair bool) {
	c := sessionCheck{Sessions: of, repair: repair, findings: findings}
	if err := c.Each(c.visit); err != nil {
		findings.Say(Problem, "sessions", "not all could be read: %v", err)
	}
	findings.Say(Fine, "sessions", "%d read, %d damaged", c.seen, c.damaged)
	c.reportIndex()
}

// visit checks one session, and with repair mends it and then indexes what it is by
// then.
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
	err := c.Look(s.Handle, func(s *Session, _ State, _ error) error { // once it is mended, it may have a user
		c.index(s)
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// unusable reports whether a file in this state holds no session that can be used.
func unusable(state State, wrong error) bool {
	switch state {
	case Unsafe, Corrupt, Oversize:
		return true
	case Unused:
		return wrong != nil
	}
	return false
}

// MaxSkew is how far the clocks of two machines may differ before that is a fault.
const MaxSkew = 5 * time.Second

var errFromFuture = errors.New("it is from the future; a clock was set back")

// fromFuture returns errFromFuture for a session with a time in the future. A
// tombstone has such a time on purpose: the end of its grace.
func fromFuture(s *Session, state State) error {
	latest := time.Now().Add(MaxSkew)
	if state != Moved && (s.Accessed.After(latest) || s.Created > latest.Unix()) {
		return errFromFuture
	}
	return nil
}

// report adds a finding for what is wrong with a session, or mends it, and reports
// whether it is mended.
func (c *sessionCheck) report(s *Session, state State, wrong error) (mended bool) {
	about := "session " + s.Handle
	if c.Mend != nil && c.repair {
		did, err := c.Mend(s.Handle)
		c.findings.Mended(about, wrong, did, err)
		return err == nil
	}
	_, unread := errors.AsType[*fs.PathError](wrong) // the file is too large, or the disk failed
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

// index counts a session with a user, and with repair adds it to the index.
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

// reportIndex adds the findings about the index of users, after all sessions were read.
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
		c.findings.Say(Fine, about, "it leads to all %d sessions that are a user's: "+
			"%d added; %d that led elsewhere removed", c.users, c.unindexed, removed)
	case c.repair:
		c.findings.Say(Fine, about, "it leads to all %d sessions that are a user's", c.users)
	case c.unindexed > 0:
		c.findings.Say(Warning, about, "%d of %d sessions are missing; "+
			"the next access of each mends that, or doctor --repair", c.unindexed, c.users)
	}
}
