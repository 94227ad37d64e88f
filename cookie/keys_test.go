package cookie_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"cgisession/cookie"

	"github.com/google/go-cmp/cmp"
)

const (
	name = "cgisession_id"
	id   = "abcdefghijklmnopqrstuvwxyz234567"
)

var (
	oldKey = []byte("0123456789abcdef0123456789abcdef")
	newKey = []byte("ZYXWVUTSRQPONMLKJIHGFEDCBA9876543210")
)

type verdict struct {
	ID         string
	Newest, OK bool
}

func verify(keys cookie.Keys, name, token string) verdict {
	var v verdict
	v.ID, v.Newest, v.OK = keys.Verify(name, token)
	return v
}

// The MACs are openssl's:
//
//	printf 'cgisession_id\0abcdefghijklmnopqrstuvwxyz234567' |
//	openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef -binary | basenc --base64url
func TestSign(t *testing.T) {
	tests := []struct {
		key            []byte
		name, id, want string
	}{
		{oldKey, name, id, id + ".6SwvH_MF07r2dhTUQbDXjH7BPyqUfO174a9-aoAXoP8"},
		{newKey, name, id, id + ".Xvw3Q0fHpaxxHsLKSu9K4ZbzgOjpfecTDwI4VXSjhDM"},
		{oldKey, "sid", "A-z_0123456789abc", "A-z_0123456789abc.wJr0iYjIdm8zog6LlavSbe5kA5tWrG8sH1XsiXSrEuU"},
	}
	for _, tt := range tests {
		keys := cookie.Keys{tt.key}
		token := keys.Sign(tt.name, tt.id)
		if diff := cmp.Diff(tt.want, token); diff != "" {
			t.Errorf("Sign(%q, %q) (-want +got):\n%s", tt.name, tt.id, diff)
		}
		if diff := cmp.Diff(verdict{tt.id, true, true}, verify(keys, tt.name, token)); diff != "" {
			t.Errorf("Verify(%q, %q) (-want +got):\n%s", tt.name, token, diff)
		}
		if err := cookie.Check(tt.name, token, cookie.Attributes{Path: "/"}); err != nil {
			t.Errorf("%q is no cookie: %v", token, err)
		}
	}
}

func TestRotation(t *testing.T) {
	before, both, after := cookie.Keys{oldKey}, cookie.Keys{newKey, oldKey}, cookie.Keys{newKey}
	oldToken, newToken := before.Sign(name, id), both.Sign(name, id)

	tests := []struct {
		about string
		keys  cookie.Keys
		token string
		want  verdict
	}{
		{"old token, both keys", both, oldToken, verdict{id, false, true}},
		{"new token, both keys", both, newToken, verdict{id, true, true}},
		{"old token, new key", after, oldToken, verdict{}},
		{"new token, old key", before, newToken, verdict{}},
		{"the same key twice", cookie.Keys{oldKey, oldKey}, oldToken, verdict{id, true, true}},
		{"no key", nil, newToken, verdict{}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, verify(tt.keys, name, tt.token)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.about, diff)
		}
	}
}

func TestSignWithoutKey(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("Sign without a key does not panic")
		}
	}()
	t.Error(cookie.Keys{}.Sign(name, id))
}

// One byte changed, one bit or all, is enough.
func TestVerifyChangedByte(t *testing.T) {
	keys := cookie.Keys{newKey, oldKey}
	for _, token := range []string{keys.Sign(name, id), keys[1:].Sign(name, id)} {
		for i := range token {
			for b := range 256 {
				changed := []byte(token)
				changed[i] = byte(b)
				if string(changed) == token {
					continue
				}
				if diff := cmp.Diff(verdict{}, verify(keys, name, string(changed))); diff != "" {
					t.Errorf("byte %d as %q (-want +got):\n%s", i, byte(b), diff)
				}
			}
			if got := verify(keys, name, token[:i]+token[i+1:]); got.OK {
				t.Errorf("without byte %d: %+v", i, got)
			}
			if got := verify(keys, name, token[:i]); got.OK {
				t.Errorf("cut at byte %d: %+v", i, got)
			}
		}
	}
}

func TestVerifyJunk(t *testing.T) {
	keys := cookie.Keys{newKey}
	token := keys.Sign(name, id)
	mac := strings.TrimPrefix(token, id+".")
	for _, junk := range []string{
		"", ".", "..", id, id + ".", "." + mac, mac, mac + "." + id,
		token + "=", token + "\n", token + "\r\n", token + "\x00", token + ".", token + "A", " " + token, `"` + token + `"`,
		id + ".." + mac, id + "." + mac[:20] + "\n" + mac[20:], strings.ToUpper(token),
		id + "." + strings.Repeat("A", 43), strings.Repeat("a", 1<<16),
		token + "." + mac, id + "." + token,
		keys.Sign("other", id),                  // another cookie's
		keys.Sign("", id),                       // no cookie's
		keys.Sign(name+"\x00"+id[:1], id[1:]),   // cut elsewhere
		cookie.Keys{oldKey}.Sign(name, id),      // another key's
		cookie.Keys{newKey[:35]}.Sign(name, id), // most of the key
	} {
		if diff := cmp.Diff(verdict{}, verify(keys, name, junk)); diff != "" {
			t.Errorf("Verify(%q) (-want +got):\n%s", junk, diff)
		}
	}
	// Custom ids have no dot, but the last one would be the border.
	if diff := cmp.Diff(verdict{"a.b", true, true}, verify(keys, name, keys.Sign(name, "a.b"))); diff != "" {
		t.Errorf("an id with a dot (-want +got):\n%s", diff)
	}
}

// FuzzVerify: Verify accepts a token if and only if its last part is the strict
// base64url of the MAC as this test computes it.
func FuzzVerify(f *testing.F) {
	keys := cookie.Keys{newKey, oldKey}
	f.Add(name, keys.Sign(name, id))
	f.Add(name, keys[1:].Sign(name, id))
	f.Add("sid", keys.Sign(name, id))
	f.Add(name, id+"."+strings.Repeat("A", 43))
	f.Add("", "")
	f.Fuzz(func(t *testing.T, name, token string) {
		var want verdict
		parts := strings.Split(token, ".")
		last := len(parts) - 1
		start := strings.Join(parts[:last], ".")
		mac, err := base64.RawURLEncoding.Strict().DecodeString(parts[last])
		if err == nil && last > 0 && len(parts[last]) == 43 { // base64 skips CR and LF
			for i, key := range keys {
				h := hmac.New(sha256.New, key)
				h.Write([]byte(name))
				h.Write([]byte{0})
				h.Write([]byte(start))
				if bytes.Equal(h.Sum(nil), mac) {
					want = verdict{start, i == 0, true}
					break
				}
			}
		}
		if diff := cmp.Diff(want, verify(keys, name, token)); diff != "" {
			t.Errorf("Verify(%q, %q) (-want +got):\n%s", name, token, diff)
		}
		// What was signed is a session id like any other text.
		if diff := cmp.Diff(verdict{token, true, true}, verify(keys, name, keys.Sign(name, token))); diff != "" {
			t.Errorf("Verify of %q signed (-want +got):\n%s", token, diff)
		}
	})
}

func TestParseKeys(t *testing.T) {
	a, b := strings.Repeat("a", 32), strings.Repeat("b", 100)
	tests := []struct {
		about, text string
		want        cookie.Keys
	}{
		{"one line", a + "\n", cookie.Keys{[]byte(a)}},
		{"no line end", a, cookie.Keys{[]byte(a)}},
		{"two", b + "\n" + a + "\n", cookie.Keys{[]byte(b), []byte(a)}},
		{"CRLF", b + "\r\n\r\n" + a + "\r\n", cookie.Keys{[]byte(b), []byte(a)}},
		{"CRLF cut short", a + "\r", cookie.Keys{[]byte(a)}},
		{"comments", "# " + b + "\n\n#\n" + a + "\n#end", cookie.Keys{[]byte(a)}},
		{"indented comments", "  # " + b + "\n\t#" + b + "\r\n \t # x\n" + a + "\n    #", cookie.Keys{[]byte(a)}},
		{"a key with blanks before it", " \t" + a + "\n", cookie.Keys{[]byte(" \t" + a)}},
		{"byte order mark", "\ufeff# " + b + "\n" + a + "\n", cookie.Keys{[]byte(a)}},
		{"any bytes", " \x00\xff#" + a + "\t \n", cookie.Keys{[]byte(" \x00\xff#" + a + "\t ")}},
		{"one CR is the line end's", a + "\r\r\n", cookie.Keys{[]byte(a + "\r")}},
	}
	for _, tt := range tests {
		text := []byte(tt.text)
		got, err := cookie.ParseKeys(text)
		if err != nil {
			t.Errorf("%s: %v", tt.about, err)
		}
		clear(text) // the keys are their own
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.about, diff)
		}
	}
}

func TestParseKeysErrors(t *testing.T) {
	long, short := strings.Repeat("qz", 16), strings.Repeat("qz", 15)+"q"
	tests := []struct {
		about, text, want string
	}{
		{"empty", "", "no key"},
		{"blank lines", "\n\r\n\n", "no key"},
		{"comments only", "# " + long + "\n#\n", "no key"},
		{"an indented comment only", "   # " + long + "\n", "no key"},
		{"31 bytes", short + "\n", "line 1 is too short: it has 31 of at least 32"},
		{"31 bytes and a CR", short + "\r\n", "line 1 is too short: it has 31 of at least 32"},
		{"a short second key", "# a\n\n" + long + "\r\n" + short + "\n", "line 4 is too short: it has 31 of"},
		{"no line end", long + "\n" + short, "line 2 is too short: it has 31 of"},
		{"one blank", " \n" + long + "\n", "line 1 is too short: it has 1 of"},
	}
	for _, tt := range tests {
		keys, err := cookie.ParseKeys([]byte(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) || keys != nil {
			t.Errorf("%s: ParseKeys gives %d keys and error %v, want %q", tt.about, len(keys), err, tt.want)
			continue
		}
		oneLine(t, err)
		if strings.Contains(err.Error(), "qz") {
			t.Errorf("%s: the message %q holds key bytes", tt.about, err)
		}
	}
}
