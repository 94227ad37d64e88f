package cookie

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// A CSRF token is a nonce and its HMAC-SHA-256, 48 bytes, as 64 characters of base64url
// (RFC 4648 §5).

// nonceSize is the size of the nonce, in bytes. It makes every token a new one, so that
// the size of a compressed page reveals nothing about it (the BREACH attack).
const nonceSize = 16

// csrfLabel begins every text that is hashed for CSRF tokens. The text that is hashed
// for a signed cookie begins with the cookie's name, which has no NUL. So neither of
// the two hashes can pass for the other.
const csrfLabel = "\x00csrf\x00"

// CSRFKey returns the key for the CSRF tokens of the session with this id, under the
// cookie called name: 43 characters of base64url, which do not reveal the id. It is
// HMAC-SHA-256 under the id, so that it cannot be computed from the session's handle,
// which is a hash of the same name and id.
func CSRFKey(name, id string) string {
	return base64.RawURLEncoding.EncodeToString(hmacOf([]byte(id), csrfLabel+name))
}

// CSRFToken returns a new token, 64 characters. A form that carries it shows that it
// comes from a page of the session with this key. If ids are signed, the first signing
// key goes into the token too, so that an id alone is not enough to make one.
func (k Keys) CSRFToken(key string) string {
	var nonce [nonceSize]byte
	rand.Read(nonce[:])
	return csrfToken(k.csrfSecrets(key)[0], nonce[:])
}

// CheckCSRFToken reports whether the token was made under one of a session's keys and,
// if ids are signed, under one of the signing keys. The token may be any text. Each
// comparison takes constant time.
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

// csrfSecrets returns the HMAC keys of tokens: the session's key or, if ids are signed,
// one key for each signing key, in their order.
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

// csrfToken returns the token of this nonce.
func csrfToken(secret, nonce []byte) string {
	return base64.RawURLEncoding.EncodeToString(append(nonce[:len(nonce):len(nonce)], hmacOf(secret, string(nonce))...))
}

// hmacOf returns the HMAC-SHA-256 of the text (RFC 2104), 32 bytes.
func hmacOf(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
