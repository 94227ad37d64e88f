package cmd_test

import (
	"testing"

	"cgisession/cookie"
)

// Who can guess the name that a script gave a session cannot make a form for it,
// where ids are signed.
func TestCSRFOfKnownID(t *testing.T) {
	const id = "customer-000000042"
	b := begin(t, "{}").client("").with("CGISESSION_ADOPT_ID=" + id).with("CGISESSION_SECRET=0123456789abcdef0123456789abcdef")
	if got := b.call(t, "load", "--use-cookies=false"); got != (ended{}) {
		t.Fatalf("load: %+v", got)
	}
	if got := b.call(t, "csrf", "--check", cookie.Keys(nil).CSRFToken(cookie.CSRFKey("cgisession_id", id))); got != (ended{code: 1}) {
		t.Errorf("a token made of the id alone: %+v", got)
	}
	token := b.call(t, "csrf").stdout
	if got := b.call(t, "csrf", "--check", token[:len(token)-1]); got != (ended{}) {
		t.Errorf("the session's own token: %+v", got)
	}
}
