package cmd

// This file derives from an id what stands for it, and reads the keys that sign it.

import (
	"fmt"
	"strings"

	"cgisession/cookie"
	"cgisession/store"
)

// A naming says what stands for a session's id: its handle, the client's token, and
// the key of its CSRF tokens. All depend on the cookie's name.
type naming struct {
	cookieName string
	keys       cookie.Keys // nil: ids are not signed
}

// handle returns the handle of the session id.
func (n *naming) handle(id string) string { return store.Handle(n.cookieName, id) }

// token returns the token that the client gets for the session id.
func (n *naming) token(id string) string {
	if n.keys == nil {
		return id
	}
	return n.keys.Sign(n.cookieName, id)
}

// verify returns the claim that a token makes, and reports whether it counts: its
// signature is valid, and its id is well formed. The claim has an id in any case, for
// the log.
func (n *naming) verify(token string) (claim, bool) {
	who := claim{id: token, origin: originClient}
	if n.keys == nil {
		return who, store.ValidID(token)
	}
	id, newest, ok := n.keys.Verify(n.cookieName, token)
	if !ok {
		id, _, _ = strings.Cut(token, ".")
	}
	who.id, who.resign = id, !newest
	return who, ok && store.ValidID(id)
}

// csrfKey returns the key for tokens of the session with this id.
func (n *naming) csrfKey(id string) string { return cookie.CSRFKey(n.cookieName, id) }

// csrfKeys returns the keys under which a token is valid: that of the request's id,
// and those of the session's older ids that are still in their grace.
func (n *naming) csrfKeys(r *result) []string {
	keys := []string{n.csrfKey(r.id)}
	for _, old := range r.session.OldKeys {
		keys = append(keys, old.Key)
	}
	return keys
}

// readKeys returns the keys that sign ids: those of the secret file, else those of
// CGISESSION_SECRET, else nil, and then ids are not signed. A key that is empty, too
// short or unsafe is an error (ErrConfig), never a reason not to sign.
func readKeys(file string, lookup func(string) (string, bool)) (cookie.Keys, error) {
	if set, ok := lookup("CGISESSION_SECRET_FILE"); file == "" && ok && set == "" {
		return nil, fmt.Errorf("%w: CGISESSION_SECRET_FILE is set but empty; name a key file or unset it",
			store.ErrConfig)
	}
	if file != "" {
		keys, err := readKeyFile(file)
		if err != nil {
			return nil, fmt.Errorf("%w: key file %s: %w", store.ErrConfig, file, err)
		}
		return keys, nil
	}
	secret, ok := lookup(secretVariable)
	if !ok {
		return nil, nil
	}
	keys, err := cookie.ParseKeys([]byte(secret))
	if err != nil {
		return nil, fmt.Errorf("%w: CGISESSION_SECRET: %w", store.ErrConfig, err)
	}
	return keys, nil
}

func readKeyFile(file string) (cookie.Keys, error) {
	text, err := readSecretFile(file)
	if err != nil {
		return nil, err
	}
	return cookie.ParseKeys(text)
}
