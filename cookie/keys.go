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

// minKey is the least size of a key in bytes: that of the hash (RFC 2104 §3).
const minKey = sha256.Size

// Keys sign the ids in cookies. The first key signs and all verify, so that
// a new first line in the key file takes over without logging anybody out.
type Keys [][]byte

// ParseKeys reads a key file: one key a line, which is the line's bytes without
// its LF or CRLF. Empty lines and those that begin with '#' are skipped, and
// so is a byte order mark, lest it turn a comment into a key. A key
// under 32 bytes and a file without any key are errors, which hold no byte of
// the file.
func ParseKeys(text []byte) (Keys, error) {
	var keys Keys
	number := 0
	for line := range bytes.Lines(bytes.TrimPrefix(text, []byte("\ufeff"))) {
		number++
		key := bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		switch {
		case len(key) == 0 || key[0] == '#':
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

// Sign returns the token "id.mac" for the cookie called name, where mac is the
// first key's HMAC-SHA-256 (RFC 2104) over name, a NUL and id, as 43 characters
// of base64url without padding (RFC 4648 §5). It panics without a key, for an
// unsigned id must never pass for a signed one.
func (k Keys) Sign(name, id string) string {
	return id + "." + mac(k[0], name, id)
}

// Verify takes a token apart at its last '.'. It returns the id and ok if one
// of the keys made exactly this token for the cookie called name; newest says
// that it was the first key. Otherwise, and always without a key, it returns
// zero values. The id is not looked at: any text could have been signed.
func (k Keys) Verify(name, token string) (id string, newest, ok bool) {
	dot := strings.LastIndexByte(token, '.')
	if dot < 0 {
		return "", false, false
	}
	id, got := token[:dot], []byte(token[dot+1:])
	for i, key := range k {
		// The texts are compared, not what they decode to, so that a
		// MAC has one spelling. hmac.Equal takes constant time.
		if hmac.Equal(got, []byte(mac(key, name, id))) {
			return id, i == 0, true
		}
	}
	return "", false, false
}

// mac is unambiguous because a cookie's name has no NUL.
func mac(key []byte, name, id string) string {
	return base64.RawURLEncoding.EncodeToString(hmacOf(key, name+"\x00"+id))
}
