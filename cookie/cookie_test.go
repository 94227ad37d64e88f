package cookie_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"cgisession/cookie"

	"github.com/google/go-cmp/cmp"
)

// now is no whole second, and in another zone than the cookies.
var now = time.Date(2026, time.March, 29, 1, 59, 59, 250e6, time.FixedZone("", 2*3600))

type header struct {
	text string
	want []string
}

// goldenHeaders reads testdata/cookie/headers.txt, which says how it is built.
func goldenHeaders(t testing.TB) []header {
	t.Helper()
	text, err := os.ReadFile("../testdata/cookie/headers.txt")
	if err != nil {
		t.Fatal(err)
	}
	var headers []header
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if h, ok := strings.CutPrefix(line, "Cookie: "); ok {
			headers = append(headers, header{text: h})
		} else if value, ok := strings.CutPrefix(line, "= "); ok {
			last := &headers[len(headers)-1]
			last.want = append(last.want, value)
		} else if line != "" && line[0] != '#' {
			t.Fatalf("headers.txt: what is %q?", line)
		}
	}
	if len(headers) == 0 {
		t.Fatal("headers.txt: no headers")
	}
	return headers
}

func TestValuesGolden(t *testing.T) {
	for _, h := range goldenHeaders(t) {
		if diff := cmp.Diff(h.want, cookie.Values(h.text, "cgisession_id")); diff != "" {
			t.Errorf("Values(%q) (-want +got):\n%s", h.text, diff)
		}
	}
}

func TestValuesBytes(t *testing.T) {
	tests := []struct {
		header, name string
		want         []string
	}{
		{"", "id", nil},
		{"", "", nil},
		{"=", "", []string{""}},
		{"=id=1", "id", nil},
		{"id=\xff\xfe\x00\x01", "id", []string{"\xff\xfe\x00\x01"}},
		{"\x00id=1; id\x00=2; id=3", "id", []string{"3"}},
		{"\u00a0id=1;\u2003id=2", "id", nil}, // no blanks of cookies
		{"\vid=1;\nid=2;\rid=3", "id", nil},
		{"ıd=1; id=2", "ıd", []string{"1"}},
		{strings.Repeat("a=1;", 5000) + "id=1", "id", []string{"1"}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, cookie.Values(tt.header, tt.name)); diff != "" {
			t.Errorf("Values(%q, %q) (-want +got):\n%s", tt.header, tt.name, diff)
		}
	}
}

// FuzzValues holds Values against net/http, which deliberately does three
// things more: it unquotes values, it drops values with bytes that a server
// should not have set (CTLs, '"', '\', non-ASCII), and it trims names, and CR
// and LF, which no header line can hold.
func FuzzValues(f *testing.F) {
	for _, h := range goldenHeaders(f) {
		f.Add(h.text, "cgisession_id")
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		legal := func(value string) bool {
			return (&http.Cookie{Name: name, Value: value}).Valid() == nil
		}
		if !legal("") || strings.Count(text, ";") >= 3000 {
			return // net/http reads no such name, and no so long header
		}
		for _, blank := range []string{" =", "\t=", "\r", "\n"} {
			if strings.Contains(text, blank) {
				return
			}
		}
		var want, got []string
		r := http.Request{Header: http.Header{"Cookie": {text}}}
		for _, c := range r.CookiesNamed(name) {
			if !c.Quoted {
				want = append(want, c.Value)
			}
		}
		for _, value := range cookie.Values(text, name) {
			if legal(value) {
				got = append(got, value)
			}
		}
		// net/http makes a nameless pair a cookie with an empty value.
		if diff := cmp.Diff(withoutEmpty(want), withoutEmpty(got)); diff != "" {
			t.Errorf("header %q, name %q (-net/http +got):\n%s", text, name, diff)
		}
	})
}

func withoutEmpty(values []string) []string {
	var kept []string
	for _, v := range values {
		if v != "" {
			kept = append(kept, v)
		}
	}
	return kept
}

func TestSameSite(t *testing.T) {
	for text, want := range map[string]string{
		"lax": "Lax", "Strict": "Strict", "NONE": "None", "nOnE": "None",
	} {
		got, err := cookie.ParseSameSite(text)
		if err != nil || got.String() != want {
			t.Errorf("ParseSameSite(%q) = %v, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", " lax", "lax;", "default", "ſtrict", "lax\n", "0"} {
		got, err := cookie.ParseSameSite(text)
		if err == nil {
			t.Errorf("ParseSameSite(%q) = %v, want an error", text, got)
			continue
		}
		oneLine(t, err)
	}
}

// expires parses text that a test knows to be fine.
func expires(t *testing.T, text string) cookie.Expires {
	t.Helper()
	e, err := cookie.ParseExpires(text)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestSet(t *testing.T) {
	tests := []struct {
		about       string
		name, value string
		attributes  cookie.Attributes
		want        string
	}{
		{
			"the defaults", "cgisession_id", "abc",
			cookie.Attributes{Path: "/", HTTPOnly: true},
			"Set-Cookie: cgisession_id=abc; Path=/; HttpOnly; SameSite=Lax",
		},
		{
			"the least", "n", "",
			cookie.Attributes{Path: "/"},
			"Set-Cookie: n=; Path=/; SameSite=Lax",
		},
		{
			"everything", "n", "v",
			cookie.Attributes{
				Path: "/app", Domain: "example.com", Expires: expires(t, "1800"),
				Secure: true, HTTPOnly: true, Partitioned: true, SameSite: cookie.SameSiteNone,
			},
			"Set-Cookie: n=v; Path=/app; Domain=example.com; Expires=Sun, 29 Mar 2026 00:29:59 GMT; Max-Age=1800; " +
				"HttpOnly; Secure; SameSite=None; Partitioned",
		},
		{
			"never expires", "n", "v",
			cookie.Attributes{Path: "/", Expires: expires(t, "false")},
			"Set-Cookie: n=v; Path=/; Expires=Sun, 02 May 2027 23:59:59 GMT; Max-Age=34560000; SameSite=Lax",
		},
		{
			"a fixed date", "n", "v",
			cookie.Attributes{Path: "/", Expires: expires(t, "2027-01-31T02:00:00+02:00"), SameSite: cookie.SameSiteStrict},
			"Set-Cookie: n=v; Path=/; Expires=Sun, 31 Jan 2027 00:00:00 GMT; Max-Age=26611201; SameSite=Strict",
		},
		{
			"a strict prefix in another case", "__hOST-hTTP-n", "v",
			cookie.Attributes{Path: "/", Secure: true, HTTPOnly: true},
			"Set-Cookie: __hOST-hTTP-n=v; Path=/; HttpOnly; Secure; SameSite=Lax",
		},
		{
			"a leading dot", "n", "v",
			cookie.Attributes{Path: "/", Domain: ".example.com"},
			"Set-Cookie: n=v; Path=/; Domain=example.com; SameSite=Lax",
		},
	}
	for _, tt := range tests {
		got, err := cookie.Set(tt.name, tt.value, tt.attributes, now)
		if err != nil {
			t.Errorf("%s: %v", tt.about, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.about, diff)
		}
		// net/http writes the same line from what it reads in it.
		c, err := http.ParseSetCookie(strings.TrimPrefix(got, "Set-Cookie: "))
		if err != nil {
			t.Fatalf("%s: %v", tt.about, err)
		}
		if diff := cmp.Diff("Set-Cookie: "+c.String(), got); diff != "" {
			t.Errorf("%s (-net/http +got):\n%s", tt.about, diff)
		}
	}
}

func TestDelete(t *testing.T) {
	a := cookie.Attributes{
		Path: "/app", Domain: "example.com", Expires: expires(t, "1999-12-31"), // over, and no matter
		Secure: true, HTTPOnly: true, Partitioned: true, SameSite: cookie.SameSiteStrict,
	}
	got, err := cookie.Delete("n", a)
	if err != nil {
		t.Fatal(err)
	}
	want := "Set-Cookie: n=; Path=/app; Domain=example.com; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; " +
		"HttpOnly; Secure; SameSite=Strict; Partitioned"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	if got, err := cookie.Delete("__Host-n", a); err == nil {
		t.Errorf("a __Host- cookie with a Domain is deleted by %q", got)
	}
}

// What stands in the line does not hang on the time zone: of the clock's time,
// of the fixed date, of the process.
func TestSetInAnyZone(t *testing.T) {
	local := time.Local
	t.Cleanup(func() { time.Local = local })

	for _, text := range []string{"true", "false", "1d12h", "2027-01-31T00:00:00Z", "2027-01-31", "2036-01-01"} {
		time.Local = time.UTC
		want, err := cookie.Set("n", "v", cookie.Attributes{Path: "/", Expires: expires(t, text)}, now.UTC())
		if err != nil {
			t.Fatal(err)
		}
		for _, zone := range []string{"Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Kiritimati", "Etc/GMT+12"} {
			time.Local, err = time.LoadLocation(zone)
			if err != nil {
				t.Fatal(err)
			}
			got, err := cookie.Set("n", "v", cookie.Attributes{Path: "/", Expires: expires(t, text)}, now.Local())
			if err != nil {
				t.Errorf("%s in %s: %v", text, zone, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s in %s (-UTC +got):\n%s", text, zone, diff)
			}
		}
	}
}

var sameSiteMode = map[cookie.SameSite]http.SameSite{
	cookie.SameSiteLax:    http.SameSiteLaxMode,
	cookie.SameSiteStrict: http.SameSiteStrictMode,
	cookie.SameSiteNone:   http.SameSiteNoneMode,
}

// FuzzSet: net/http reads from what Set accepts what Set was given, nothing is
// left over, and where it finds no fault with the cookie it writes the same line.
func FuzzSet(f *testing.F) {
	f.Add("cgisession_id", "abc", "/", "", "true", uint8(0b000010), int64(1764000000))
	f.Add("__Host-Http-n", "", "/", "", "false", uint8(0b000011), int64(0))
	f.Add("n", "a.b-_", "/a/b", ".example.com", "36h", uint8(0b100101), int64(1764000000))
	f.Add("n", "v", "/\r\nX: y", "a;b", "2027-01-31", uint8(0b010000), int64(1764000000))
	f.Add("n", "v", "/\"", "0", "true", uint8(0b001101), int64(0))
	f.Add("n", "v\n", "/ ", "::1", "1d12h", uint8(0xff), int64(1764000000))
	f.Fuzz(func(t *testing.T, name, value, path, domain, until string, flags uint8, unix int64) {
		e, err := cookie.ParseExpires(until)
		if err != nil {
			oneLine(t, err)
			e = cookie.Expires{}
		}
		a := cookie.Attributes{
			Path: path, Domain: domain, Expires: e,
			Secure: flags&1 != 0, HTTPOnly: flags&2 != 0, Partitioned: flags&4 != 0,
			SameSite: cookie.SameSite(flags >> 3 % 3),
		}
		now := time.Unix(unix&(1<<37-1), 0) // to the year 6325
		line, err := cookie.Set(name, value, a, now)
		if err != nil {
			oneLine(t, err)
			if line != "" {
				t.Errorf("%q with error %v", line, err)
			}
			return
		}
		text, ok := strings.CutPrefix(line, "Set-Cookie: ")
		if !ok || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("Set = %q", line)
		}
		got, err := http.ParseSetCookie(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if e.Persistent() {
			left := got.Expires.Sub(now)
			if got.MaxAge < 1 || got.MaxAge > 34560000 || left != time.Duration(got.MaxAge)*time.Second {
				t.Errorf("%q is set at %v", text, now.UTC())
			}
		} else if got.MaxAge != 0 || got.RawExpires != "" {
			t.Errorf("%q expires", text)
		}
		want := &http.Cookie{
			Name: name, Value: value, Path: path, Domain: strings.TrimPrefix(domain, "."),
			Secure: a.Secure, HttpOnly: a.HTTPOnly, Partitioned: a.Partitioned, SameSite: sameSiteMode[a.SameSite],
			Expires: got.Expires, RawExpires: got.RawExpires, MaxAge: got.MaxAge, Raw: text,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +net/http):\n%s", text, diff)
		}
		// It wants a letter in a Domain, and no label to begin or end with '-'.
		if want.Valid() == nil && want.String() != text {
			t.Errorf("Set wrote %q, net/http %q", text, want)
		}

		deletion, err := cookie.Delete(name, a)
		if err != nil {
			t.Fatalf("%q cannot be deleted: %v", text, err)
		}
		gone, err := http.ParseSetCookie(strings.TrimPrefix(deletion, "Set-Cookie: "))
		if err != nil {
			t.Fatalf("%q: %v", deletion, err)
		}
		want.Value, want.Expires, want.MaxAge = "", time.Unix(0, 0).UTC(), -1
		want.RawExpires, want.Raw = gone.RawExpires, gone.Raw
		if diff := cmp.Diff(want, gone); diff != "" {
			t.Errorf("%q (-want +net/http):\n%s", deletion, diff)
		}
	})
}
