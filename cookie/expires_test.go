package cookie_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"cgisession/cookie"

	"github.com/google/go-cmp/cmp"
)

func TestParseDuration(t *testing.T) {
	const day = 24 * time.Hour
	tests := []struct {
		text string
		want time.Duration
	}{
		{"0", 0},
		{"00", 0},
		{"0d", 0},
		{"1800", 1800 * time.Second},
		{"0.5", 500 * time.Millisecond},
		{"30m", 30 * time.Minute},
		{"36h", 36 * time.Hour},
		{"1h30m5s", time.Hour + 30*time.Minute + 5*time.Second},
		{"500ms", 500 * time.Millisecond},
		{"7d", 7 * day},
		{"1d12h", 36 * time.Hour},
		{"1d0.5h", 24*time.Hour + 30*time.Minute},
		{"1.5d", 36 * time.Hour},
		{"9223372036", 9223372036 * time.Second},
		{"106751d", 106751 * day},
		{"106751d23h47m16.854775807s", 1<<63 - 1},
	}
	for _, tt := range tests {
		got, err := cookie.ParseDuration(tt.text)
		if err != nil || got != tt.want {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", tt.text, got, err, tt.want)
		}
	}
}

func TestParseDurationJunk(t *testing.T) {
	for _, text := range []string{
		"", " ", ".", "s", "d", "h", "true", "never", "NaN", "inf", "Infinity", "nil", "0x10", "1e3", "1_000", "1,5", "٣",
		"-1", "-0", "+1", "-1h", "1d-1h", "--1", "1-1", " 1", "1 ", "1\n", "1\x00", "1 h", "1d 12h", "1;", "1h;",
		"1.2.3", "1..2", "1.2.3d", "1d2", "1d0", "1d1d", "12h1d", "1h2d", "1D", "1H", "1w", "1y", "1mo", "1dd", "1ds", "1hh",
		"9223372037", "99999999999999999999", "2562048h", "106752d", "106751d23h47m16.854775808s", "106751d24h", "1d2562047h47m",
		"384307168202282325.1d",
	} {
		got, err := cookie.ParseDuration(text)
		if err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", text, got)
			continue
		}
		oneLine(t, err)
	}
}

// lifetime is what net/http reads in the line that Set writes.
type lifetime struct {
	Expires string
	MaxAge  int
}

func setFor(text string) (lifetime, error) {
	e, err := cookie.ParseExpires(text)
	if err != nil {
		return lifetime{}, err
	}
	line, err := cookie.Set("n", "v", cookie.Attributes{Path: "/", Expires: e}, now)
	if err != nil {
		return lifetime{}, err
	}
	c, err := http.ParseSetCookie(strings.TrimPrefix(line, "Set-Cookie: "))
	if err != nil {
		return lifetime{}, err
	}
	return lifetime{c.RawExpires, c.MaxAge}, nil
}

func TestExpires(t *testing.T) {
	capped := lifetime{"Sun, 02 May 2027 23:59:59 GMT", 34560000}
	tests := []struct {
		text string
		want lifetime
	}{
		{"true", lifetime{}},
		{"True", lifetime{}},
		{"false", capped},
		{"FALSE", capped},
		{"1", lifetime{"Sun, 29 Mar 2026 00:00:00 GMT", 1}},
		{"1ns", lifetime{"Sun, 29 Mar 2026 00:00:00 GMT", 1}},
		{"1.5", lifetime{"Sun, 29 Mar 2026 00:00:01 GMT", 2}},
		{"36h", lifetime{"Mon, 30 Mar 2026 11:59:59 GMT", 36 * 3600}},
		{"1d12h", lifetime{"Mon, 30 Mar 2026 11:59:59 GMT", 36 * 3600}},
		{"400d", capped},
		{"399d23h59m59s", lifetime{"Sun, 02 May 2027 23:59:58 GMT", 34559999}},
		{"401d", capped},
		{"106751d23h47m16.854775807s", capped},
		// 0.75 s ahead: Max-Age must not be 0, which deletes.
		{"2026-03-29T00:00:00Z", lifetime{"Sun, 29 Mar 2026 00:00:00 GMT", 1}},
		{"2026-03-29T00:00:00.999Z", lifetime{"Sun, 29 Mar 2026 00:00:00 GMT", 1}},
		{"2026-03-29", lifetime{"Sun, 29 Mar 2026 00:00:00 GMT", 1}},
		{"2026-03-29T02:00:01+02:00", lifetime{"Sun, 29 Mar 2026 00:00:01 GMT", 2}},
		{"2027-01-31T00:00:00Z", lifetime{"Sun, 31 Jan 2027 00:00:00 GMT", 26611201}},
		{"2028-02-29", capped},
		{"9999-12-31T23:59:59Z", capped},
	}
	for _, tt := range tests {
		got, err := setFor(tt.text)
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.text, diff)
		}
		if e, _ := cookie.ParseExpires(tt.text); e.Persistent() != (tt.want != lifetime{}) {
			t.Errorf("%q: Persistent is %v", tt.text, e.Persistent())
		}
	}
}

func TestParseExpiresJunk(t *testing.T) {
	for _, text := range []string{
		"", "yes", "no", "none", "never", "truee", "true ", "0", "0d", "0s", "0.0", "-1", "-1h", "1d-1h", "NaN", "106752d",
		"2027-1-31", "2027-02-29", "2027-13-01", "2027-01-31T00:00:00", "2027-01-31 00:00:00Z", "2027-01-31Z",
		"2027-01-31T24:00:00Z", "2027-01-31T00:00:00z", "Sun, 31 Jan 2027 00:00:00 GMT", "2027-01-31\n", "31-01-2027",
		"10000-01-01", "10000-01-01T00:00:00Z", "+10000-01-01", "9999-12-31T23:59:59-00:01",
	} {
		got, err := cookie.ParseExpires(text)
		if err == nil {
			t.Errorf("ParseExpires(%q) = %v, want an error", text, got)
			continue
		}
		oneLine(t, err)
	}
}

// A date that is over would delete the cookie in the browser.
func TestSetExpired(t *testing.T) {
	for _, text := range []string{
		"2026-03-28T23:59:59Z", // now without its part of a second
		"2026-03-28T23:59:59.9Z",
		"2026-03-28", "1970-01-01", "1600-01-01", "0001-01-01T00:00:00Z", "0000-01-01T00:00:00+01:00",
	} {
		got, err := setFor(text)
		if err == nil || !strings.Contains(err.Error(), "is over") {
			t.Errorf("%q: Set gives %+v, %v", text, got, err)
			continue
		}
		oneLine(t, err)
	}
}

func TestSetAtTheDate(t *testing.T) {
	date := time.Date(2027, time.January, 31, 0, 0, 0, 0, time.UTC)
	a := cookie.Attributes{Path: "/", Expires: expires(t, "2027-01-31")}
	if got, err := cookie.Set("n", "v", a, date); err == nil {
		t.Errorf("at the date: %q", got)
	}
	got, err := cookie.Set("n", "v", a, date.Add(-1))
	if err != nil {
		t.Fatal(err)
	}
	want := "Set-Cookie: n=v; Path=/; Expires=Sun, 31 Jan 2027 00:00:00 GMT; Max-Age=1; SameSite=Lax"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("1 ns before the date (-want +got):\n%s", diff)
	}
}
