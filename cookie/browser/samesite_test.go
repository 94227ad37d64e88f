//go:build linux

package browser

import (
	"cgisession/cmd/cmdtest"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A request is a way in which one page makes the browser ask for another.
type request struct {
	name string
	// script is run in the one page; arguments[0] is the other's URL. It
	// promises to end when the answer is there, unless that is the next page.
	script string
	lax    bool // a top-level navigation by a safe method
	post   bool // a top-level navigation by POST
}

// element adds an element to a page.
const element = `
	return new Promise(done => {
		const e = document.createElement(arguments[1]);
		e.onload = e.onerror = () => done('');
		e.src = arguments[0];
		document.body.appendChild(e);
	});`

var requests = []request{
	{name: "link", lax: true, script: `
		const a = document.body.appendChild(document.createElement('a'));
		a.href = arguments[0];
		a.click();`},
	{name: "location", lax: true, script: `location = arguments[0];`},
	{name: "get-form", lax: true, script: `
		const f = document.body.appendChild(document.createElement('form'));
		f.action = arguments[0];
		f.submit();`},
	{name: "post-form", post: true, script: `
		const f = document.body.appendChild(document.createElement('form'));
		f.action = arguments[0];
		f.method = 'post';
		f.submit();`},
	{name: "iframe", script: element},
	{name: "img", script: element},
	{name: "script", script: element},
	{name: "fetch", script: `
		return fetch(arguments[0], {mode: 'no-cors', credentials: 'include'}).then(() => '', () => '');`},
	{name: "fetch-post", script: `
		return fetch(arguments[0], {method: 'POST', mode: 'no-cors', credentials: 'include'}).then(() => '', () => '');`},
}

// ask makes the page at from ask for the one at to.
func (r request) ask(t *testing.T, b *browser, w *web, from, to string) exchange {
	t.Helper()
	b.visit(t, w.at(from))
	run := func() { b.run(t, r.script, w.at(to), r.name) }
	if r.lax || r.post {
		b.leave(t, run)
	} else {
		run()
	}
	if r.name == "get-form" {
		to += "?"
	}
	return w.last(t, to)
}

// sentNames returns the names of the cookies in a Cookie header, in order.
func sentNames(header string) []string {
	var names []string
	for pair := range strings.SplitSeq(header, "; ") {
		if name, _, ok := strings.Cut(pair, "="); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Each kind of cookie is sent with the requests that it stands for. One is set
// by hand without SameSite, which for browsers is Lax, but for POST in the
// cookie's first two minutes; that a Lax cookie of the program's is not sent
// then is so due to its SameSite=Lax.
func TestSameSite(t *testing.T) {
	cmdtest.Long(t)
	const site = "https://app.example.test/"
	b, w := newBrowser(t), newWeb(t)
	for _, kind := range []string{"strict", "lax", "none"} {
		w.configure("CGISESSION_COOKIE_NAME="+kind, "CGISESSION_COOKIE_SAME_SITE="+kind)
		b.visit(t, w.at(site+"load"))
	}
	b.visit(t, w.hand(site, "unset=x; Path=/; Secure"))
	every := []string{"lax", "none", "strict", "unset"}

	t.Run("typed", func(t *testing.T) {
		b.visit(t, w.at("https://other.test/"))
		b.visit(t, w.at(site+"typed"))
		if got := sentNames(w.last(t, site+"typed").sent); !slices.Equal(got, every) {
			t.Errorf("sent are %v, not %v", got, every)
		}
	})
	for _, from := range []struct {
		name, url string
		same      bool // site
	}{
		{"same-origin", "https://app.example.test/", true},
		{"same-site", "https://www.example.test/", true},
		{"cross-site", "https://other.test/", false},
		{"cross-site-by-scheme", "http://app.example.test/", false},
	} {
		for _, r := range requests {
			t.Run(from.name+"/"+r.name, func(t *testing.T) {
				want := []string{"none"}
				switch {
				case from.same:
					want = every
				case r.lax:
					want = []string{"lax", "none", "unset"}
				case r.post:
					want = []string{"none", "unset"}
				}
				got := sentNames(r.ask(t, b, w, from.url, site+from.name+"/"+r.name).sent)
				if !slices.Equal(got, want) {
					t.Errorf("sent are %v, not %v", got, want)
				}
			})
		}
	}
}

// In an answer to another site's frame, image or fetch only a SameSite=None
// cookie is kept, so the visit to load there does no harm to a session.
func TestSetCrossSite(t *testing.T) {
	for _, kind := range []string{"strict", "lax", "none"} {
		for _, r := range requests {
			if r.lax || r.post {
				continue
			}
			t.Run(kind+"/"+r.name, func(t *testing.T) {
				b, w := newBrowser(t), newWeb(t)
				w.configure("CGISESSION_COOKIE_NAME="+kind, "CGISESSION_COOKIE_SAME_SITE="+kind)
				if set := r.ask(t, b, w, "https://other.test/", "https://app.example.test/load").set; len(set) != 1 {
					t.Errorf("set is %q", set)
				}
				if jar := b.jar(t); (len(jar) > 0) != (kind == "none") {
					t.Errorf("kept is %+v", jar)
				}
			})
		}
	}
}

// Who comes by a link from another site has not sent the strict cookie, and who
// comes by a POST not the lax one. To load that is a first visit, and its new
// session takes the place of the client's own; with --lazy it does not.
func TestArrival(t *testing.T) {
	tests := []struct {
		kind, request, page string
		own                 bool // session afterwards
	}{
		{"strict", "link", "load", false},
		{"strict", "link", "lazy", true},
		{"lax", "link", "load", true},
		{"lax", "post-form", "load", false},
		{"lax", "post-form", "lazy", true},
		{"none", "post-form", "load", true},
	}
	for _, test := range tests {
		t.Run(test.kind+"/"+test.request+"/"+test.page, func(t *testing.T) {
			b, w := newBrowser(t), newWeb(t)
			w.configure("CGISESSION_COOKIE_SAME_SITE=" + test.kind)
			const site = "https://app.example.test/"
			b.visit(t, w.at(site+"load"))
			own := one(t, b)

			i := slices.IndexFunc(requests, func(r request) bool { return r.name == test.request })
			requests[i].ask(t, b, w, "https://other.test/", site+test.page+"?arrival")
			b.visit(t, w.at(site+"load"))
			if got := one(t, b); (got.Value == own.Value) != test.own {
				t.Errorf("the session is the client's own: %v", !test.own)
			}
		})
	}
}

// A partitioned cookie is one for each top-level site, in a browser that lets
// other sites have cookies as well as in one that does not.
func TestPartitioned(t *testing.T) {
	cmdtest.Long(t)
	for name, start := range map[string]func(*testing.T) *browser{
		"third parties":    newBrowser,
		"no third parties": newStrictBrowser,
	} {
		t.Run(name, func(t *testing.T) {
			b, w := start(t), newWeb(t)
			w.configure("CGISESSION_COOKIE_NAME=__Host-id", "CGISESSION_COOKIE_SAME_SITE=none", "CGISESSION_COOKIE_PARTITIONED=true")
			const widget = "https://widget.example.test/"
			in := func(top, page string) exchange {
				t.Helper()
				return request{name: "iframe", script: element}.ask(t, b, w, top, widget+page+"?in="+top)
			}
			partitions := func() map[string]string {
				t.Helper()
				values := make(map[string]string)
				for _, c := range b.jar(t) {
					values[c.Partition.TopLevelSite] = c.Name + "=" + c.Value
				}
				return values
			}
			tops := []string{"https://one.test/", "https://two.test/"}

			// Each top-level site begins a session of its own, and so does the
			// widget as a page.
			for _, top := range tops {
				if e := in(top, "load"); e.sent != "" || len(e.set) != 1 {
					t.Errorf("first in %s: sent is %q, set %q", top, e.sent, e.set)
				}
			}
			b.visit(t, w.at(widget+"load"))
			if sent := w.last(t, widget+"load").sent; sent != "" {
				t.Errorf("first as a page: sent is %q", sent)
			}
			kept := partitions()
			if got, want := slices.Sorted(maps.Keys(kept)), []string{"https://example.test", "https://one.test", "https://two.test"}; !slices.Equal(got, want) {
				t.Fatalf("partitions: %v, not %v", got, want)
			}

			// It comes back to it, and the log-out in one is for that one.
			for _, top := range tops {
				if e := in(top, "load"); e.sent != kept[strings.TrimSuffix(top, "/")] || e.set != nil {
					t.Errorf("again in %s: sent is %q of %q, set %q", top, e.sent, kept, e.set)
				}
			}
			in(tops[0], "logout")
			delete(kept, "https://one.test")
			if got := partitions(); !maps.Equal(got, kept) {
				t.Errorf("after the log-out in %s is kept %q, not %q", tops[0], got, kept)
			}
			if e := in(tops[1], "load"); e.sent != kept["https://two.test"] || e.set != nil {
				t.Errorf("after that in %s: sent is %q, set %q", tops[1], e.sent, e.set)
			}
		})
	}
}

// Where other sites have no cookies, SameSite=None alone is of no use in a frame.
func TestNoThirdParties(t *testing.T) {
	b, w := newStrictBrowser(t), newWeb(t)
	w.configure("CGISESSION_COOKIE_SAME_SITE=none")
	const widget = "https://widget.example.test/"
	frame := request{name: "iframe", script: element}
	if e := frame.ask(t, b, w, "https://one.test/", widget+"load?in=one.test"); len(e.set) != 1 {
		t.Errorf("set is %q", e.set)
	}
	if jar := b.jar(t); len(jar) > 0 {
		t.Errorf("kept is %+v", jar)
	}
	b.visit(t, w.at(widget+"load"))
	own := one(t, b)
	if e := frame.ask(t, b, w, "https://one.test/", widget+"load?in=two.test"); e.sent != "" {
		t.Errorf("sent is %q", e.sent)
	}
	if got := one(t, b); got != own {
		t.Errorf("kept is %+v", got)
	}
}

// newStrictBrowser returns another Chromium, in which a page's site alone has
// cookies, but for partitioned ones.
func newStrictBrowser(t *testing.T) *browser {
	newBrowser(t)
	b := &browser{driver: chromium.driver, binary: chromium.binary, profile: filepath.Join(t.TempDir(), "profile"), prefs: thirdParty(false)}
	if err := b.open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	})
	return b
}
