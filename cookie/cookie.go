// Package cookie reads, writes and signs session cookies.
//
// A cookie's value is opaque bytes here: it is never decoded or unquoted, and no
// error holds it. Functions that read what a client sent ([Values], [Keys.Verify],
// [Keys.CheckCSRFToken]) have no errors: bad input is no cookie, or no match. All
// errors are about the operator's options and key file.
//
// "RFC 6265bis" is draft-ietf-httpbis-rfc6265bis, which says what browsers do today.
package cookie

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// Values returns the value of every cookie called name in header, the text of a
// Cookie request header (HTTP_COOKIE), in the order sent; nil if there is none.
//
// The header is a cookie-string (RFC 6265 §4.2.1), read as bytes: it is split at each
// ';'; each pair is trimmed of SP and TAB and cut at its first '='; and the name must
// be equal byte for byte. Quotes and percent signs stay. $Version and $Path of
// RFC 2965 are cookies like any other. A browser may send several cookies of one name,
// set with different paths or domains (RFC 6265bis §5.8.3).
func Values(header, name string) []string {
	var values []string
	for pair := range strings.SplitSeq(header, ";") {
		got, value, found := strings.Cut(strings.Trim(pair, " \t"), "=")
		if found && got == name {
			values = append(values, value)
		}
	}
	return values
}

// SameSite says which requests from other sites carry the cookie (RFC 6265bis
// §5.6.7). The zero value is SameSiteLax.
type SameSite uint8

const (
	SameSiteLax    SameSite = iota // only links and other top-level navigation
	SameSiteStrict                 // none
	SameSiteNone                   // all; browsers require Secure with it
)

// ParseSameSite accepts "lax", "strict" and "none", in any letter case.
func ParseSameSite(text string) (SameSite, error) {
	switch strings.ToLower(text) {
	case "lax":
		return SameSiteLax, nil
	case "strict":
		return SameSiteStrict, nil
	case "none":
		return SameSiteNone, nil
	}
	return 0, errors.New("--cookie-same-site " + strconv.Quote(text) + " is not lax, strict or none")
}

// String returns the attribute's value as it is sent: "Lax", "Strict" or "None".
func (s SameSite) String() string {
	switch s {
	case SameSiteStrict:
		return "Strict"
	case SameSiteNone:
		return "None"
	}
	return "Lax"
}

// Attributes are the attributes of a Set-Cookie line (RFC 6265bis §4.1.2). A zero
// value is not enough: Path has no default.
type Attributes struct {
	Path        string // begins with '/'
	Domain      string // empty: a cookie for the answering host alone
	Expires     Expires
	Secure      bool // sent over https only
	HTTPOnly    bool // hidden from the page's scripts
	Partitioned bool // one cookie for each top-level site (CHIPS)
	SameSite    SameSite
}

// Set returns the header line "Set-Cookie: name=value; Path=…", without a line end,
// that stores the cookie in the browser (RFC 6265 §4.1). A cookie that outlives the
// browser has both Expires and Max-Age, counted from now; any other has neither. The
// errors are those of [Check], and a fixed date in a.Expires that is not after now.
func Set(name, value string, a Attributes, now time.Time) (string, error) {
	if err := Check(name, value, a); err != nil {
		return "", err
	}
	if !a.Expires.Persistent() {
		return line(name, value, "", a), nil
	}
	end, seconds, err := a.Expires.end(now)
	if err != nil {
		return "", err
	}
	return line(name, value, lifetime(end, seconds), a), nil
}

// Delete returns the header line, without a line end, that makes a browser drop the
// cookie that [Set] stored with the same name and attributes. A browser replaces only
// a cookie of the same name, domain and path (RFC 6265bis §5.7) in the same partition.
// Expires is the start of 1970, Max-Age 0; a.Expires is not used. The errors are those
// of [Check].
func Delete(name string, a Attributes) (string, error) {
	if err := Check(name, "", a); err != nil {
		return "", err
	}
	return line(name, "", lifetime(time.Unix(0, 0), 0), a), nil
}

// lifetime returns both attributes for a cookie that ends at end, in so many seconds.
// A client that knows Max-Age prefers it (RFC 6265 §4.1.2.2), and then its clock may
// be wrong; old clients know Expires only. The date is an IMF-fixdate (RFC 9110
// §5.6.7).
func lifetime(end time.Time, seconds int64) string {
	return "; Expires=" + end.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT") +
		"; Max-Age=" + strconv.FormatInt(seconds, 10)
}

// line joins parts that Check has accepted, in the order that net/http uses.
func line(name, value, lifetime string, a Attributes) string {
	domain, httpOnly, secure, partitioned := "", "", "", ""
	if a.Domain != "" {
		// Browsers ignore a leading dot, which the grammar does not allow (RFC 6265
		// §4.1.2.3).
		domain = "; Domain=" + strings.TrimPrefix(a.Domain, ".")
	}
	if a.HTTPOnly {
		httpOnly = "; HttpOnly"
	}
	if a.Secure {
		secure = "; Secure"
	}
	if a.Partitioned {
		partitioned = "; Partitioned"
	}
	return "Set-Cookie: " + name + "=" + value + "; Path=" + a.Path + domain + lifetime +
		httpOnly + secure + "; SameSite=" + a.SameSite.String() + partitioned
}
