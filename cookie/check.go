package cookie

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// The limits of browsers, in bytes (RFC 6265bis §5.6).
const (
	maxPair      = 4096 // name and value together; browsers drop a longer cookie
	maxAttribute = 1024 // an attribute's value; browsers ignore a longer one
)

// Check returns an error for a cookie that a browser would drop or change, and for
// text that would break out of its place in the header line:
//
//   - a name that is no token (RFC 9110 §5.6.2), a value with anything but cookie-octets
//     (RFC 6265 §4.1.1), or name and value together over 4096 bytes;
//   - a Path that does not begin with '/';
//   - a Path with a character that browsers encode in a URL's path (the path
//     percent-encode set of the URL Standard, and '|'), with ';' or '\', or with a
//     segment "." or "..", which browsers resolve: it would match no request;
//   - a Domain that is no host name, after one leading dot, or that browsers take for an
//     IP address;
//   - a Path over 1024 bytes, or a Domain over 253;
//   - a name that begins with __Secure-, __Host- (RFC 6265bis §4.1.3), __Http- or
//     __Host-Http- (draft-ietf-httpbis-layered-cookies), in any letter case, without
//     the attributes that the prefix requires;
//   - SameSite=None or Partitioned without Secure.
//
// An empty value is no error. The message says which option to change, and never
// holds the value.
func Check(name, value string, a Attributes) error {
	return cmp.Or(
		checkPair(name, value),
		CheckPath(a.Path),
		CheckDomain(a.Domain),
		checkPrefix(name, a),
		checkSecure(a),
	)
}

// CheckName is the part of Check that the name alone decides.
func CheckName(name string) error { return checkPair(name, "") }

func checkPair(name, value string) error {
	switch size := len(name) + len(value); {
	case name == "":
		return errors.New("cookie name is empty: give --cookie-name a name such as cgisession_id")
	case size > maxPair:
		return errors.New("cookie name and value are " + strconv.Itoa(size) + " bytes together and browsers take " +
			strconv.Itoa(maxPair) + ": shorten --cookie-name")
	case strings.ContainsFunc(name, notToken):
		return errors.New("cookie name " + strconv.Quote(name) +
			" holds a character that none may: use letters, digits, '-' and '_' in --cookie-name")
	case strings.ContainsFunc(value, notCookieOctet):
		return errors.New("cookie value holds a byte that none may: " +
			`only printable ASCII but for space, '"', ',', ';' and '\' is safe`)
	}
	return nil
}

// CheckPath is the part of Check that a Path alone decides.
func CheckPath(path string) error {
	switch {
	case len(path) > maxAttribute:
		return tooLong("--cookie-path", path, maxAttribute)
	case !strings.HasPrefix(path, "/"):
		return errors.New("--cookie-path " + strconv.Quote(path) + " does not begin with '/'")
	case strings.ContainsFunc(path, notPath):
		return errors.New("--cookie-path " + strconv.Quote(path) +
			" holds a character that browsers send in another form: write it percent-encoded, as URLs have it")
	case slices.ContainsFunc(strings.Split(path, "/"), isDots):
		return errors.New("--cookie-path " + strconv.Quote(path) +
			" holds . or .. for a segment, which browsers resolve: leave it out")
	}
	return nil
}

// CheckDomain is the part of Check that a Domain alone decides. It leaves out two rules
// of browsers, which it cannot check: a Domain must be the host's own or a parent of it,
// and no public suffix.
func CheckDomain(domain string) error {
	if domain == "" {
		return nil
	}
	host := strings.TrimPrefix(domain, ".")
	labels := strings.Split(host, ".")
	var wrong string
	switch {
	case len(host) > maxHost:
		return tooLong("--cookie-domain", host, maxHost)
	case slices.Contains(labels, "") || strings.ContainsFunc(host, notHost):
		wrong = ` is no host name: use labels of letters, digits, '-' and '_' ("example.com"), or leave it out`
	case slices.ContainsFunc(labels, notLabel):
		wrong = " has a label that begins or ends with '-', or is over 63 bytes long: browsers drop the cookie"
	case endsInNumber(labels[len(labels)-1]):
		wrong = " ends in a number, so that browsers take it for an IP address and drop the cookie: leave it out"
	default:
		return nil
	}
	return errors.New("--cookie-domain " + strconv.Quote(domain) + wrong)
}

// checkPrefix ignores the letter case of the name, as browsers do to protect servers
// that ignore it (RFC 6265bis §5.7).
func checkPrefix(name string, a Attributes) error {
	lower := strings.ToLower(name)
	host := strings.HasPrefix(lower, "__host-")
	http := strings.HasPrefix(lower, "__http-") || strings.HasPrefix(lower, "__host-http-")
	secure := host || http || strings.HasPrefix(lower, "__secure-")
	var want string
	switch {
	case secure && !a.Secure:
		want = "needs --cookie-secure always"
	case http && !a.HTTPOnly:
		want = "needs --cookie-http-only true"
	case host && a.Domain != "":
		want = "allows no --cookie-domain"
	case host && a.Path != "/":
		want = "needs --cookie-path /"
	default:
		return nil
	}
	return errors.New("cookie name " + strconv.Quote(name) + " " + want + ": browsers drop it otherwise")
}

func checkSecure(a Attributes) error {
	switch {
	case a.Secure:
		return nil
	case a.SameSite == SameSiteNone:
		return errors.New("--cookie-same-site none needs --cookie-secure always: browsers drop the cookie otherwise")
	case a.Partitioned:
		return errors.New("--cookie-partitioned needs --cookie-secure always: browsers drop the cookie otherwise")
	}
	return nil
}

func tooLong(option, text string, most int) error {
	return errors.New(option + " is " + strconv.Itoa(len(text)) + " bytes long and browsers ignore it over " +
		strconv.Itoa(most) + ": shorten it")
}

// notToken reports whether a token may not hold r (RFC 9110 §5.6.2).
func notToken(r rune) bool {
	return !isAlphanumeric(r) && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

// notCookieOctet reports whether a cookie's value may not hold r (RFC 6265 §4.1.1).
// Bytes beyond ASCII are not allowed.
func notCookieOctet(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune(`",;\`, r)
}

// notPath reports whether a Path may not hold r: browsers send it in another form, or
// take it for the end of the attribute or of the path.
func notPath(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"#;<>?\\^`{|}", r)
}

// isDots reports whether a segment of a path is "." or "..", also percent-encoded.
// Browsers resolve these in a URL (URL Standard, "single-dot URL path segment").
func isDots(segment string) bool {
	plain := strings.ReplaceAll(strings.ToLower(segment), "%2e", ".")
	return plain == "." || plain == ".."
}

func isAlphanumeric(r rune) bool {
	return '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z'
}
