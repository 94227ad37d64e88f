package cmd_test

import (
	"testing"

	"cgisession/cmd/cmdtest"
	"cgisession/cookie"
)

// Who can guess the name that a script gave a session cannot make a form for it,
// where ids are signed.
func TestCSRFOfKnownID(t *testing.T) {
	const id = "customer-000000042"
	b := begin(t, "{}").client("").with("CGISESSION_ADOPT_ID=" + id).with("CGISESSION_SECRET=0123456789abcdef0123456789abcdef")
	if got := b.Call(t, "load", "--use-cookies=false"); got != (cmdtest.Ended{}) {
		t.Fatalf("load: %+v", got)
	}
	if got := b.Call(t, "csrf", "--check", cookie.Keys(nil).CSRFToken(cookie.CSRFKey("cgisession_id", id))); got != (cmdtest.Ended{Code: 1}) {
		t.Errorf("a token made of the id alone: %+v", got)
	}
	token := b.Call(t, "csrf").Stdout
	if got := b.Call(t, "csrf", "--check", token[:len(token)-1]); got != (cmdtest.Ended{}) {
		t.Errorf("the session's own token: %+v", got)
	}
}
