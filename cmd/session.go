package cmd

// This file is the flow of a request: which session it gets, what a verb does with
// it, and what the client is told.

import (
	"cmp"
	"errors"
	"sync"
	"time"

	"cgisession/store"
)

// call is one call of the program: its options, its environment, and what it uses.
type call struct {
	options
	requestEnv
	messages
	store     store.Backend
	stdout    *output   // help and answers; written out when all went well
	logFailed sync.Once // a failing log is reported once
	ambiguous bool      // the request's cookies lead to several sessions
	newID     string    // the script's own name for the session's next id
	untold    bool      // nothing that this call prints could tell a new id
	answer    answer    // how a header verb prints its result
	dashes    bool      // "--" stands on the command line
}

// A rule says what follows from the origin of a claim. rules has one for each origin.
type rule struct {
	own      bool  // a session may be created under the claim's id; else it gets a new one
	promised bool  // the id was given out, though perhaps no session is stored yet
	refusal  error // what a change returns if the session is absent and none is created
	reused   bool  // the script may give the id to another session once this one has ended
	logged   bool  // an id without a session is logged
	bound    bool  // the variables that an earlier call exported belong to the session

	over bool // set by call.rule: the id is not followed, and no new session is created instead
}

// rules is the table of origins.
var rules = [...]rule{
	// The request has no cookie, or none that counts.
	originNone: {refusal: errNoSession},

	// A client may claim any id, also one that it planted in another's browser. So
	// no session is created under it (session fixation).
	originClient: {refusal: errNoSession, logged: true},

	// The script names its sessions itself.
	originAdopted: {own: true, refusal: errNoSession, reused: true},

	// An earlier call of this request loaded the session, or ended it. If it is
	// absent now, no other session may get the script's changes.
	originRequest: {refusal: errGone, bound: true},

	// load --lazy gave out the id, so it is absent until the first change.
	originLazy: {own: true, promised: true, refusal: errNoSession, bound: true},

	// The session was created by this call. If it is absent, another process ended it
	// since.
	originFresh: {own: true, refusal: errGone},
}

// rule returns what follows from the claim now. Once the session that this request
// locked has ended, an absent session is gone, and none is created under its id. An id
// that the script reuses may lead to another session by then, so it leads to none.
func (c *call) rule(who claim) rule {
	r := rules[who.origin]
	if errors.Is(r.refusal, errNo) && c.store.LockedEnded() {
		r.own, r.refusal, r.over = false, errGone, r.reused
	}
	return r
}

// A policy says when a verb creates a session, and what else it does besides its step.
type policy struct {
	create   creation
	renew    bool // a new session gets a new id, even if the claim's may be used
	moves    bool // a session that is there gets a new id too, unless by an id in its grace
	lazy     bool // a new session only gets an id; the first change stores it
	opens    bool // begin the page: send a cookie with an expiry date again, and keep the page out of caches
	snapshot bool // a version read without the lock is enough, if there is one
}

// A creation says when a verb creates a session. Each includes those before it.
type creation int

const (
	createNever    creation = iota
	createPromised          // if it is absent, and load --lazy gave out its id
	createOwn               // if it is absent, and may be created under the claim's id
	createMissing           // if it is absent
	createAnother           // also in place of one that is gone
)

// onlyIf returns the policy of a verb that with --if-exists creates no session.
func (p policy) onlyIf(exists bool) policy {
	if exists {
		p.create = createNever
	}
	return p
}

// atOnce reports whether the step itself creates the claimed session if it is absent.
func (p policy) atOnce(r rule) bool {
	return r.own && !p.lazy && (p.create >= createOwn || p.create == createPromised && r.promised)
}

// successor returns the claim of the session to create in place of an absent one, or
// the rule's refusal if none is created.
func (p policy) successor(who claim, r rule) (claim, error) {
	gone := r.refusal == errGone
	switch {
	case p.create < createMissing, gone && p.create < createAnother, r.over:
		return claim{}, r.refusal
	case gone, !r.own, p.renew:
		return newClaim(), nil
	}
	return who, nil
}

// A step does a verb's work on the claimed session: a change, a move or a lock. It
// returns ErrNotFound or ErrInvalidated if there is none; but with create it creates
// the session under the claim's id.
type step func(who claim, create bool) (*result, error)

// result is a session after a call, and what the client must be told about it.
type result struct {
	session        *store.Session
	id, token      string
	isNew          bool
	wasInvalidated bool
	minted         bool      // not stored before its first change (load --lazy)
	accessed       int64     // Unix seconds; as load read it, through the whole request
	headers        []string  // lines without their ends
	assigned       string    // shell code that sets the NAMEs of load --sh
	adoption       []setting // what tells later calls that the script named the session
}

// change runs a verb that changes the session in one update.
func (c *call) change(p policy, change store.Change) (*result, error) {
	r, err := c.do(p, c.update(p, change))
	if err == nil && p.opens {
		c.addCacheControl(r)
	}
	return r, err
}

// do runs a verb that changes or locks the session, from the cookie to the answer:
// HTTP_COOKIE → id → handle → lock → load → change → save → Set-Cookie.
func (c *call) do(p policy, work step) (r *result, err error) {
	who, err := c.reach(func(who claim, rule rule) (err error) {
		if p.snapshot {
			if r, err = c.read(who, p); !absent(err) {
				return err
			}
		}
		if err = c.foresee(who, p, rule); err == nil {
			r, err = work(who, p.atOnce(rule))
		}
		return err
	})
	if !absent(err) {
		return r, err
	}
	ended := errors.Is(err, store.ErrInvalidated)
	// The rule is asked again, since the locked session may have ended meanwhile.
	who, err = p.successor(who, c.rule(who))
	if err == nil && who.origin == originFresh {
		who.id, err = cmp.Or(c.newID, who.id), c.refuseNewID(p.renew)
	}
	if err != nil {
		return nil, err
	}
	return c.begin(who, p, ended, work)
}

// reach calls work with the request's claim and its rule, and returns the claim and
// work's error. A claim whose id is empty or not followed is ErrNotFound. If the
// session is absent, reach logs why.
func (c *call) reach(work func(who claim, rule rule) error) (who claim, err error) {
	if who, err = c.identify(); err != nil {
		return who, err
	}
	rule := rules[who.origin]
	if rule.own { // for the others, the end of the locked session matters only if theirs is absent
		rule = c.rule(who)
	}
	if err = store.ErrNotFound; who.id != "" && !rule.over {
		err = work(who, rule)
	}
	if absent(err) {
		c.logAbsent(who, err)
	}
	return who, err
}

// begin creates the session or, for load --lazy, only promises it. ended means that it
// takes the place of one that was invalidated.
func (c *call) begin(who claim, p policy, ended bool, work step) (r *result, err error) {
	if p.lazy {
		r = c.promise(who)
	} else {
		r, err = work(who, c.rule(who).own)
		err = goneIfAbsent(err)
	}
	if r != nil {
		r.wasInvalidated = r.wasInvalidated || ended
	}
	return r, err
}

// promise returns the session that the first change will create.
func (c *call) promise(who claim) *result {
	now := time.Now()
	r := c.result(who, &store.Session{Handle: c.handle(who.id), Created: now.Unix(), Accessed: now, Data: store.Empty})
	r.isNew, r.minted, r.headers = true, true, c.variants()
	return r
}

// update returns the step of most verbs, which changes or creates the session.
func (c *call) update(p policy, change store.Change) step {
	return func(who claim, create bool) (*result, error) {
		before := uint64(0) // version
		s, err := c.store.Update(c.handle(who.id), create, func(s *store.Session) (store.Outcome, error) {
			before = s.Version
			if who.origin == originFresh && before > 0 {
				return store.Keep, errInUse
			}
			return change(s)
		})
		if err != nil {
			return nil, err
		}
		created := before == 0 && s.Version > 0
		if created {
			c.log("created", s.Handle)
		}
		r := c.result(who, s)
		r.isNew = r.isNew || created
		return r, c.addCookie(r, created || c.refreshes(who, p))
	}
}

// read returns the session for load --no-lock.
func (c *call) read(who claim, p policy) (*result, error) {
	s, err := c.store.Read(c.handle(who.id), store.Snapshot)
	if err != nil {
		return nil, err
	}
	r := c.result(who, s)
	return r, c.addCookie(r, c.refreshes(who, p))
}

// view runs a verb that only reads the session. It creates nothing; without a
// session it returns errNoSession, whatever the claim's origin.
func (c *call) view(reading store.Reading) (*result, error) {
	var s *store.Session
	who, err := c.reach(func(who claim, _ rule) (err error) {
		s, err = c.store.Read(c.handle(who.id), reading)
		return err
	})
	switch {
	case absent(err):
		return nil, errNoSession
	case err != nil:
		return nil, err
	}
	return c.result(who, s), nil
}

// absent reports whether err means that there is no session to work on.
func absent(err error) bool {
	return errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrInvalidated)
}

// goneIfAbsent returns err, or errGone if a session is absent that this call has found
// or created before: another process ended it since.
func goneIfAbsent(err error) error {
	if absent(err) {
		return errGone
	}
	return err
}

// result returns the session, with what an earlier call's variables say about it.
func (c *call) result(who claim, s *store.Session) *result {
	r := &result{session: s, id: who.id, token: c.token(who.id), accessed: s.Accessed.Unix()}
	if earlier := c.env.Request; rules[who.origin].bound {
		r.isNew, r.wasInvalidated = earlier.IsNew, earlier.WasInvalidated
		if earlier.Accessed != 0 {
			r.accessed = earlier.Accessed
		}
	}
	r.adoption = c.adoption(who)
	return r
}

// logAbsent logs why the claimed session is absent, if the client or its limits are
// the reason.
func (c *call) logAbsent(who claim, err error) {
	switch {
	case errors.Is(err, store.ErrInvalidated):
		c.log("timed out", c.handle(who.id))
	case rules[who.origin].logged:
		c.log("refused unknown id", c.handle(who.id))
	}
}
