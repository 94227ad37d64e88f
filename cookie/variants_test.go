package cookie_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"cgisession/cookie"

	"github.com/google/go-cmp/cmp"
)

// brief returns the Path and the Domain of each line.
func brief(t testing.TB, lines []string) (all []string) {
	t.Helper()
	for _, line := range lines {
		c, err := http.ParseSetCookie(strings.TrimPrefix(line, "Set-Cookie: "))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, c.Path+" "+c.Domain)
	}
	return all
}

func TestVariants(t *testing.T) {
	root := cookie.Attributes{Path: "/"}
	shop := cookie.Attributes{Path: "/shop", Domain: ".Shop.Example.com", Secure: true}
	for _, test := range []struct {
		about, name string
		a           cookie.Attributes
		host        string
		script      string
		want        []string
	}{
		{"nothing known", "n", root, "", "", nil},
		{"host", "n", root, "www.Example.com", "/x.cgi", []string{"/ www.example.com", "/ example.com"}},
		{"host of many labels", "n", root, "a.b.c.d", "", []string{"/ a.b.c.d", "/ b.c.d", "/ c.d"}},
		{"script", "n", root, "", "/a/b/x.cgi", []string{"/a/b ", "/a ", "/a/b/ ", "/a/ "}},
		{"script that is a directory", "n", root, "", "/a/", []string{"/a ", "/a/ "}},
		{"script and host", "n", root, "example.com", "/a/x", []string{
			"/ example.com", "/a ", "/a/ ", "/a example.com", "/a/ example.com",
		}},
		{"domain and path", "n", shop, "example.com", "/shop/x", []string{
			"/ ", "/ shop.example.com", "/ example.com",
			"/shop ", "/shop example.com",
			"/shop/ ", "/shop/ shop.example.com", "/shop/ example.com",
		}},
		{"domain alone", "n", cookie.Attributes{Path: "/", Domain: "a.b.example.com"}, "", "", []string{"/ ", "/ b.example.com", "/ example.com"}},
		{"domain that is an address", "n", cookie.Attributes{Path: "/", Domain: "127.0.0.1"}, "127.0.0.1", "/a/x", []string{"/a ", "/a/ "}},
		{"domain of one label", "n", cookie.Attributes{Path: "/", Domain: "localhost"}, "localhost", "", nil},
		{"__Host-", "__Host-n", cookie.Attributes{Path: "/", Secure: true}, "www.example.com", "/a/x", nil},
		{"__Secure-", "__Secure-n", cookie.Attributes{Path: "/", Secure: true}, "www.example.com", "", []string{"/ www.example.com", "/ example.com"}},
		{"__Secure- without Secure", "__Secure-n", root, "www.example.com", "/a/x", nil},
		{"Partitioned without Secure", "n", cookie.Attributes{Path: "/", Partitioned: true}, "www.example.com", "/a/x", nil},
	} {
		if diff := cmp.Diff(test.want, brief(t, cookie.Variants(test.name, test.a, test.host, test.script))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.about, diff)
		}
	}
}

// The lines have the attributes that Delete has.
func TestVariantsAttributes(t *testing.T) {
	a := cookie.Attributes{Path: "/", Secure: true, HTTPOnly: true, Partitioned: true, SameSite: cookie.SameSiteNone}
	other := a
	other.Domain = "example.com"
	want, err := cookie.Delete("n", other)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{want}, cookie.Variants("n", a, "example.com", "")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// There are 12 lines at most, of 1500 bytes with their ends. What is too long
// leaves room for others.
func TestVariantsBounds(t *testing.T) {
	long := "/" + strings.Repeat("p", 1000)
	for about, lines := range map[string][]string{
		"many short":   cookie.Variants("n", cookie.Attributes{Path: "/"}, "a.b", strings.Repeat("/a", 6)),
		"many long":    cookie.Variants("n", cookie.Attributes{Path: "/"}, strings.Repeat("long-label.", 20)+"example.com", strings.Repeat("/long-directory", 20)),
		"one too long": cookie.Variants("n", cookie.Attributes{Path: long}, "www.example.com", long+long+"/x"),
		"enormous":     cookie.Variants("n", cookie.Attributes{Path: "/"}, strings.Repeat("a.", 50000)+"com", strings.Repeat("/a", 60000)),
	} {
		size := 0
		for _, line := range lines {
			size += len(line) + 2
		}
		if len(lines) == 0 || len(lines) > 12 || size > 1500 {
			t.Errorf("%s: %d lines, %d bytes", about, len(lines), size)
		}
		if about == "many short" && len(lines) != 12 {
			t.Errorf("%s: %d lines", about, len(lines))
		}
	}
}

// FuzzVariants: whatever the web server, or its client, says, each line deletes one
// cookie of this name, which is not the one that Set stores, and has no domain but
// those that are known.
func FuzzVariants(f *testing.F) {
	f.Add("cgisession_id", "/", "", uint8(0), "www.example.com", "/cgi-bin/app/x.cgi")
	f.Add("__Secure-n", "/shop", ".Example.com", uint8(7), "127.0.0.1", "/a b/x")
	f.Add("n", "/", "a.b.c", uint8(1), "x\r\nSet-Cookie: a=b.com", "/x\r\nSet-Cookie: a=b/c")
	f.Add("n", "/a;b", "localhost", uint8(3), "a.0x7f", "//../x")
	f.Fuzz(func(t *testing.T, name, path, domain string, flags uint8, host, script string) {
		a := cookie.Attributes{Path: path, Domain: domain, Secure: flags&1 != 0, HTTPOnly: flags&2 != 0, Partitioned: flags&4 != 0}
		lines := cookie.Variants(name, a, host, script)
		if len(lines) > 12 {
			t.Errorf("%d lines", len(lines))
		}
		domain = strings.ToLower(strings.TrimPrefix(domain, "."))
		seen := make(map[string]bool)
		for _, line := range lines {
			text, ok := strings.CutPrefix(line, "Set-Cookie: ")
			if !ok || seen[line] || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("%q", line)
			}
			seen[line] = true
			c, err := http.ParseSetCookie(text)
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			switch {
			case c.Name != name || c.Value != "" || c.MaxAge >= 0:
				t.Errorf("%q deletes no cookie %q", text, name)
			case c.Path == path && c.Domain == domain:
				t.Errorf("%q deletes the cookie itself", text)
			case c.Domain != "" && (net.ParseIP(c.Domain) != nil || !strings.Contains(c.Domain, ".")):
				t.Errorf("%q is of an address or a single label", text)
			case c.Domain != "" && !within(domain, c.Domain) && !within(strings.ToLower(host), c.Domain):
				t.Errorf("%q is of another domain than %q and %q", text, domain, host)
			}
			if a.Path, a.Domain = c.Path, c.Domain; cookie.Check(name, "", a) != nil {
				t.Errorf("%q: %v", text, cookie.Check(name, "", a))
			}
		}
	})
}

// within reports whether host is domain or below it.
func within(host, domain string) bool { return host == domain || strings.HasSuffix(host, "."+domain) }
