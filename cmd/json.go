package cmd

import (
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// printJSON prints JSON for an operator, on a line of its own, so that no stored
// text can steer the terminal or turn the order of what it shows.
func (o *output) printJSON(text []byte) {
	o.text = append(appendVisible(o.text, text), '\n')
}

// appendVisible appends JSON without whitespace, with every character that is not
// printable, which only strings hold, as the escape for it (RFC 8259 §7).
func appendVisible(dst, text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if unicode.IsPrint(r) {
			dst = utf8.AppendRune(dst, r)
		} else {
			dst = appendEscape(dst, r)
		}
		text = text[n:]
	}
	return dst
}

// appendEscape appends \uXXXX, or two of them beyond U+FFFF.
func appendEscape(dst []byte, r rune) []byte {
	if high, low := utf16.EncodeRune(r); r > 0xffff {
		return appendEscape(appendEscape(dst, high), low)
	}
	const digits = "0123456789abcdef"
	return append(dst, '\\', 'u', digits[r>>12], digits[r>>8&0xf], digits[r>>4&0xf], digits[r&0xf])
}
