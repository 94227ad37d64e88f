package browser

import (
	"slices"
	"strings"
	"testing"
)

// A request is a way in which one page makes the browser ask for another.
type request struct {
	name   string
	script string // run in the one page; arguments[0] is the other's URL
	lax    bool   // a top-level navigation by a safe method
	post   bool   // a top-level navigation by POST
}

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
	{name: "iframe", script: `document.body.appendChild(document.createElement('iframe')).src = arguments[0];`},
	{name: "image", script: `document.body.appendChild(document.createElement('img')).src = arguments[0];`},
	{name: "script", script: `document.body.appendChild(document.createElement('script')).src = arguments[0];`},
	{name: "fetch", script: `fetch(arguments[0], {mode: 'no-cors', credentials: 'include'});`},
	{name: "fetch-post", script: `fetch(arguments[0], {method: 'POST', mode: 'no-cors', credentials: 'include'});`},
	{name: "beacon", script: `navigator.sendBeacon(arguments[0], '');`},
}

// keepSameSite makes the browser keep a cookie of each kind from one https site:
// three by the program, and one, called unset, that says nothing of SameSite.
func keepSameSite(t *testing.T, b *browser, w *web, site string) {
	for _, kind := range []string{"strict", "lax", "none"} {
		w.configure("CGISESSION_COOKIE_NAME="+kind, "CGISESSION_COOKIE_SAME_SITE="+kind)
		b.visit(t, w.at(site+"load"))
	}
	b.visit(t, w.hand(site, "unset=x; Path=/; Secure"))
	if got, want := names(b.jar(t)), []string{"lax", "none", "strict", "unset"}; !slices.Equal(got, want) {
		t.Fatalf("kept are %v, not %v", got, want)
	}
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

func TestSameSite(t *testing.T) {
	origins := []struct {
		name, url string
		same      bool // site
	}{
		{"same-origin", "https://app.example.test/", true},
		{"same-site", "https://www.example.test/", true},
		{"cross-site", "https://other.test/", false},
		{"cross-site-by-scheme", "http://app.example.test/", false},
	}
	b, w := newBrowser(t), newWeb(t)
	keepSameSite(t, b, w, "https://app.example.test/")
	for _, from := range origins {
		for _, r := range requests {
			t.Run(from.name+"/"+r.name, func(t *testing.T) {
				// No SameSite is Lax for browsers, but for POST in the
				// cookie's first two minutes, which no Lax cookie of the
				// program's has.
				want := []string{"none"}
				switch {
				case from.same:
					want = []string{"lax", "none", "strict", "unset"}
				case r.lax:
					want = []string{"lax", "none", "unset"}
				case r.post:
					want = []string{"none", "unset"}
				}
				to := "https://app.example.test/" + from.name + "/" + r.name
				b.visit(t, w.at(from.url))
				b.run(t, r.script, w.at(to))
				if r.name == "get-form" {
					to += "?"
				}
				if got := sentNames(w.last(t, to).sent); !slices.Equal(got, want) {
					t.Errorf("sent are %v, not %v", got, want)
				}
			})
		}
	}
	t.Run("typed", func(t *testing.T) {
		const to = "https://app.example.test/typed"
		b.visit(t, w.at("https://other.test/"))
		b.visit(t, w.at(to))
		if got, want := sentNames(w.last(t, to).sent), []string{"lax", "none", "strict", "unset"}; !slices.Equal(got, want) {
			t.Errorf("sent are %v, not %v", got, want)
		}
	})
}

// From a frame, an image or a fetch of another site only a SameSite=None cookie
// is kept.
func TestSetCrossSite(t *testing.T) {
	for _, kind := range []string{"strict", "lax", "none"} {
		for _, r := range requests {
			if r.lax || r.post {
				continue
			}
			t.Run(kind+"/"+r.name, func(t *testing.T) {
				b, w := newBrowser(t), newWeb(t)
				w.configure("CGISESSION_COOKIE_NAME="+kind, "CGISESSION_COOKIE_SAME_SITE="+kind)
				const to = "https://app.example.test/load"
				b.visit(t, w.at("https://other.test/"))
				b.run(t, r.script, w.at(to))
				if set := w.last(t, to).set; len(set) != 1 {
					t.Errorf("set is %q", set)
				}
				// A request that ended later says that this one is settled.
				until(t, "settled answer", func() bool {
					return b.run(t, `return performance.getEntriesByName(arguments[0]).length ? 'yes' : ''`, w.at(to)) != ""
				})
				if got := names(b.jar(t)); len(got) > 0 != (kind == "none") {
					t.Errorf("kept are %v", got)
				}
			})
		}
	}
}

// Who comes by a link from another site has not sent the strict cookie, and a
// POST from there not the lax one. To load that is a first visit: its new
// session takes the place of the client's own. With --lazy it does not.
func TestArrival(t *testing.T) {
	tests := []struct {
		kind, request, page string
		want                string // on the visit after the arrival
	}{
		{"strict", "link", "load", "exit 0, visit 2"},
		{"strict", "link", "lazy", "exit 0, visit 2"},
		{"lax", "link", "load", "exit 0, visit 3"},
		{"lax", "post-form", "load", "exit 0, visit 2"},
		{"lax", "post-form", "lazy", "exit 0, visit 2"},
		{"none", "post-form", "load", "exit 0, visit 3"},
	}
	for _, test := range tests {
		t.Run(test.kind+"/"+test.request+"/"+test.page, func(t *testing.T) {
			b, w := newBrowser(t), newWeb(t)
			w.configure("CGISESSION_COOKIE_SAME_SITE=" + test.kind)
			const site = "https://app.example.test/"
			b.visit(t, w.at(site+"load"))
			own := one(t, b).Value

			b.visit(t, w.at("https://other.test/"))
			i := slices.IndexFunc(requests, func(r request) bool { return r.name == test.request })
			b.run(t, requests[i].script, w.at(site+test.page+"?arrival"))
			w.last(t, site+test.page+"?arrival")
			until(t, "page", func() bool { return strings.HasPrefix(b.text(t), "exit 0") })

			if got := b.visit(t, w.at(site+"load")); got != test.want {
				t.Errorf("after the arrival: %s, not %s", got, test.want)
			}
			t.Log(one(t, b).Value == own)
		})
	}
}
