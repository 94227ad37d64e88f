package cmd

import (
	"errors"
	"slices"
	"strings"

	"cgisession/cookie"
	"cgisession/store"
)

// named is the session that a request refers to, and who vouches for it.
type named struct {
	id      string // empty: none
	bound   bool   // by an earlier call of this request: this session or exit 10
	adopted bool   // by the script's --adopt-id
	minted  bool   // by this request, and to be stored with the first change
	resign  bool   // the token was signed by an older key
	ended   bool   // another session was there, and this one takes its place
}

// identify finds out which session the request means. What a client sent is
// judged, and never an error.
func (c *call) identify() (named, error) {
	if request := c.env.Request; request.Named {
		if request.ID != "" && !store.ValidID(request.ID) {
			return named{}, usagef("CGISESSION_ID holds no session id; export what load --sh printed")
		}
		return named{id: request.ID, bound: true, minted: request.Minted && request.ID != ""}, nil
	}
	switch {
	case c.adoptID != "":
		return named{id: c.adoptID, adopted: true}, nil
	case c.id.wanted():
		token, err := c.id.read("id")
		if err != nil {
			return named{}, err
		}
		return c.choose([]string{token})
	case c.useCookies:
		return c.choose(cookie.Values(c.env.Cookie, c.cookieName))
	}
	return named{}, nil
}

// choose returns the session that the client's tokens name. A single claim is
// judged by the verb itself, when it comes to the session.
func (c *call) choose(tokens []string) (named, error) {
	claims, refused := c.claims(tokens)
	c.logSome("refused token", refused)
	switch len(claims) {
	case 0:
		return named{}, nil
	case 1:
		return claims[0], nil
	}
	return c.chooseLive(claims)
}

// claims returns the ids that tokens claim, each once, and the handles of the
// tokens that claim nothing.
func (c *call) claims(tokens []string) (claims []named, refused []string) {
	known := make(map[string]bool)
	for _, token := range tokens {
		claim, ok := c.judge(token)
		switch {
		case !ok:
			refused = append(refused, c.handle(claim.id))
		case !known[claim.id]:
			known[claim.id] = true
			claims = append(claims, claim)
		}
	}
	return claims, refused
}

// chooseLive returns the one of several claims that leads to a session. Claims
// that lead nowhere do not count, however many. Claims that lead to two sessions
// count as none, so a planted cookie opens nothing. Errors of other claims are
// ignored once one leads to a session.
func (c *call) chooseLive(claims []named) (named, error) {
	handles := c.handles(claims)
	at, err := c.store.Live(handles, 2)
	switch {
	case err == store.ErrTooMany:
		c.ambiguous = true
		c.log("too many cookies", handles[0])
		return named{}, nil
	case at == nil:
		return named{}, err
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
			c.ambiguous = true
		}
		live = append(live, handle)
	}
	switch {
	case chosen < 0:
		return named{}, err
	case c.ambiguous:
		c.logSome("ambiguous cookies", live)
		return named{}, nil
	}
	return claims[chosen], nil
}

func (c *call) handles(claims []named) (handles []string) {
	for _, claim := range claims {
		handles = append(handles, c.handle(claim.id))
	}
	return handles
}

// judge returns the session that a client's token claims, and whether the
// client may claim it.
func (c *call) judge(token string) (named, bool) {
	if c.keys == nil {
		return named{id: token}, store.ValidID(token)
	}
	id, newest, ok := c.keys.Verify(c.cookieName, token)
	if !ok {
		id, _, _ = strings.Cut(token, ".") // for its handle in the log
	}
	return named{id: id, resign: !newest}, ok && store.ValidID(id)
}

// endOthers ends the sessions that the request's cookies lead to, except the one
// at kept, which came there from the handle from, and reports whether there were
// any. So after a log-in no cookie that was planted, or left over, competes with
// the session's own. It comes once the client's session has its new id, which the
// client must learn: so it waits for no lock, and what it cannot end is logged and
// fails nothing.
func (c *call) endOthers(from, kept string) (ended bool) {
	if !c.useCookies {
		return false
	}
	claims, _ := c.claims(cookie.Values(c.env.Cookie, c.cookieName))
	others := slices.DeleteFunc(c.handles(claims), func(handle string) bool { return handle == from || handle == kept })
	if len(others) == 0 {
		return false
	}
	at, err := c.store.Live(others, len(others))
	if err != nil {
		c.log("other sessions not found: "+err.Error(), others[0])
	}
	slices.Sort(at)
	for _, handle := range slices.Compact(at) {
		if handle == "" || handle == kept {
			continue
		}
		switch err := c.store.End(handle); {
		case err == nil:
			c.log("removed", handle)
			ended = true
		case !absent(err):
			c.log("not ended: "+err.Error(), handle)
			if errors.Is(err, store.ErrUnavailable) { // nor will be the next
				return ended
			}
		}
	}
	return ended
}

// variants returns the lines that delete the cookies which made this request
// ambiguous, as far as they can be known.
func (c *call) variants() []string {
	if !c.ambiguous || !c.useCookies {
		return nil
	}
	return cookie.Variants(c.cookieName, c.attributes(c.env.HTTPS), c.env.ServerName, c.env.ScriptName)
}
