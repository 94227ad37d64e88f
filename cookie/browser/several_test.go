//go:build linux

package browser

import (
	"cgisession/cmd/cmdtest"
	"strings"
	"testing"
)

// The page of these tests, as its web server knows it.
const (
	shop     = "app.example.test/shop/load"
	shopPath = "SCRIPT_NAME=/shop/load"
)

// These tests are for Chromium alone: at its end curl reads its file of cookies
// again, and so forgets a deletion that another cookie follows.

// plant gives the browser a cookie of a live session that is not its own, with
// these attributes, as a page of host would.
func plant(t *testing.T, b *browser, w *web, scheme, host, attributes string) {
	t.Helper()
	pair, _, _ := strings.Cut(w.program(t, "load", "--cookie-secure", "always"), ";")
	before := len(b.jar(t))
	b.visit(t, w.hand(scheme+"://"+host+"/", pair+"; "+attributes))
	if jar := b.jar(t); len(jar) != before+1 {
		t.Fatalf("not one cookie more than %d: %+v", before, jar)
	}
}

// counts visits the page, and wants each visit to be of this number in its session.
func counts(t *testing.T, b *browser, w *web, page string, visits ...string) {
	t.Helper()
	for _, want := range visits {
		if got := b.visit(t, w.at(page)); got != "exit 0, visit "+want {
			t.Errorf("%s, want visit %s; the browser has %+v", got, want, b.jar(t))
		}
	}
}

// A browser with cookies of two live sessions gets a new session, and stays in it
// from the next request on, where the program can know what cookies those are.
func TestSeveral(t *testing.T) {
	cmdtest.Long(t)
	domain, host := "CGISESSION_COOKIE_DOMAIN=example.test", "CGISESSION_COOKIE_DOMAIN=app.example.test"
	for _, test := range []struct {
		name     string
		scheme   string
		before   []string // settings when the browser got its first cookie
		host     string   // that sets the second one
		other    string   // its attributes
		settings []string // from then on
	}{
		{"domain is new", "http", nil, "sister.example.test", "Path=/; Domain=example.test", []string{domain}},
		{"domain is gone", "https", []string{domain}, "app.example.test", "Path=/", nil},
		{"domain is another", "http", []string{host}, "sister.example.test", "Path=/; Domain=example.test", []string{domain}},
		{"path is gone", "https", []string{"CGISESSION_COOKIE_PATH=/shop/"}, "app.example.test", "Path=/", nil},
		{"path is new", "http", nil, "app.example.test", "Path=/shop", []string{"CGISESSION_COOKIE_PATH=/shop"}},
		{"planted by a page of the directory", "https", nil, "app.example.test", "Path=/shop", nil},
		{"planted for the directory", "http", nil, "app.example.test", "Path=/shop/", nil},
		{"planted by a sister", "https", nil, "sister.example.test", "Path=/; Domain=example.test", nil},
		{"planted by a sister for the directory", "http", nil, "sister.example.test", "Path=/shop; Domain=example.test", nil},
		{"planted with the host's domain", "https", []string{domain}, "app.example.test", "Path=/; Domain=app.example.test", []string{domain}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, w, page := newBrowser(t), newWeb(t), test.scheme+"://"+shop
			w.configure(append(test.before, shopPath)...)
			counts(t, b, w, page, "1", "2")
			plant(t, b, w, test.scheme, test.host, test.other)
			w.configure(append(test.settings, shopPath)...)
			counts(t, b, w, page, "1", "2", "3")
		})
	}
}

// Where the program cannot know them, each load begins another session, until a new
// id, as at log-in, ends the others.
func TestSeveralUnknown(t *testing.T) {
	b, w, page := newBrowser(t), newWeb(t), "http://"+shop
	counts(t, b, w, page, "1", "2")
	plant(t, b, w, "http", "app.example.test", "Path=/shop")
	counts(t, b, w, page, "1", "1")
	b.visit(t, w.at("http://app.example.test/shop/renew"))
	counts(t, b, w, page, "1", "2", "3")
}

// Partitioned cookies are deleted in their partition.
func TestSeveralPartitioned(t *testing.T) {
	b, w, page := newBrowser(t), newWeb(t), "https://"+shop
	w.configure(shopPath, "CGISESSION_COOKIE_PARTITIONED=true", "CGISESSION_COOKIE_NAME=__Secure-id")
	counts(t, b, w, page, "1", "2")
	plant(t, b, w, "https", "app.example.test", "Path=/shop; Secure; Partitioned")
	counts(t, b, w, page, "1", "2", "3")
}
