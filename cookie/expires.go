package cookie

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// maxLifetime is the longest lifetime of a cookie. Browsers cut a longer one to it
// (RFC 6265bis §5.5).
const maxLifetime = 400 * 24 * time.Hour

// Expires says how long a browser keeps a cookie: until the browser is closed (the zero
// value), for a time that begins with each Set-Cookie line, or until a fixed date. Both
// are whole seconds.
type Expires struct {
	persistent bool
	after      time.Duration // 0: until at
	at         time.Time
}

// ParseExpires accepts
//
//   - "true": the cookie expires when the browser is closed;
//   - "false": it never expires, which means 400 days (34560000 seconds) after it was
//     last set, the longest that browsers allow;
//   - a duration above zero, as [ParseDuration] accepts, rounded up to whole seconds and
//     cut to 400 days;
//   - a date up to the year 9999, "2027-01-31T00:00:00Z" (RFC 3339), or "2027-01-31" for
//     midnight UTC; a part of a second is dropped. It may be past: then [Set] fails.
//
// The words may have any letter case. Anything else is an error.
func ParseExpires(text string) (Expires, error) {
	switch strings.ToLower(text) {
	case "true":
		return Expires{}, nil
	case "false":
		return Expires{persistent: true, after: maxLifetime}, nil
	}
	if at, ok := parseDate(text); ok {
		return Expires{persistent: true, at: at}, nil
	}
	after, err := ParseDuration(text)
	if err != nil || after == 0 {
		return Expires{}, errors.New("--cookie-expires " + strconv.Quote(text) +
			` is not true, false, a time above zero ("1800" seconds, "36h", "7d") or a date ("2027-01-31T00:00:00Z")`)
	}
	seconds := ceilSeconds(min(after, maxLifetime))
	return Expires{persistent: true, after: time.Duration(seconds) * time.Second}, nil
}

// Persistent reports whether the cookie outlives the browser, and so has an expiry date.
func (e Expires) Persistent() bool { return e.persistent }

// end returns when a persistent cookie that is set now ends, and in how many seconds: at
// least 1, at most 400 days. A date that is not after now is an error.
func (e Expires) end(now time.Time) (time.Time, int64, error) {
	left := e.after
	if left == 0 {
		left = min(e.at.Sub(now), maxLifetime)
	}
	if left <= 0 {
		return time.Time{}, 0, errors.New("--cookie-expires " + e.at.Format(time.RFC3339) +
			` is over: choose a date to come, or a time such as "36h"`)
	}
	return now.Add(left), ceilSeconds(left), nil
}

// parseDate returns a date in UTC and in whole seconds, as the Expires attribute has it.
func parseDate(text string) (time.Time, bool) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		at, err = time.Parse(time.DateOnly, text)
	}
	at = at.UTC().Truncate(time.Second)
	return at, err == nil && at.Year() <= 9999
}

func ceilSeconds(d time.Duration) int64 {
	return int64((d + time.Second - 1) / time.Second)
}

// ParseDuration accepts a number of seconds ("1800", "0.5"), or numbers with the units
// of [time.ParseDuration] ("30m", "1h30m", "500ms"). Days of 24 hours may stand before
// them ("7d", "1d12h"). Anything else is an error, a sign and a space too, and so is
// more than 106751 days (292 years), the longest [time.Duration].
func ParseDuration(text string) (time.Duration, error) {
	if d, ok := parseDuration(text); ok {
		return d, nil
	}
	return 0, errors.New("duration " + strconv.Quote(text) +
		` is not one: write seconds ("1800") or units ("30m", "7d", "1d12h"), from 0 to 106751d`)
}

func parseDuration(text string) (time.Duration, bool) {
	if isNumber(text) {
		text += "s"
	}
	days, rest, found := strings.Cut(text, "d")
	if !found {
		days, rest = "0", text
	}
	if !isNumber(days) {
		return 0, false
	}
	// Days are parsed as hours, so that both have the same grammar. "0s" before the rest
	// allows an empty rest, and makes a sign or a number without a unit an error.
	whole, err := time.ParseDuration(days + "h")
	part, partErr := time.ParseDuration("0s" + rest)
	if err != nil || partErr != nil || whole > (math.MaxInt64-part)/24 {
		return 0, false
	}
	return 24*whole + part, true
}

// isNumber reports whether text has only digits and dots. time.ParseDuration checks
// their order.
func isNumber(text string) bool {
	return strings.Trim(text, "0123456789.") == ""
}
