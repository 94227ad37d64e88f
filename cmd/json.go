package cmd

// This file writes JSON objects member by member, and prints them.

import (
	"strconv"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/urfave/cli/v2"
)

// printJSON prints JSON for an operator, on one line. Stored text in it cannot
// control the terminal, or reverse the order of what the terminal shows.
func (o *output) printJSON(text []byte) {
	o.text = append(appendVisible(o.text, text), '\n')
}

// appendVisible appends JSON text that has no whitespace outside of strings. It
// escapes every character that is not printable (RFC 8259 §7); only strings hold any.
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

// appendEscape appends \uXXXX, or a surrogate pair of them beyond U+FFFF.
func appendEscape(dst []byte, r rune) []byte {
	if high, low := utf16.EncodeRune(r); r > 0xffff {
		return appendEscape(appendEscape(dst, high), low)
	}
	const digits = "0123456789abcdef"
	return append(dst, '\\', 'u', digits[r>>12], digits[r>>8&0xf], digits[r>>4&0xf], digits[r&0xf])
}

// object writes a JSON object member by member. The zero value is empty.
type object struct{ text []byte }

// raw adds a member whose value is JSON text.
func (o *object) raw(name string, value []byte) {
	separator := byte(',')
	if len(o.text) == 0 {
		separator = '{'
	}
	o.text = append(o.text, separator)
	o.text, _ = jsontext.AppendQuote(o.text, name)
	o.text = append(o.text, ':')
	o.text = append(o.text, value...)
}

func (o *object) string(name, value string) {
	quoted, _ := jsontext.AppendQuote(nil, value)
	o.raw(name, quoted)
}

// stringOrNull adds null in place of an empty string.
func (o *object) stringOrNull(name, value string) {
	if value == "" {
		o.raw(name, []byte("null"))
		return
	}
	o.string(name, value)
}

func (o *object) bool(name string, value bool) { o.raw(name, strconv.AppendBool(nil, value)) }

func (o *object) int(name string, value int64) { o.raw(name, strconv.AppendInt(nil, value, 10)) }

func (o *object) uint(name string, value uint64) { o.raw(name, strconv.AppendUint(nil, value, 10)) }

// end returns the object's text. Nothing can be added after it.
func (o *object) end() []byte {
	if len(o.text) == 0 {
		return []byte("{}")
	}
	return append(o.text, '}')
}

// array returns the strings as a JSON array.
func array(texts []string) []byte {
	list := []byte{'['}
	for i, text := range texts {
		if i > 0 {
			list = append(list, ',')
		}
		list, _ = jsontext.AppendQuote(list, text)
	}
	return append(list, ']')
}

func jsonFlag(on *bool) cli.Flag {
	return switchFlag("json", "print JSON", on)
}
