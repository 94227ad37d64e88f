package cookie

import (
	"strings"
	"testing"
)

const csrfID = "abcdefghijklmnopqrstuvwxyz234567"

// signing returns a key for each of the letters.
func signing(letters string) (keys Keys) {
	for _, letter := range letters {
		keys = append(keys, []byte(strings.Repeat(string(letter), minKey)))
	}
	return keys
}

func TestCSRFToken(t *testing.T) {
	key := CSRFKey("session", csrfID)
	for name, keys := range map[string]Keys{"unsigned": nil, "signed": signing("ab")} {
		token := keys.CSRFToken(key)
		if !keys.CheckCSRFToken([]string{key}, token) {
			t.Errorf("%s: a fresh token is refused", name)
		}
		if keys.CSRFToken(key) == token {
			t.Errorf("%s: two tokens are alike", name)
		}
		if keys.CheckCSRFToken(nil, token) {
			t.Errorf("%s: a token is taken without a key", name)
		}
	}
}

// The key is made from the id and the cookie's name.
func TestCSRFKey(t *testing.T) {
	key := CSRFKey("session", csrfID)
	if len(key) != 43 || strings.Contains(key, csrfID) {
		t.Errorf("the key %q is no hash", key)
	}
	for _, other := range []string{CSRFKey("session", "b"+csrfID[1:]), CSRFKey("other", csrfID), CSRFKey(csrfID, "session")} {
		if other == key {
			t.Error("two sessions have the same key")
		}
		if Keys(nil).CheckCSRFToken([]string{other}, Keys(nil).CSRFToken(key)) {
			t.Error("a token of another session is taken")
		}
	}
}

// A token checks under each key of its session, wherever that is in the list.
func TestCSRFTokenOfOldKeys(t *testing.T) {
	keys := []string{CSRFKey("session", "the-newest-of-the-ids"), CSRFKey("session", csrfID), CSRFKey("session", "another-of-its-ids")}
	for i, key := range keys {
		if !signing("a").CheckCSRFToken(keys, signing("a").CSRFToken(key)) {
			t.Errorf("a token of key %d is refused", i)
		}
	}
	if signing("a").CheckCSRFToken(keys[1:], signing("a").CSRFToken(keys[0])) {
		t.Error("a token of no key in the list is taken")
	}
}

// A token checks under the signing keys that ids check under, and no others.
func TestCSRFTokenOfOldSigningKeys(t *testing.T) {
	for _, tt := range []struct {
		made, checked Keys
		want          bool
	}{
		{signing("a"), signing("a"), true},
		{signing("a"), signing("ba"), true},
		{signing("a"), signing("cba"), true},
		{signing("ab"), signing("b"), false},
		{signing("a"), signing("b"), false},
		{signing("a"), nil, false},
		{nil, signing("a"), false},
	} {
		key := CSRFKey("session", csrfID)
		if got := tt.checked.CheckCSRFToken([]string{key}, tt.made.CSRFToken(key)); got != tt.want {
			t.Errorf("made under %s, checked under %s: %v", tt.made, tt.checked, got)
		}
	}
}

// Every character of a token counts, and none may be missing or too many.
func TestCSRFTokenChanged(t *testing.T) {
	keys, key := signing("ab"), CSRFKey("session", csrfID)
	token := keys.CSRFToken(key)
	for i := range len(token) {
		for bit := range 8 {
			changed := []byte(token)
			changed[i] ^= 1 << bit
			if keys.CheckCSRFToken([]string{key}, string(changed)) {
				t.Errorf("bit %d of byte %d flipped and still taken", bit, i)
			}
		}
	}
	for _, junk := range []string{"", token[1:], token[:len(token)-1], token + "A", token + "=", token + "\n", " " + token, token + token} {
		if keys.CheckCSRFToken([]string{key}, junk) {
			t.Errorf("%d bytes of junk taken", len(junk))
		}
	}
}
