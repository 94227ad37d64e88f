//go:build linux

package browser

import (
	"cmp"
	"strings"
	"testing"
)

// attributes are cookies that clients take.
var attributes = []struct {
	name     string
	only     bool // in Chromium: curl differs
	settings []string
	url      string // a page that sets the cookie
	want     kept   // a session cookie, by default called cgisession_id, with Path=/ and SameSite=Lax
	readable bool   // by the page's scripts
	sent     []string
	notSent  []string
}{
	{
		name: "defaults over http",
		url:  "http://app.example.test/load",
		want: kept{Domain: "app.example.test", HTTPOnly: true},
		sent: []string{"http://app.example.test/", "http://app.example.test/a/b?c", "https://app.example.test/"},
		notSent: []string{
			"http://example.test/", "http://www.example.test/", "http://deep.app.example.test/", "http://other.test/",
		},
	},
	{
		name:    "defaults over https",
		url:     "https://app.example.test/load",
		want:    kept{Domain: "app.example.test", HTTPOnly: true, Secure: true},
		sent:    []string{"https://app.example.test/", "https://app.example.test/a/b?c"},
		notSent: []string{"http://app.example.test/", "https://www.example.test/", "https://deep.app.example.test/"},
	},
	{
		name:     "never secure",
		settings: []string{"CGISESSION_COOKIE_SECURE=never"},
		url:      "https://app.example.test/load",
		want:     kept{Domain: "app.example.test", HTTPOnly: true},
		sent:     []string{"https://app.example.test/", "http://app.example.test/"},
	},
	{
		name:     "secure over http from this machine, which browsers trust",
		settings: []string{"CGISESSION_COOKIE_SECURE=always"},
		url:      "http://localhost/load",
		want:     kept{Domain: "localhost", HTTPOnly: true, Secure: true},
		sent:     []string{"http://localhost/"},
	},
	{
		name:     "readable",
		settings: []string{"CGISESSION_COOKIE_HTTP_ONLY=false"},
		url:      "http://app.example.test/load",
		want:     kept{Domain: "app.example.test"},
		readable: true,
		sent:     []string{"http://app.example.test/"},
	},
	{
		name:     "path",
		settings: []string{"CGISESSION_COOKIE_PATH=/shop"},
		url:      "http://app.example.test/shop/load",
		want:     kept{Domain: "app.example.test", Path: "/shop", HTTPOnly: true},
		sent:     []string{"http://app.example.test/shop", "http://app.example.test/shop/", "http://app.example.test/shop/a/b"},
		notSent: []string{
			"http://app.example.test/", "http://app.example.test/shopping", "http://app.example.test/Shop/",
			"http://app.example.test/a/shop/", "http://app.example.test/%73hop/",
		},
	},
	{
		// curl leaves that slash out.
		name:     "path with a slash at its end",
		only:     true,
		settings: []string{"CGISESSION_COOKIE_PATH=/shop/"},
		url:      "http://app.example.test/shop/load",
		want:     kept{Domain: "app.example.test", Path: "/shop/", HTTPOnly: true},
		sent:     []string{"http://app.example.test/shop/", "http://app.example.test/shop/a"},
		notSent:  []string{"http://app.example.test/shop", "http://app.example.test/"},
	},
	{
		name:     "path that is not of the page which sets the cookie",
		settings: []string{"CGISESSION_COOKIE_PATH=/a%20b"},
		url:      "http://app.example.test/load",
		want:     kept{Domain: "app.example.test", Path: "/a%20b", HTTPOnly: true},
		sent:     []string{"http://app.example.test/a%20b/"},
		notSent:  []string{"http://app.example.test/", "http://app.example.test/a/"},
	},
	{
		name:     "domain",
		settings: []string{"CGISESSION_COOKIE_DOMAIN=example.test"},
		url:      "http://app.example.test/load",
		want:     kept{Domain: ".example.test", HTTPOnly: true},
		sent:     []string{"http://app.example.test/", "http://example.test/", "http://www.example.test/", "http://a.b.example.test/"},
		notSent:  []string{"http://notexample.test/", "http://example.test.other.test/", "http://other.test/"},
	},
	{
		name:     "domain with a dot before it, in capitals",
		settings: []string{"CGISESSION_COOKIE_DOMAIN=.EXAMPLE.test"},
		url:      "http://app.example.test/load",
		want:     kept{Domain: ".example.test", HTTPOnly: true},
		sent:     []string{"http://example.test/", "http://www.example.test/"},
	},
	{
		name:     "domain that is the host",
		settings: []string{"CGISESSION_COOKIE_DOMAIN=app.example.test"},
		url:      "http://app.example.test/load",
		want:     kept{Domain: ".app.example.test", HTTPOnly: true},
		sent:     []string{"http://app.example.test/", "http://deep.app.example.test/"},
		notSent:  []string{"http://example.test/"},
	},
	{
		name:     "strict",
		settings: []string{"CGISESSION_COOKIE_SAME_SITE=strict"},
		url:      "http://app.example.test/load",
		want:     kept{Domain: "app.example.test", HTTPOnly: true, SameSite: "Strict"},
		sent:     []string{"http://app.example.test/"},
	},
	{
		name:     "none",
		settings: []string{"CGISESSION_COOKIE_SAME_SITE=none"},
		url:      "https://app.example.test/load",
		want:     kept{Domain: "app.example.test", HTTPOnly: true, Secure: true, SameSite: "None"},
		sent:     []string{"https://app.example.test/"},
	},
	{
		name:     "partitioned",
		settings: []string{"CGISESSION_COOKIE_PARTITIONED=true"},
		url:      "https://app.example.test/load",
		want:     kept{Domain: "app.example.test", HTTPOnly: true, Secure: true, Partition: partition{"https://example.test"}},
		sent:     []string{"https://app.example.test/"},
	},
	{
		name:     "signed",
		settings: []string{"CGISESSION_SECRET=0123456789abcdef0123456789abcdef"},
		url:      "http://app.example.test/load",
		want:     kept{Domain: "app.example.test", HTTPOnly: true},
		sent:     []string{"http://app.example.test/"},
	},
	{
		name:     "name of odd characters",
		settings: []string{"CGISESSION_COOKIE_NAME=!#$%&'*+-.^_`|~"},
		url:      "http://app.example.test/load",
		want:     kept{Name: "!#$%&'*+-.^_`|~", Domain: "app.example.test", HTTPOnly: true},
		sent:     []string{"http://app.example.test/"},
	},
	{
		name:     "__Host-",
		settings: []string{"CGISESSION_COOKIE_NAME=__Host-id"},
		url:      "https://app.example.test/load",
		want:     kept{Name: "__Host-id", Domain: "app.example.test", HTTPOnly: true, Secure: true},
		sent:     []string{"https://app.example.test/a/b"},
		notSent:  []string{"http://app.example.test/", "https://www.example.test/"},
	},
	{
		name: "__Secure-",
		settings: []string{
			"CGISESSION_COOKIE_NAME=__Secure-id", "CGISESSION_COOKIE_DOMAIN=example.test", "CGISESSION_COOKIE_PATH=/a",
		},
		url:     "https://app.example.test/load",
		want:    kept{Name: "__Secure-id", Domain: ".example.test", Path: "/a", HTTPOnly: true, Secure: true},
		sent:    []string{"https://app.example.test/a/b", "https://www.example.test/a"},
		notSent: []string{"http://app.example.test/a"},
	},
	{
		name:     "__hOST- in odd letters",
		settings: []string{"CGISESSION_COOKIE_NAME=__hOST-id"},
		url:      "https://app.example.test/load",
		want:     kept{Name: "__hOST-id", Domain: "app.example.test", HTTPOnly: true, Secure: true},
		sent:     []string{"https://app.example.test/"},
	},
	{
		name:     "__Http-",
		settings: []string{"CGISESSION_COOKIE_NAME=__Http-id", "CGISESSION_COOKIE_PATH=/a"},
		url:      "https://app.example.test/load",
		want:     kept{Name: "__Http-id", Domain: "app.example.test", Path: "/a", HTTPOnly: true, Secure: true},
		sent:     []string{"https://app.example.test/a"},
	},
	{
		name:     "__Host-Http-",
		settings: []string{"CGISESSION_COOKIE_NAME=__Host-Http-id"},
		url:      "https://app.example.test/load",
		want:     kept{Name: "__Host-Http-id", Domain: "app.example.test", HTTPOnly: true, Secure: true},
		sent:     []string{"https://app.example.test/"},
	},
	{
		name: "all at once",
		settings: []string{
			"CGISESSION_COOKIE_NAME=__Secure-id", "CGISESSION_COOKIE_DOMAIN=example.test", "CGISESSION_COOKIE_PATH=/a",
			"CGISESSION_COOKIE_SAME_SITE=none", "CGISESSION_COOKIE_PARTITIONED=true",
			"CGISESSION_SECRET=0123456789abcdef0123456789abcdef",
		},
		url: "https://app.example.test/load",
		want: kept{
			Name: "__Secure-id", Domain: ".example.test", Path: "/a", HTTPOnly: true, Secure: true, SameSite: "None",
			Partition: partition{"https://example.test"},
		},
		sent:    []string{"https://www.example.test/a/b"},
		notSent: []string{"https://www.example.test/", "http://www.example.test/a/b"},
	},
}

// A client keeps what the program says, sends it where it says, byte for byte,
// and drops it when told so.
func TestAttributes(t *testing.T) {
	for _, test := range attributes {
		t.Run(test.name, func(t *testing.T) {
			onEachClient(t, func(t *testing.T, c client) {
				if test.only && isCurl(c) {
					t.Skip("curl differs")
				}
				w := newWeb(t)
				w.configure(test.settings...)
				if got := c.visit(t, w.at(test.url)); got != "exit 0, visit 1" {
					t.Errorf("the first visit: %s", got)
				}
				set := w.last(t, test.url).set
				if len(set) != 1 {
					t.Fatalf("%d cookies are set: %q", len(set), set)
				}
				pair, _, _ := strings.Cut(set[0], ";")

				got := one(t, c)
				if got.Name+"="+got.Value != pair {
					t.Errorf("%s=%s is kept of %s", got.Name, got.Value, pair)
				}
				if got, want := plain(got), complete(test.want, c); got != want {
					t.Errorf("%s\nis kept as %+v\nnot        %+v", set[0], got, want)
				}
				if b, ok := c.(*browser); ok {
					want := ""
					if test.readable {
						want = pair
					}
					if text := b.run(t, "return document.cookie"); text != want {
						t.Errorf("the page's scripts read %q, not %q", text, want)
					}
				}
				for _, url := range test.sent {
					c.visit(t, w.at(url))
					if sent := w.last(t, url).sent; sent != pair {
						t.Errorf("%s: sent is %q, not %q", url, sent, pair)
					}
				}
				for _, url := range test.notSent {
					c.visit(t, w.at(url))
					if sent := w.last(t, url).sent; sent != "" {
						t.Errorf("%s: sent is %q", url, sent)
					}
				}

				c.visit(t, w.at(logout(test.url)))
				if jar := c.jar(t); len(jar) > 0 {
					t.Errorf("after %q there is still %+v", w.last(t, logout(test.url)).set, jar)
				}
			})
		})
	}
}

func logout(load string) string { return strings.TrimSuffix(load, "load") + "logout" }

// plain returns the cookie without what differs from run to run.
func plain(c kept) kept {
	c.Value, c.Expires = "", 0
	return c
}

// complete fills in the defaults of a table, as far as the client knows them.
func complete(c kept, by client) kept {
	c.Name = cmp.Or(c.Name, "cgisession_id")
	c.Path = cmp.Or(c.Path, "/")
	c.SameSite = cmp.Or(c.SameSite, "Lax")
	c.Session = true
	if isCurl(by) {
		c.SameSite, c.Partition = "", partition{}
	}
	return c
}

// Clients drop a cookie by its name, domain, path and partition alone, so a
// log-out needs the options that the cookie was set with.
func TestLogout(t *testing.T) {
	tests := []struct {
		name   string
		only   bool // in Chromium
		load   []string
		logout []string
		url    string
		still  bool // kept
	}{
		{name: "lasting", load: []string{"CGISESSION_COOKIE_EXPIRES=36h"}, logout: []string{"CGISESSION_COOKIE_EXPIRES=36h"}, url: "http://app.example.test/"},
		{name: "no longer lasting", load: []string{"CGISESSION_COOKIE_EXPIRES=false"}, url: "http://app.example.test/"},
		{name: "other expiry, readable, strict", logout: []string{
			"CGISESSION_COOKIE_EXPIRES=false", "CGISESSION_COOKIE_HTTP_ONLY=false", "CGISESSION_COOKIE_SAME_SITE=strict",
		}, url: "http://app.example.test/"},
		{name: "not secure over https", logout: []string{"CGISESSION_COOKIE_SECURE=never"}, url: "https://app.example.test/"},
		{name: "other path", logout: []string{"CGISESSION_COOKIE_PATH=/shop"}, url: "http://app.example.test/", still: true},
		{name: "domain is new", logout: []string{"CGISESSION_COOKIE_DOMAIN=app.example.test"}, url: "http://app.example.test/", only: true, still: true},
		{name: "domain is gone", load: []string{"CGISESSION_COOKIE_DOMAIN=example.test"}, url: "http://app.example.test/", still: true},
		{name: "partition is new", logout: []string{"CGISESSION_COOKIE_PARTITIONED=true"}, url: "https://app.example.test/", only: true, still: true},
		{name: "partition is gone", load: []string{"CGISESSION_COOKIE_PARTITIONED=true"}, url: "https://app.example.test/", only: true, still: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			onEachClient(t, func(t *testing.T, c client) {
				if test.only && isCurl(c) {
					t.Skip("curl differs")
				}
				w := newWeb(t)
				w.configure(test.load...)
				c.visit(t, w.at(test.url+"load"))
				token := one(t, c).Value

				w.configure(test.logout...)
				c.visit(t, w.at(test.url+"logout"))
				if jar := c.jar(t); (len(jar) > 0) != test.still {
					t.Errorf("after %q is kept: %+v", w.last(t, test.url+"logout").set, jar)
				}

				// In any case what is still kept is worth nothing.
				w.configure(test.load...)
				if got := c.visit(t, w.at(test.url+"load")); got != "exit 0, visit 1" {
					t.Errorf("after the log-out: %s", got)
				}
				if one(t, c).Value == token {
					t.Error("the old session's id is used again")
				}
			})
		})
	}
}

// What the program refuses, clients drop if it is set all the same.
func TestRefused(t *testing.T) {
	long := strings.Repeat("n", 4097-128)
	id := strings.Repeat("a", 128)
	tests := []struct {
		name     string
		only     bool // in Chromium: curl does not look
		url      string
		settings []string
		bad      string // the line that the program does not print
		good     string // one that is kept
	}{
		{
			name: "__Host- over http", url: "http://app.example.test/", settings: []string{"CGISESSION_COOKIE_NAME=__Host-id"},
			bad: "__Host-id=x; Path=/; Secure", good: "id=x; Path=/",
		}, {
			name: "__Host- without Secure", url: "https://app.example.test/",
			settings: []string{"CGISESSION_COOKIE_NAME=__Host-id", "CGISESSION_COOKIE_SECURE=never"},
			bad:      "__Host-id=x; Path=/", good: "__Host-id=x; Path=/; Secure",
		}, {
			name: "__Host- with a domain", url: "https://app.example.test/",
			settings: []string{"CGISESSION_COOKIE_NAME=__Host-id", "CGISESSION_COOKIE_DOMAIN=app.example.test"},
			bad:      "__Host-id=x; Path=/; Secure; Domain=app.example.test", good: "__Host-id=x; Path=/; Secure",
		}, {
			name: "__Host- with another path", url: "https://app.example.test/",
			settings: []string{"CGISESSION_COOKIE_NAME=__Host-id", "CGISESSION_COOKIE_PATH=/a"},
			bad:      "__Host-id=x; Path=/a; Secure", good: "__Host-id=x; Path=/; Secure",
		}, {
			name: "__hOST- with another path", url: "https://app.example.test/",
			settings: []string{"CGISESSION_COOKIE_NAME=__hOST-id", "CGISESSION_COOKIE_PATH=/a"},
			bad:      "__hOST-id=x; Path=/a; Secure", good: "__hOST-id=x; Path=/; Secure",
		}, {
			name: "__Secure- over http", url: "http://app.example.test/", settings: []string{"CGISESSION_COOKIE_NAME=__Secure-id"},
			bad: "__Secure-id=x; Path=/; Secure", good: "id=x; Path=/",
		}, {
			name: "__Secure- without Secure", url: "https://app.example.test/",
			settings: []string{"CGISESSION_COOKIE_NAME=__Secure-id", "CGISESSION_COOKIE_SECURE=never"},
			bad:      "__Secure-id=x; Path=/", good: "__Secure-id=x; Path=/; Secure",
		}, {
			name: "__sECURE- without Secure", url: "https://app.example.test/",
			settings: []string{"CGISESSION_COOKIE_NAME=__sECURE-id", "CGISESSION_COOKIE_SECURE=never"},
			bad:      "__sECURE-id=x; Path=/", good: "__sECURE-id=x; Path=/; Secure",
		}, {
			name: "__Http- without HttpOnly", url: "https://app.example.test/", only: true,
			settings: []string{"CGISESSION_COOKIE_NAME=__Http-id", "CGISESSION_COOKIE_HTTP_ONLY=false"},
			bad:      "__Http-id=x; Path=/; Secure", good: "__Http-id=x; Path=/; Secure; HttpOnly",
		}, {
			name: "__Http- without Secure", url: "https://app.example.test/", only: true,
			settings: []string{"CGISESSION_COOKIE_NAME=__Http-id", "CGISESSION_COOKIE_SECURE=never"},
			bad:      "__Http-id=x; Path=/; HttpOnly", good: "__Http-id=x; Path=/; Secure; HttpOnly",
		}, {
			name: "__Host-Http- without HttpOnly", url: "https://app.example.test/", only: true,
			settings: []string{"CGISESSION_COOKIE_NAME=__Host-Http-id", "CGISESSION_COOKIE_HTTP_ONLY=false"},
			bad:      "__Host-Http-id=x; Path=/; Secure", good: "__Host-Http-id=x; Path=/; Secure; HttpOnly",
		}, {
			name: "SameSite=None over http", url: "http://app.example.test/", only: true,
			settings: []string{"CGISESSION_COOKIE_SAME_SITE=none"},
			bad:      "id=x; Path=/; SameSite=None", good: "id=x; Path=/; SameSite=Lax",
		}, {
			name: "SameSite=None without Secure", url: "https://app.example.test/", only: true,
			settings: []string{"CGISESSION_COOKIE_SAME_SITE=none", "CGISESSION_COOKIE_SECURE=never"},
			bad:      "id=x; Path=/; SameSite=None", good: "id=x; Path=/; SameSite=None; Secure",
		}, {
			name: "Partitioned without Secure", url: "https://app.example.test/", only: true,
			settings: []string{"CGISESSION_COOKIE_PARTITIONED=true", "CGISESSION_COOKIE_SECURE=never"},
			bad:      "id=x; Path=/; Partitioned", good: "id=x; Path=/; Partitioned; Secure",
		}, {
			name: "4097 bytes", url: "http://app.example.test/",
			settings: []string{"CGISESSION_COOKIE_NAME=" + long, "CGISESSION_ADOPT_ID=" + id},
			bad:      long + "=" + id + "; Path=/", good: long[1:] + "=" + id + "; Path=/",
		}, {
			name: "date that is over", url: "http://app.example.test/",
			settings: []string{"CGISESSION_COOKIE_EXPIRES=2020-01-01T00:00:00Z"},
			bad:      "id=x; Path=/; Expires=Wed, 01 Jan 2020 00:00:00 GMT", good: "id=x; Path=/; Expires=Wed, 01 Jan 2098 00:00:00 GMT",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			onEachClient(t, func(t *testing.T, c client) {
				w := newWeb(t)
				w.configure(test.settings...)
				if got := c.visit(t, w.at(test.url+"load")); got != "exit 64" {
					t.Errorf("the program does not refuse: %s", got)
				}
				if set := w.last(t, test.url+"load").set; set != nil {
					t.Errorf("set is %q", set)
				}
				c.visit(t, w.hand(test.url, test.bad))
				if jar := c.jar(t); (len(jar) > 0) != (test.only && isCurl(c)) {
					t.Errorf("%s\nis kept as %+v", test.bad, jar)
				}
				c.visit(t, w.hand(test.url, test.good))
				if jar := c.jar(t); len(jar) == 0 {
					t.Errorf("%s\nis not kept", test.good)
				}
			})
		})
	}
}

// What the program cannot know to be in vain, it prints: it reads neither the
// server's name nor whether a proxy speaks https to the client.
func TestPrintedInVain(t *testing.T) {
	for setting, url := range map[string]string{
		"CGISESSION_COOKIE_DOMAIN=other.test":       "http://app.example.test/load",
		"CGISESSION_COOKIE_DOMAIN=test":             "http://app.example.test/load",
		"CGISESSION_COOKIE_DOMAIN=www.example.test": "http://example.test/load",
		"CGISESSION_COOKIE_SECURE=always":           "http://app.example.test/load",
	} {
		t.Run(setting, func(t *testing.T) {
			onEachClient(t, func(t *testing.T, c client) {
				w := newWeb(t)
				w.configure(setting)
				got := c.visit(t, w.at(url))
				if set := w.last(t, url).set; got != "exit 0, visit 1" || len(set) != 1 {
					t.Errorf("%s: %q", got, set)
				}
				if jar := c.jar(t); len(jar) > 0 {
					t.Errorf("kept is %+v", jar)
				}
			})
		})
	}
}

// The longest cookie of all is kept. No script prints it here, for
// net/http/cgi takes no header line over 1024 bytes; nor does curl take one over
// 5000.
func TestLongest(t *testing.T) {
	path := "/" + strings.Repeat("p", 1023)
	name, id := strings.Repeat("n", 4096-128), strings.Repeat("a", 128)
	b, w := newBrowser(t), newWeb(t)
	line := w.program(t, "load", "--cookie-name", name, "--adopt-id", id, "--cookie-path", path)
	b.visit(t, w.hand("http://app.example.test/", line))
	if got := one(t, b); got.Name != name || got.Value != id || got.Path != path {
		t.Errorf("%s\nis kept as %+v", line, got)
	}
	b.visit(t, w.at("http://app.example.test"+path))
	if sent := w.last(t, "http://app.example.test"+path).sent; sent != name+"="+id {
		t.Errorf("sent is %s", sent)
	}
}

// A Path that the program refuses would not be an error to clients: they take
// another one.
func TestIgnoredPath(t *testing.T) {
	for name, path := range map[string]string{
		"relative": "shop",
		"too long": "/" + strings.Repeat("p", 1024),
	} {
		t.Run(name, func(t *testing.T) {
			b, w := newBrowser(t), newWeb(t)
			w.configure("CGISESSION_COOKIE_PATH=" + path)
			if got := b.visit(t, w.at("http://app.example.test/load")); got != "exit 64" {
				t.Errorf("the program does not refuse: %s", got)
			}
			b.visit(t, w.hand("http://app.example.test/", "id=x; Path="+path))
			if got := one(t, b); got.Path != "/" {
				t.Errorf("kept is %+v", got)
			}
		})
	}
}
