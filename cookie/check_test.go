package cookie_test

import (
	"net/http"
	"net/netip"
	"regexp"
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
		{"4096 bytes", strings.Repeat("n", 96), strings.Repeat("v", 4000), cookie.Attributes{Path: "/"}, ""},
		{"path of 1024", "n", "v", cookie.Attributes{Path: "/" + strings.Repeat("p", 1023)}, ""},
		{"domain of 253", "n", "v", cookie.Attributes{Path: "/", Domain: "." + longHost[:253]}, ""},
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
		{"domain of 254", "n", "v", cookie.Attributes{Path: "/", Domain: longHost[:254]}, "--cookie-domain is 254 bytes long"},
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

// longHost is labels of 62 bytes.
var longHost = strings.Repeat(strings.Repeat("d", 62)+".", 5)

func acceptsDomain(domain string) bool {
	return cookie.Check("n", "v", cookie.Attributes{Path: "/", Domain: domain}) == nil
}

func TestCheckDomain(t *testing.T) {
	long := strings.Repeat("d", 63)
	for _, domain := range []string{
		"a", "a.b", ".a.b", "a-b.c--d", "xn--mnchen-3ya.de", "_a.b_", long + "." + long,
		"1.a", "1.2.3.4.a", "0x1.a", "a1", "1a", "a.1a", "a.0xg", "a.x0", "0x.a", "a.1e3", "a.b0x1",
	} {
		if !acceptsDomain(domain) {
			t.Errorf("domain %q is refused", domain)
		}
	}
	for want, domains := range map[string][]string{
		"no host name": {
			".", "..", "a.", ".a.", "a..b", "..a", "a.1.", "::1", "[::1]", "::ffff:1.2.3.4", "fe80::1%eth0", "münchen.de",
			"http://a", "a:80", "*.a", "a b", "a/b",
		},
		"a label that": {"-a.b", "a-.b", "a.-b", "a.b-", "-", "a.-.b", ".-a", long + "d", "a." + long + "d.b", "-1"},
		// What a number is in a host's last label: the URL Standard, "ends in a number checker".
		"take it for an IP address": {
			"127.0.0.1", ".127.0.0.1", "127.1", "1", "0", "2130706433", "0x7f000001", "0X7F.1", "0177.0.0.1", "1.2.3.0x", "0x",
			"256.256.256.256", "1.2.3.4.5", "a.1", "a.08", "a.0x1", "a.0X", "a_b.99999999999999999999",
		},
	} {
		for _, domain := range domains {
			err := cookie.Check("n", "v", cookie.Attributes{Path: "/", Domain: domain})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("domain %q: error is %v, want %q", domain, err, want)
				continue
			}
			oneLine(t, err)
		}
	}
}

// All short domains are accepted or refused as net/http and net/netip say. net/http takes
// a dot at the end too, and wants a letter, so that it is asked for a host below the
// domain; netip knows one spelling of an address only.
func TestCheckDomainAgainstHTTP(t *testing.T) {
	const characters = "aF0-.x"
	number := regexp.MustCompile(`(^|\.)([0-9]+|0[xX][0-9a-fA-F]*)$`)
	accepted := 0
	for _, domain := range combinations(characters, 6) {
		below := http.Cookie{Name: "n", Value: "v", Path: "/", Domain: "a." + strings.TrimPrefix(domain, ".")}
		_, err := netip.ParseAddr(domain)
		want := below.Valid() == nil && err != nil && !number.MatchString(domain) && !strings.HasSuffix(domain, ".")
		if got := acceptsDomain(domain); got != want {
			t.Errorf("domain %q is accepted: %v", domain, got)
		}
		if want {
			accepted++
		}
	}
	if accepted < 1000 {
		t.Errorf("only %d are accepted", accepted)
	}
}

// combinations returns the words of 1 to most of the characters.
func combinations(characters string, most int) (all []string) {
	words := []string{""}
	for range most {
		var longer []string
		for _, word := range words {
			for _, c := range characters {
				longer = append(longer, word+string(c))
			}
		}
		words = longer
		all = append(all, words...)
	}
	return all
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
