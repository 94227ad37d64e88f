package cookie_test

import (
	"strings"
	"testing"

	"cgisession/cookie"

	"github.com/google/go-cmp/cmp"
)

// oneLine fails the test if err could break out of the line it is printed on.
func oneLine(t *testing.T, err error) {
	t.Helper()
	if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
		t.Errorf("the message %q is not one line of text", err)
	}
}

func TestCheck(t *testing.T) {
	tests := []struct {
		about       string
		name, value string
		attributes  cookie.Attributes
		want        string // of the message; "" is no error
	}{
		{"every tchar", "!#$%&'*+-.^_`|~09AZaz", "v", cookie.Attributes{Path: "/"}, ""},
		{"every kind of octet", "n", "!#$%&'()*+-./09:<=>?@AZ[]^_`az{|}~", cookie.Attributes{Path: "/"}, ""},
		{"path", "n", "v", cookie.Attributes{Path: `/~a/[b],c=%20`}, ""},
		{"dots in a name", "n", "v", cookie.Attributes{Path: "/.a/b../%2e%2ec/..."}, ""},
		{"dots", "n", "v", cookie.Attributes{Path: "/a/../b"}, "browsers resolve"},
		{"dot", "n", "v", cookie.Attributes{Path: "/."}, "browsers resolve"},
		{"encoded dots", "n", "v", cookie.Attributes{Path: "/a/.%2E/b"}, "browsers resolve"},
		{"domain", "n", "v", cookie.Attributes{Path: "/", Domain: "a-1.Example.co.uk"}, ""},
		{"domain with a dot", "n", "v", cookie.Attributes{Path: "/", Domain: ".example.com"}, ""},
		{"localhost", "n", "v", cookie.Attributes{Path: "/", Domain: "localhost"}, ""},
		{"address", "n", "v", cookie.Attributes{Path: "/", Domain: "127.0.0.1"}, ""},
		{"4096 bytes", strings.Repeat("n", 96), strings.Repeat("v", 4000), cookie.Attributes{Path: "/"}, ""},
		{"path of 1024", "n", "v", cookie.Attributes{Path: "/" + strings.Repeat("p", 1023)}, ""},
		{"domain of 1024", "n", "v", cookie.Attributes{Path: "/", Domain: strings.Repeat("d", 1024)}, ""},
		{"host", "__Host-n", "v", cookie.Attributes{Path: "/", Secure: true}, ""},
		{"secure", "__Secure-n", "v", cookie.Attributes{Path: "/a", Domain: "a.b", Secure: true}, ""},
		{"http", "__Http-n", "v", cookie.Attributes{Path: "/a", Domain: "a.b", Secure: true, HTTPOnly: true}, ""},
		{"host-http", "__Host-Http-n", "v", cookie.Attributes{Path: "/", Secure: true, HTTPOnly: true}, ""},
		{"no prefix", "__Hostn", "v", cookie.Attributes{Path: "/a"}, ""},
		{"not at the start", "x__Host-n", "v", cookie.Attributes{Path: "/a"}, ""},
		{"none", "n", "v", cookie.Attributes{Path: "/", Secure: true, SameSite: cookie.SameSiteNone, Partitioned: true}, ""},

		{"no name", "", "v", cookie.Attributes{Path: "/"}, "cookie name is empty"},
		{"4097 bytes", strings.Repeat("n", 97), strings.Repeat("v", 4000), cookie.Attributes{Path: "/"}, "4097 bytes together"},
		{"no path", "n", "v", cookie.Attributes{}, `--cookie-path "" does not begin with '/'`},
		{"relative path", "n", "v", cookie.Attributes{Path: "a/"}, `--cookie-path "a/" does not begin with '/'`},
		{"path of 1025", "n", "v", cookie.Attributes{Path: "/" + strings.Repeat("p", 1024)}, "--cookie-path is 1025 bytes long"},
		{"domain of 1025", "n", "v", cookie.Attributes{Path: "/", Domain: strings.Repeat("d", 1025)}, "--cookie-domain is 1025 bytes long"},
		{"plain host", "__Host-n", "v", cookie.Attributes{Path: "/"}, `cookie name "__Host-n" needs --cookie-secure always`},
		{"host, any case", "__hOsT-n", "v", cookie.Attributes{Path: "/"}, `cookie name "__hOsT-n" needs --cookie-secure always`},
		{"host, bare", "__host-", "v", cookie.Attributes{Path: "/"}, "needs --cookie-secure always"},
		{"host, domain", "__Host-n", "v", cookie.Attributes{Path: "/", Domain: "a.b", Secure: true}, "allows no --cookie-domain"},
		{"host, path", "__HOST-n", "v", cookie.Attributes{Path: "/a", Secure: true}, "needs --cookie-path /"},
		{"plain secure", "__sEcure-n", "v", cookie.Attributes{Path: "/"}, "needs --cookie-secure always"},
		{"plain http", "__Http-n", "v", cookie.Attributes{Path: "/", HTTPOnly: true}, "needs --cookie-secure always"},
		{"script's http", "__HTTP-n", "v", cookie.Attributes{Path: "/", Secure: true}, "needs --cookie-http-only true"},
		{"script's host-http", "__host-http-n", "v", cookie.Attributes{Path: "/", Secure: true}, "needs --cookie-http-only true"},
		{
			"host-http, domain", "__Host-Http-n", "v",
			cookie.Attributes{Path: "/", Domain: "a.b", Secure: true, HTTPOnly: true}, "allows no --cookie-domain",
		},
		{
			"host-http, path", "__Host-Http-n", "v",
			cookie.Attributes{Path: "/a", Secure: true, HTTPOnly: true}, "needs --cookie-path /",
		},
		{
			"plain none", "n", "v", cookie.Attributes{Path: "/", SameSite: cookie.SameSiteNone},
			"--cookie-same-site none needs --cookie-secure always",
		},
		{
			"plain partitioned", "n", "v", cookie.Attributes{Path: "/", Partitioned: true},
			"--cookie-partitioned needs --cookie-secure always",
		},
	}
	for _, tt := range tests {
		err := cookie.Check(tt.name, tt.value, tt.attributes)
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.about, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error is %v, want %q", tt.about, err, tt.want)
			continue
		}
		oneLine(t, err)
		if _, setErr := cookie.Set(tt.name, tt.value, tt.attributes, now); setErr == nil || setErr.Error() != err.Error() {
			t.Errorf("%s: Check says %q, Set %v", tt.about, err, setErr)
		}
	}
}

// Every byte, wherever it may stand, against the grammars as their RFCs list them.
func TestCheckBytes(t *testing.T) {
	const (
		alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		tchar        = "!#$%&'*+-.^_`|~" + alphanumeric              // RFC 9110 §5.6.2
		octet        = "!#$%&'()*+-./:<=>?@[]^_`{|}~" + alphanumeric // RFC 6265 §4.1.1
		path         = "/-._~!$&'()*+,=:@%[]" + alphanumeric         // RFC 3986 §3.3, and what browsers send as it is
		label        = "-_" + alphanumeric                           // RFC 952, and the underscore of intranets
	)
	for i := range 256 {
		b := string([]byte{byte(i)})
		s := "a" + b + "a"
		got := map[string]bool{
			"name":   cookie.Check(s, "v", cookie.Attributes{Path: "/"}) == nil,
			"value":  cookie.Check("n", s, cookie.Attributes{Path: "/"}) == nil,
			"path":   cookie.Check("n", "v", cookie.Attributes{Path: "/" + s}) == nil,
			"domain": cookie.Check("n", "v", cookie.Attributes{Path: "/", Domain: s}) == nil,
		}
		want := map[string]bool{
			"name":   strings.Contains(tchar, b),
			"value":  strings.Contains(octet, b),
			"path":   strings.Contains(path, b),
			"domain": strings.Contains(label, b) || b == ".",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("byte %q accepted (-want +got):\n%s", b, diff)
		}
	}
}

func TestCheckDomainLabels(t *testing.T) {
	for _, domain := range []string{".", "..", "a.", "a..b", "..a", "[::1]", "::1", "münchen.de", "http://a", "a:80", "*.a"} {
		err := cookie.Check("n", "v", cookie.Attributes{Path: "/", Domain: domain})
		if err == nil {
			t.Errorf("domain %q is accepted", domain)
			continue
		}
		oneLine(t, err)
	}
}

// A value may be the secret of a session; what an operator typed may be anything.
func TestCheckMessages(t *testing.T) {
	for _, value := range []string{"s3cret;", strings.Repeat("s3cret", 1000)} {
		err := cookie.Check("n", value, cookie.Attributes{Path: "/"})
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("error for a bad value is %v", err)
		}
	}
	const odd = "a\r\nb\x1b[0m\xff\u2028"
	for about, err := range map[string]error{
		"name":   cookie.Check(odd, "v", cookie.Attributes{Path: "/"}),
		"path":   cookie.Check("n", "v", cookie.Attributes{Path: odd}),
		"domain": cookie.Check("n", "v", cookie.Attributes{Path: "/", Domain: odd}),
	} {
		if err == nil || !strings.Contains(err.Error(), `"a\r\nb\x1b[0m\xff\u2028"`) {
			t.Errorf("error for a bad %s is %v", about, err)
		}
	}
}
