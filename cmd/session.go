package cmd

import (
	"errors"
	"io"
	"sync"
	"time"

	"cgisession/cgi"
	"cgisession/cookie"
	"cgisession/store"
)

// call is one call of the program: what it was told, and what that leads to.
type call struct {
	options
	env cgi.Env
	// inherited are the names of variables of another request; they count as unset.
	inherited []string
	keys      cookie.Keys // nil: ids are not signed
	store     store.Backend
	stdin     io.Reader
	stdout    *output // help and answers; written out when all went well
	stderr    io.Writer

	logFailed sync.Once // guards that this is said once
	secrets   secrets   // what no message may hold

	ambiguous bool // the request's cookies lead to several sessions
}

// policy is what a verb does where there is no session.
type policy struct {
	create  bool // make one
	replace bool // also where an earlier call of this request had one
	lazy    bool // only think of its id: the first change stores it
	slide   bool // send the cookie again, so that its expiry date moves on
}

// result is a session after a call, and what the client has to be told of it.
type result struct {
	session        *store.Session
	id, token      string
	isNew          bool
	wasInvalidated bool
	minted         bool
	accessed       int64    // Unix seconds; what load found, through the whole request
	headers        []string // lines without their ends
}

// change runs a verb that changes the session, from the cookie to the answer:
// HTTP_COOKIE → id → handle → lock → load → change → save → Set-Cookie.
func (c *call) change(p policy, change store.Change) (*result, error) {
	who, err := c.identify()
	if err != nil {
		return nil, err
	}
	return c.changeNamed(who, p, change)
}

// changeNamed is change from the id on.
func (c *call) changeNamed(who named, p policy, change store.Change) (*result, error) {
	if c.another(who) {
		return nil, errGone
	}
	ended := false
	if who.id != "" {
		r, err := c.update(who, p, change)
		switch {
		case err == nil:
			return r, nil
		case !absent(err):
			return nil, err
		}
		c.logAbsent(who, err)
		ended = errors.Is(err, store.ErrInvalidated)
	}
	if c.gone(who) && (!p.replace || who.adopted) {
		return nil, errGone
	}
	if !p.create {
		return nil, errNo
	}
	if c.gone(who) || !who.adopted && !who.minted {
		who = named{id: store.NewID(), minted: true}
	}
	who.ended = ended
	return c.begin(who, p, change)
}

// update changes the session that who names. Only one that this request or its
// script named may be made on the way.
func (c *call) update(who named, p policy, change store.Change) (*result, error) {
	mayCreate := p.create && !p.lazy && c.mayCreate(who)
	absent := false
	s, err := c.store.Update(c.handle(who.id), mayCreate, func(s *store.Session) (store.Outcome, error) {
		absent = s.Version == 0
		return change(s)
	})
	if err != nil {
		return nil, err
	}
	created := absent && s.Version > 0
	if created {
		c.log("created", s.Handle)
	}
	r := c.result(who, s)
	r.isNew = r.isNew || created
	return r, c.addCookie(r, created || c.refreshes(who, p))
}

// refreshes reports whether the client is to get its cookie again: under a newer
// key, or with a later expiry date.
func (c *call) refreshes(who named, p policy) bool {
	return who.resign || p.slide && !who.bound && c.cookie.Expires.Persistent()
}

// mayCreate reports whether the session of who may come into being: under an id
// that this call made; or this request or its script, unless the session that
// it locked was ended.
func (c *call) mayCreate(who named) bool {
	own := who.minted && !who.bound
	return own || (who.minted || who.adopted) && !c.store.LockLost()
}

// another reports whether what has a script's own name by now is not the session
// that this request locked, which has ended.
func (c *call) another(who named) bool { return who.adopted && c.store.LockLost() }

// gone reports whether an absent session of who was there earlier in this
// request, which made it or locked it.
func (c *call) gone(who named) bool {
	return who.bound && !who.minted || c.store.LockLost()
}

// begin makes a new session under the id of who, or, if that is enough, only
// says what it will be.
func (c *call) begin(who named, p policy, change store.Change) (*result, error) {
	if !p.lazy {
		r, err := c.update(who, policy{create: true}, change)
		if absent(err) { // it was removed at once
			err = errGone
		}
		return r, err
	}
	now := time.Now()
	s := &store.Session{Handle: c.handle(who.id), Created: now.Unix(), Accessed: now, Data: store.Empty}
	r := c.result(who, s)
	r.isNew, r.minted, r.headers = true, true, c.variants()
	return r, nil
}

// view runs a verb that only reads the session. It creates nothing; without a
// session it is errNo.
func (c *call) view(how store.Reading) (*result, error) {
	who, err := c.identify()
	if err != nil {
		return nil, err
	}
	if who.id == "" {
		return nil, errNo
	}
	s, err := c.store.Read(c.handle(who.id), how)
	if absent(err) {
		c.logAbsent(who, err)
		return nil, errNo
	}
	if err != nil {
		return nil, err
	}
	return c.result(who, s), nil
}

// absent reports whether err means that there is no session to work on.
func absent(err error) bool {
	return errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrInvalidated)
}

func (c *call) handle(id string) string { return store.Handle(c.cookieName, id) }

// token returns what the client has to send for the session id.
func (c *call) token(id string) string {
	if c.keys == nil {
		return id
	}
	return c.keys.Sign(c.cookieName, id)
}

// result returns the session with what an earlier call of this request knew of
// it.
func (c *call) result(who named, s *store.Session) *result {
	r := &result{session: s, id: who.id, token: c.token(who.id), accessed: s.Accessed.Unix()}
	if who.bound {
		r.isNew, r.wasInvalidated = c.env.Request.IsNew, c.env.Request.WasInvalidated
		if c.env.Request.Accessed != 0 {
			r.accessed = c.env.Request.Accessed
		}
	}
	r.wasInvalidated = r.wasInvalidated || who.ended
	return r
}

// addCookie adds the header line for the session's cookie, if it is due.
func (c *call) addCookie(r *result, due bool) error {
	if !due || !c.useCookies || c.inGrace(r) {
		return nil
	}
	line, err := cookie.Set(c.cookieName, r.token, c.attributes(c.env.HTTPS), time.Now())
	if err != nil {
		return usageError{err}
	}
	r.headers = append(append(r.headers, c.variants()...), line)
	return nil
}

// inGrace reports whether the request came by an id in its grace. Its client gets
// no cookie: another answer has brought it that of the new id, which the old one
// would replace.
func (c *call) inGrace(r *result) bool {
	return r.session != nil && r.session.Handle != c.handle(r.id)
}

// logAbsent says why a session that was asked for is not there.
func (c *call) logAbsent(who named, err error) {
	switch {
	case errors.Is(err, store.ErrInvalidated):
		c.log("timed out", c.handle(who.id))
	case !who.bound && !who.adopted:
		c.log("refused unknown id", c.handle(who.id))
	}
}

// maxLogged bounds how many lines of one kind a request's tokens add to the log.
const maxLogged = 8

// logSome logs an event for the first few of the handles.
func (c *call) logSome(event string, handles []string) {
	for _, handle := range handles[:min(len(handles), maxLogged)] {
		c.log(event, handle)
	}
}
