package cookie

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// nonceSize is the random part of a CSRF token, in bytes. With it no two tokens
// are alike, so that a page's compressed size tells nothing about them (BREACH).
const nonceSize = 16

// csrfLabel begins what is hashed for CSRF tokens. No signed cookie begins so,
// for a cookie's name has no NUL.
const csrfLabel = "\x00csrf\x00"

// CSRFKey returns the key for the CSRF tokens of the session with this id under
// the cookie called name: 43 characters of base64url, from which nobody can
// learn the id. It is HMAC-SHA-256 under the id, so that who knows the session's
// handle, a hash of the same two, cannot make it.
func CSRFKey(name, id string) string {
	return base64.RawURLEncoding.EncodeToString(hmacOf([]byte(id), csrfLabel+name))
}

// CSRFToken returns a token that a form can carry to show that it came from a
// page of the session with this key: base64url of a nonce and of its HMAC-SHA-256
// under the key. Where ids are signed, the token is under the first signing key
// too, so that to know an id is not enough to make one.
func (k Keys) CSRFToken(key string) string {
	var nonce [nonceSize]byte
	rand.Read(nonce[:])
	return csrfToken(k.csrfSecrets(key)[0], nonce[:])
}

// CheckCSRFToken reports whether the token was made under one of a session's keys
// and, where ids are signed, under one of the signing keys. Each comparison takes
// constant time.
func (k Keys) CheckCSRFToken(keys []string, token string) bool {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) != nonceSize+sha256.Size {
		return false
	}
	for _, key := range keys {
		for _, secret := range k.csrfSecrets(key) {
			if hmac.Equal([]byte(token), []byte(csrfToken(secret, raw[:nonceSize]))) {
				return true
			}
		}
	}
	return false
}

// csrfSecrets returns what tokens are made under: the session's key, or where ids
// are signed one secret for each signing key.
func (k Keys) csrfSecrets(key string) [][]byte {
	if k == nil {
		return [][]byte{[]byte(key)}
	}
	var secrets [][]byte
	for _, signing := range k {
		secrets = append(secrets, hmacOf(signing, csrfLabel+key))
	}
	return secrets
}

func csrfToken(secret, nonce []byte) string {
	return base64.RawURLEncoding.EncodeToString(append(nonce[:len(nonce):len(nonce)], hmacOf(secret, string(nonce))...))
}

func hmacOf(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
