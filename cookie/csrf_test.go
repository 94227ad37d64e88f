package cookie

import "testing"

func TestCSRFToken(t *testing.T) {
	const id, other = "abcdefghijklmnopqrstuvwxyz234567", "bbcdefghijklmnopqrstuvwxyz234567"
	token := CSRFToken(id)
	if !CheckCSRFToken(id, token) {
		t.Error("a fresh token is refused")
	}
	if CheckCSRFToken(other, token) {
		t.Error("a token of another session is taken")
	}
	if CSRFToken(id) == token {
		t.Error("two tokens are alike")
	}
}

// Every character of a token counts, and none may be missing or too many.
func TestCSRFTokenChanged(t *testing.T) {
	const id = "abcdefghijklmnopqrstuvwxyz234567"
	token := CSRFToken(id)
	for i := range len(token) {
		for bit := range 8 {
			changed := []byte(token)
			changed[i] ^= 1 << bit
			if CheckCSRFToken(id, string(changed)) {
				t.Errorf("bit %d of byte %d flipped and still taken", bit, i)
			}
		}
	}
	for _, junk := range []string{"", token[1:], token[:len(token)-1], token + "A", token + "=", token + "\n", " " + token, token + token} {
		if CheckCSRFToken(id, junk) {
			t.Errorf("%d bytes of junk taken", len(junk))
		}
	}
}
