package store

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

const (
	idAlphabet = "abcdefghijklmnopqrstuvwxyz234567"
	idLength   = 32 // of 5 bits each: 160 bits

	// MinID and MaxID bound the length of an id that a script chose.
	MinID, MaxID = 16, 128
)

// NewID returns a fresh session id: 160 random bits as 32 characters a-z and 2-7.
func NewID() string {
	var id [idLength]byte
	rand.Read(id[:])
	for i, b := range id {
		id[i] = idAlphabet[b%byte(len(idAlphabet))]
	}
	return string(id[:])
}

// IsNewID reports whether text has the form of an id that NewID makes.
func IsNewID(text string) bool {
	return len(text) == idLength && strings.Trim(text, idAlphabet) == ""
}

// ValidID reports whether id has the form of a session id: 16 to 128
// characters A-Z, a-z, 0-9, '_' and '-'.
func ValidID(id string) bool {
	if len(id) < MinID || len(id) > MaxID {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// Handle returns the handle of the session with this id under this cookie name: the hex
// SHA-256 of the name, a NUL and the id. A handle does not give access to the session,
// so it may be logged, and files are named by it rather than by what a client sent.
func Handle(name, id string) string {
	sum := sha256.Sum256([]byte(name + "\x00" + id))
	return hex.EncodeToString(sum[:])
}

// HandleSize is the length of a handle in bytes.
const HandleSize = 2 * sha256.Size

// IsHandle reports whether text has the form of a handle.
func IsHandle(text string) bool { return len(text) == HandleSize && IsHex(text) }

// IsHex reports whether text has only the digits 0-9 and a-f, as handles have.
func IsHex(text string) bool {
	for _, c := range []byte(text) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// UserKey returns the name of a user in an index of users: the first half of the hex
// SHA-256 of the user's name. If a cookie name is given, it and a NUL come before the
// user's name.
func UserKey(cookieName, user string) string {
	if cookieName != "" {
		user = cookieName + "\x00" + user
	}
	sum := sha256.Sum256([]byte(user))
	return hex.EncodeToString(sum[:UserKeySize/2])
}

// UserKeySize is the length of a user's key in bytes.
const UserKeySize = sha256.Size
