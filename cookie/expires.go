package cookie

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// maxLifetime is what browsers cut a cookie's lifetime to (RFC 6265bis §5.5).
const maxLifetime = 400 * 24 * time.Hour

// Expires says how long a browser keeps a cookie: until it is closed (the zero
// value), for a time counted from each Set-Cookie line, or until a fixed date.
// The unit is a second.
type Expires struct {
	persistent bool
	after      time.Duration // 0: until at
	at         time.Time
}

// ParseExpires reads
//
//   - "true": the cookie expires when the browser is closed;
//   - "false": it never expires, which is 400 days (34560000 seconds) after it
//     was last set, since no browser keeps one longer;
//   - a duration above zero as ParseDuration has it, a part of a second counting
//     as a second, and 400 days at most;
//   - a date of RFC 3339 up to the year 9999, "2027-01-31T00:00:00Z", or
//     "2027-01-31" for midnight UTC. Whether it is over is for Set to say.
//
// Anything else is an error.
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

// Persistent reports whether the cookie outlives the browser, and so has an
// expiry date.
func (e Expires) Persistent() bool { return e.persistent }

// end returns when a cookie that is set now ends, and in how many seconds, at
// least 1.
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

// parseDate drops the part of a second, which an Expires attribute cannot have.
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

// ParseDuration reads a number of seconds ("1800", "0.5") or numbers with units
// as time.ParseDuration has them ("30m", "1h30m", "500ms"), before which days of
// 24 hours may stand ("7d", "1d12h"). "0" is zero. A sign, a space, anything
// else that is no such number and over 292 years are errors.
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
	// As "h", days share the one number grammar. "0s" lets the rest be empty,
	// and makes a sign or a bare number there an error.
	whole, err := time.ParseDuration(days + "h")
	part, partErr := time.ParseDuration("0s" + rest)
	if err != nil || partErr != nil || whole > (math.MaxInt64-part)/24 {
		return 0, false
	}
	return 24*whole + part, true
}

// isNumber reports whether text has only digits and dots; time.ParseDuration
// judges the rest.
func isNumber(text string) bool {
	return strings.Trim(text, "0123456789.") == ""
}
