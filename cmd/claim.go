package cmd

// This file finds out which session the request refers to.

import (
	"cgisession/cgi"
	"cgisession/cookie"
	"cgisession/store"
)

// A claim is the session that a request refers to, and who vouches for it.
type claim struct {
	id     string // empty: no session
	origin origin
	resign bool // the client's token was signed by an older key
}

// An origin is who vouches for a claim's id. What follows from it stands in rules.
type origin int

const (
	originNone    origin = iota // nobody: the request refers to no session
	originClient                // the client, by a cookie or by --id
	originAdopted               // the script, by --adopt-id
	originRequest               // an earlier call of this request; without an id, that call ended the session
	originLazy                  // an earlier load --lazy of this request: perhaps nothing is stored yet
	originFresh                 // this call, which made the id
)

// newClaim returns the claim of a session to create under a new id.
func newClaim() claim { return claim{id: store.NewID(), origin: originFresh} }

// identify returns the request's claim. Nothing that the client sends is an error: an
// invalid token makes no claim.
func (c *call) identify() (who claim, err error) {
	switch earlier := c.env.Request; {
	case earlier.Named:
		return requestClaim(earlier)
	case c.adoptID != "":
		return claim{id: c.adoptID, origin: originAdopted}, nil
	case c.id.wanted():
		token, err := c.id.read("id")
		if err != nil {
			return claim{}, err
		}
		who, _, err = c.tokens([]string{token}).choose()
		return who, err
	}
	who, c.ambiguous, err = c.cookies().choose()
	return who, err
}

// requestClaim returns the claim that an earlier call of the request exported.
func requestClaim(earlier cgi.Request) (claim, error) {
	switch {
	case earlier.ID == "":
		return claim{origin: originRequest}, nil
	case !store.ValidID(earlier.ID):
		return claim{}, usagef("CGISESSION_ID holds no session id; export what load --sh printed")
	case earlier.Minted:
		return claim{id: earlier.ID, origin: originLazy}, nil
	}
	return claim{id: earlier.ID, origin: originRequest}, nil
}

// tokens are the tokens that a client sent, and what is needed to verify them and to
// find their sessions.
type tokens struct {
	naming
	sent  []string
	store store.Store
	log   func(event, handle string)
}

func (c *call) tokens(sent []string) tokens {
	return tokens{c.naming, sent, c.store, c.log}
}

// cookies returns the tokens in the request's cookies.
func (c *call) cookies() tokens {
	if !c.useCookies {
		return c.tokens(nil)
	}
	return c.tokens(cookie.Values(c.env.Cookie, c.cookieName))
}

// choose returns the claim of the client's tokens. It does not look up a single
// claim: the verb does that anyway. ambiguous reports whether several claims lead to
// sessions; then choose returns none.
func (t tokens) choose() (who claim, ambiguous bool, err error) {
	claims, refused := t.claims()
	t.logSome("refused token", refused)
	switch len(claims) {
	case 0:
		return claim{}, false, nil
	case 1:
		return claims[0], false, nil
	}
	return t.chooseLive(claims)
}

// claims returns the claims that count, one for each id, and the handles of the
// tokens that do not count.
func (t tokens) claims() (claims []claim, refused []string) {
	known := make(map[string]bool)
	for _, token := range t.sent {
		who, ok := t.verify(token)
		switch {
		case !ok:
			refused = append(refused, t.handle(who.id))
		case !known[who.id]:
			known[who.id] = true
			claims = append(claims, who)
		}
	}
	return claims, refused
}

// chooseLive returns the one of several claims that leads to a session. Claims
// that lead nowhere do not count, however many. Two live claims count as none, so a
// planted cookie gains nothing. Errors of the other claims are ignored once one leads
// to a session.
func (t tokens) chooseLive(claims []claim) (who claim, ambiguous bool, err error) {
	handles := t.handles(claims)
	at, err := t.store.Live(handles, 2)
	switch {
	case err == store.ErrTooMany:
		t.log("too many cookies", handles[0])
		return claim{}, true, nil
	case at == nil:
		return claim{}, false, err
	}
	chosen := -1
	var live []string
	for i, handle := range handles {
		switch {
		case at[i] == "":
			continue
		case chosen < 0, at[i] == at[chosen] && at[i] == handle: // its present id rather than an old one
			chosen = i
		case at[i] != at[chosen]:
			ambiguous = true
		}
		live = append(live, handle)
	}
	switch {
	case chosen < 0:
		return claim{}, false, err
	case ambiguous:
		t.logSome("ambiguous cookies", live)
		return claim{}, true, nil
	}
	return claims[chosen], false, nil
}

func (t tokens) handles(claims []claim) (handles []string) {
	for _, who := range claims {
		handles = append(handles, t.handle(who.id))
	}
	return handles
}

// maxLogged bounds how many lines of one kind a request's tokens add to the log.
const maxLogged = 8

// logSome logs an event for the first few of the handles.
func (t tokens) logSome(event string, handles []string) {
	for _, handle := range handles[:min(len(handles), maxLogged)] {
		t.log(event, handle)
	}
}
