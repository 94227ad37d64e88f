package cookie

import (
	"slices"
	"strings"
)

// The limits of host names, in bytes (RFC 1035 §2.3.4).
const (
	maxHost  = 253 // without a dot before or after it
	maxLabel = 63
)

// hostName returns name in lower case, or "" if it is no host name of two labels or more
// (RFC 1123 §2.1, and '_', which intranets use).
func hostName(name string) string {
	labels := strings.Split(name, ".")
	if len(name) > maxHost || len(labels) < 2 || strings.ContainsFunc(name, notHost) ||
		slices.ContainsFunc(labels, notLabel) || endsInNumber(labels[len(labels)-1]) {
		return ""
	}
	return strings.ToLower(name)
}

// notHost reports whether a host name may not hold r.
func notHost(r rune) bool {
	return !isAlphanumeric(r) && !strings.ContainsRune("-_.", r)
}

// notLabel reports whether a label is empty, too long, or has '-' at either end (RFC 1123
// §2.1).
func notLabel(label string) bool {
	return label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-'
}

// endsInNumber reports whether a host with this last label is an IPv4 address to
// browsers: 127.0.0.1, but also 127.1 and 0x7f000001 (URL Standard, "ends in a number
// checker").
func endsInNumber(label string) bool {
	if strings.Trim(label, "0123456789") == "" {
		return true
	}
	hex, ok := strings.CutPrefix(strings.ToLower(label), "0x")
	return ok && strings.Trim(hex, "0123456789abcdef") == ""
}
