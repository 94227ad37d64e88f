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

// CSRFToken returns a token that a form can carry to show that it came from a
// page of the session with this id: base64url of a nonce and of its
// HMAC-SHA-256 under the id. It is good for as long as the id is.
func CSRFToken(id string) string {
	var nonce [nonceSize]byte
	rand.Read(nonce[:])
	return csrfToken(id, nonce[:])
}

func csrfToken(id string, nonce []byte) string {
	h := hmac.New(sha256.New, []byte(id))
	h.Write([]byte("csrf\x00"))
	h.Write(nonce)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nonce[:len(nonce):len(nonce)]))
}

// CheckCSRFToken reports in constant time whether token was made for the
// session with this id.
func CheckCSRFToken(id, token string) bool {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) != nonceSize+sha256.Size {
		return false
	}
	return hmac.Equal([]byte(token), []byte(csrfToken(id, raw[:nonceSize])))
}
