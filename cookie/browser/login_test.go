//go:build linux

package browser

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

// ask makes one request with this Cookie header, as anybody could who knows the
// cookie, and returns the page.
func (w *web) ask(t *testing.T, url, cookie string) string {
	t.Helper()
	request, err := http.NewRequest("GET", w.at(url), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Cookie", cookie)
	roots := x509.NewCertPool()
	roots.AddCert(authority.root)
	transport := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, _ := net.SplitHostPort(address)
			return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
		},
	}
	response, err := (&http.Client{Transport: transport, Timeout: cmdtest.Patience}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// A user logs in and out with the keyboard and the mouse; each step ends the
// cookies from before it.
func TestLogin(t *testing.T) {
	for _, test := range []struct {
		name, url string
		settings  []string
	}{
		{"http", "http://app.example.test/login.sh", nil},
		{"https, __Host-, signed, strict", "https://app.example.test/login.sh", []string{
			"CGISESSION_COOKIE_NAME=__Host-id", "CGISESSION_COOKIE_SAME_SITE=strict", "CGISESSION_COOKIE_EXPIRES=36h",
			"CGISESSION_SECRET=0123456789abcdef0123456789abcdef",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, w := newBrowser(t), newWeb(t)
			w.configure(test.settings...)
			cookie := func() string {
				t.Helper()
				c := one(t, b)
				return c.Name + "=" + c.Value
			}
			const inside = "logged in as Eva"

			b.visit(t, w.at(test.url))
			visitor := cookie()
			b.write(t, "input[name=name]", "Eva")
			b.write(t, "input[name=password]", "guess")
			b.click(t, "button[value=log-in]")
			if text := b.text(t); strings.Contains(text, inside) {
				t.Errorf("logged in with a wrong password:\n%s", text)
			}
			if cookie() != visitor {
				t.Error("a failed log-in gives another id")
			}

			b.write(t, "input[name=password]", "sesame")
			b.click(t, "button[value=log-in]")
			if text := b.text(t); !strings.Contains(text, inside) {
				t.Errorf("not logged in:\n%s", text)
			}
			user := cookie()
			if user == visitor {
				t.Error("the log-in gives no new id")
			}
			if page := w.ask(t, test.url, visitor); strings.Contains(page, "logged in") {
				t.Error("the id from before the log-in is logged in")
			}
			if page := w.ask(t, test.url, user); !strings.Contains(page, "logged in") {
				t.Errorf("the id from the log-in is not logged in:\n%s", page)
			}
			if text := b.visit(t, w.at(test.url)); !strings.Contains(text, inside) {
				t.Errorf("no longer logged in:\n%s", text)
			}

			b.click(t, "button[value=log-out]")
			if text := b.text(t); strings.Contains(text, inside) {
				t.Errorf("still logged in:\n%s", text)
			}
			if cookie() == user {
				t.Error("after the log-out the cookie is the same")
			}
			if page := w.ask(t, test.url, user); strings.Contains(page, "logged in") {
				t.Error("the id that was logged out is logged in")
			}
		})
	}
}

// A settings change leaves cookies of the old kind in browsers; both are sent,
// and the session goes on.
func TestPathChange(t *testing.T) {
	onEachClient(t, func(t *testing.T, c client) {
		w := newWeb(t)
		const site = "http://app.example.test/shop/"
		c.visit(t, w.at(site+"load"))
		old := one(t, c)
		w.configure("CGISESSION_COOKIE_PATH=/shop")
		if got := c.visit(t, w.at(site+"load")); got != "exit 0, visit 2" {
			t.Errorf("with the old cookie: %s", got)
		}
		c.visit(t, w.at(site+"renew"))
		if got := c.visit(t, w.at(site+"load")); got != "exit 0, visit 3" {
			t.Errorf("with the new id: %s", got)
		}
		if sent := w.last(t, site+"load").sent; strings.Count(sent, old.Name+"=") != 2 || !strings.HasSuffix(sent, "="+old.Value) {
			t.Errorf("sent are not the new cookie and the old one: %s", sent)
		}
		c.visit(t, w.at(site+"logout"))
		if got := one(t, c); got.Value != old.Value {
			t.Error("the log-out drops the old cookie")
		}
		if got := c.visit(t, w.at(site+"load")); got != "exit 0, visit 1" {
			t.Errorf("after the log-out: %s", got)
		}
	})
}

// Another host of the site can plant a cookie with the attacker's own session.
// Who has a session does not fall into it, for two valid cookies are none; who
// has none does, until the log-in. No cookie called __Host- can be planted.
func TestPlanted(t *testing.T) {
	const site = "https://app.example.test/"
	plant := func(t *testing.T, c client, w *web) (pair string) {
		pair, _, _ = strings.Cut(w.program(t, "load"), ";")
		c.visit(t, w.hand("https://evil.example.test/", pair+"; Path=/; Domain=example.test; Secure"))
		return pair
	}
	t.Run("beside a session", func(t *testing.T) {
		onEachClient(t, func(t *testing.T, c client) {
			w := newWeb(t)
			c.visit(t, w.at(site+"load"))
			evil := plant(t, c, w)
			if got := c.visit(t, w.at(site+"load")); got != "exit 0, visit 1" {
				t.Errorf("with two sessions: %s", got)
			}
			set := w.last(t, site+"load").set
			if len(set) == 0 || strings.HasPrefix(set[len(set)-1], evil) {
				t.Errorf("set is %q", set)
			}
			if _, is := c.(*curl); !is { // which forgets a deletion that another cookie follows
				if got := c.visit(t, w.at(site+"load")); got != "exit 0, visit 2" {
					t.Errorf("after that: %s", got)
				}
			}
		})
	})
	t.Run("before the log-in", func(t *testing.T) {
		onEachClient(t, func(t *testing.T, c client) {
			w := newWeb(t)
			evil := plant(t, c, w)
			c.visit(t, w.at(site+"load"))
			if set := w.last(t, site+"load").set; set != nil {
				t.Errorf("the planted session is not taken for the client's: set is %q", set)
			}
			c.visit(t, w.at(site+"renew"))
			if got := c.visit(t, w.at(site+"load")); got != "exit 0, visit 2" {
				t.Errorf("after the log-in: %s", got)
			}
			if page := w.ask(t, site+"load", evil); page != "exit 0, visit 1" {
				t.Errorf("the planter is still in: %s", page)
			}
		})
	})
	t.Run("__Host-", func(t *testing.T) {
		onEachClient(t, func(t *testing.T, c client) {
			w := newWeb(t)
			w.configure("CGISESSION_COOKIE_NAME=__Host-id", "CGISESSION_COOKIE_SECURE=always")
			c.visit(t, w.at(site+"load"))
			own := one(t, c)
			plant(t, c, w)
			if got := c.visit(t, w.at(site+"load")); got != "exit 0, visit 2" {
				t.Errorf("the second visit: %s", got)
			}
			if got := one(t, c); got != own {
				t.Error("the cookie is another")
			}
		})
	})
}

// A page over http can neither read nor replace the cookie of https; a new
// session there is not kept.
func TestSecureLeftAlone(t *testing.T) {
	onEachClient(t, func(t *testing.T, c client) {
		w := newWeb(t)
		const secure, open = "https://app.example.test/load", "http://app.example.test/load"
		c.visit(t, w.at(secure))
		own := one(t, c)
		for range 2 {
			if got := c.visit(t, w.at(open)); got != "exit 0, visit 1" {
				t.Errorf("over http: %s", got)
			}
			if e := w.last(t, open); e.sent != "" || len(e.set) != 1 {
				t.Errorf("over http sent is %q, set %q", e.sent, e.set)
			}
		}
		if got := one(t, c); got != own {
			t.Errorf("the cookie is replaced by %+v", got)
		}
		if got := c.visit(t, w.at(secure)); got != "exit 0, visit 2" {
			t.Errorf("over https again: %s", got)
		}
	})
}
