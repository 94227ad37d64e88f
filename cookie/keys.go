package cookie

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
)

// minKey is the smallest size of a key, in bytes: the size of the hash (RFC 2104 §3).
const minKey = sha256.Size

// Keys sign the ids in cookies. The first key signs; all verify. So a new first line in
// the key file takes over without ending a session. nil means that ids are not signed.
type Keys [][]byte

// ParseKeys parses a key file. Each line is a key: its bytes without the LF or CRLF.
// Empty lines are skipped, and comments, which begin with '#', indented or not; so is a
// byte order mark at the beginning of the file. Else a comment would be a key that others
// may know. A key under 32 bytes is an error, and so is a file without a key. No error
// holds a byte of the file.
func ParseKeys(text []byte) (Keys, error) {
	var keys Keys
	number := 0
	for line := range bytes.Lines(bytes.TrimPrefix(text, []byte("\ufeff"))) {
		number++
		key := bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		switch {
		case len(key) == 0 || bytes.HasPrefix(bytes.TrimLeft(key, " \t"), []byte("#")):
		case len(key) < minKey:
			return nil, errors.New("key on line " + strconv.Itoa(number) + " is too short: it has " +
				strconv.Itoa(len(key)) + " of at least " + strconv.Itoa(minKey) + " bytes")
		default:
			keys = append(keys, bytes.Clone(key))
		}
	}
	if keys == nil {
		return nil, errors.New("no key: write one of at least " + strconv.Itoa(minKey) + " random bytes on a line")
	}
	return keys, nil
}

// Sign returns the token "id.mac" for the cookie called name. mac is the HMAC-SHA-256
// (RFC 2104) under the first key of name, a NUL and id: 43 characters of base64url
// without padding (RFC 4648 §5). Without a key Sign panics: an unsigned id must never
// pass for a signed one.
func (k Keys) Sign(name, id string) string {
	return id + "." + mac(k[0], name, id)
}

// Verify splits a token at its last '.'. If one of the keys made exactly this token for
// the cookie called name, it returns the id and ok; newest reports whether that was the
// first key. Otherwise, and always without a key, it returns zero values. The token may
// be any text. Verify does not check the form of the id: any text can be signed.
func (k Keys) Verify(name, token string) (id string, newest, ok bool) {
	dot := strings.LastIndexByte(token, '.')
	if dot < 0 {
		return "", false, false
	}
	id, got := token[:dot], []byte(token[dot+1:])
	for i, key := range k {
		// The texts are compared, not what they decode to: base64 has several
		// spellings of the same bytes. hmac.Equal takes constant time.
		if hmac.Equal(got, []byte(mac(key, name, id))) {
			return id, i == 0, true
		}
	}
	return "", false, false
}

// mac returns the HMAC of a name and an id. A cookie's name has no NUL, so no two pairs
// give the same text.
func mac(key []byte, name, id string) string {
	return base64.RawURLEncoding.EncodeToString(hmacOf(key, name+"\x00"+id))
}
