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
// page of a session: base64url of a nonce and of its HMAC-SHA-256 under what opens
// the session, its id with its signature if there is one. It is good for as long
// as that is.
func CSRFToken(opener string) string {
	var nonce [nonceSize]byte
	rand.Read(nonce[:])
	return csrfToken(opener, nonce[:])
}

func csrfToken(opener string, nonce []byte) string {
	h := hmac.New(sha256.New, []byte(opener))
	h.Write([]byte("csrf\x00"))
	h.Write(nonce)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nonce[:len(nonce):len(nonce)]))
}

// CheckCSRFToken reports in constant time whether token was made for the
// session that opener opens.
func CheckCSRFToken(opener, token string) bool {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) != nonceSize+sha256.Size {
		return false
	}
	return hmac.Equal([]byte(token), []byte(csrfToken(opener, raw[:nonceSize])))
}
