// Package oracle judges JSON by the standard library, for tests to compare with.
package oracle

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// StrictJSON reports whether text is JSON that a store accepts: valid for
// encoding/json, in UTF-8, without lone surrogates, no name twice in an object, and
// nested no deeper than maxDepth.
func StrictJSON(text []byte, maxDepth int) bool {
	if !json.Valid(text) || !utf8.Valid(text) {
		return false
	}
	for rest := text; len(rest) > 0; {
		if rest[0] != '\\' {
			rest = rest[1:]
			continue
		}
		if rest[1] != 'u' {
			rest = rest[2:]
			continue
		}
		code, _ := strconv.ParseUint(string(rest[2:6]), 16, 16)
		rest = rest[6:]
		switch code >> 10 {
		case 0xd800 >> 10:
			if !bytes.HasPrefix(rest, []byte(`\u`)) {
				return false
			}
			low, _ := strconv.ParseUint(string(rest[2:6]), 16, 16)
			if low>>10 != 0xdc00>>10 {
				return false
			}
			rest = rest[6:]
		case 0xdc00 >> 10:
			return false
		}
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	return unique(dec, maxDepth)
}

// unique reads a value and reports whether no object in it has a name twice, and it
// nests no deeper than left.
func unique(dec *json.Decoder, left int) bool {
	token, err := dec.Token()
	if err != nil {
		return false
	}
	if token != json.Delim('{') && token != json.Delim('[') {
		return true
	}
	if left == 0 {
		return false
	}
	seen := map[string]bool{}
	for dec.More() {
		if token == json.Delim('{') {
			name, _ := dec.Token()
			if seen[name.(string)] {
				return false
			}
			seen[name.(string)] = true
		}
		if !unique(dec, left-1) {
			return false
		}
	}
	dec.Token()
	return true
}
