package store

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// The functions here read text that was parsed before, so they need not check it. On
// any other text their results are meaningless, but they return.

// A scanner goes through the children of an object or array: members or elements. It
// scans the value of a child only when that is needed or the next child is. So a caller
// that goes into the value instead scans no byte twice.
type scanner struct {
	text   []byte
	at     int  // past everything scanned; at the end, past the object or array
	object bool // the children are members, with names
	over   bool // there are no more children
	child  bool // there is a child whose value is not scanned yet

	// The child that next found. Offsets in text:
	name  []byte // with its quotes; nil for an element
	start int    // of the name, or of an element
	value int    // of the value
}

// scan returns a scanner for the object or array at text[i]. A scalar has no children.
func scan(text []byte, i int) *scanner {
	s := &scanner{text: text, at: i}
	if i < len(text) && (text[i] == '{' || text[i] == '[') {
		s.at, s.object = i+1, text[i] == '{'
		return s
	}
	s.at, s.over = skipValue(text, i), true
	return s
}

// next goes to the next child and reports whether there is one.
func (s *scanner) next() bool {
	s.end()
	if s.at < len(s.text) && s.text[s.at] == ',' {
		s.at++
	}
	if s.over = s.over || !s.startChild(); !s.over {
		s.child = true
	}
	return !s.over
}

// startChild sets name, start and value of the child at s.at. At the end of the object
// or array it passes the bracket and reports false.
func (s *scanner) startChild() bool {
	if s.at >= len(s.text) {
		return false
	}
	if c := s.text[s.at]; c == '}' || c == ']' {
		s.at++
		return false
	}
	s.name, s.start, s.value = nil, s.at, s.at
	if s.object {
		colon := skipString(s.text, s.at)
		if s.text[s.at] != '"' || colon >= len(s.text) || s.text[colon] != ':' {
			return false
		}
		s.name, s.value = s.text[s.at:colon], colon+1
	}
	return true
}

// end returns the offset past the child's value.
func (s *scanner) end() int {
	if s.child {
		s.leave(skipValue(s.text, s.value))
	}
	return s.at
}

// leave notes that the child's value ends at this offset: the caller has scanned it.
func (s *scanner) leave(end int) { s.at, s.child = end, false }

// isObject reports whether the child's value is an object.
func (s *scanner) isObject() bool { return s.value < len(s.text) && s.text[s.value] == '{' }

// skipValue returns the offset past the value at text[i].
func skipValue(text []byte, i int) int {
	end, _ := measure(text, i)
	return end
}

// measure returns the offset past the value at text[i], and the number of levels of
// arrays and objects in it.
func measure(text []byte, i int) (end, levels int) {
	level := 0
	for i < len(text) {
		switch text[i] {
		case '"':
			i = skipString(text, i)
			if level == 0 {
				return i, 0
			}
			continue
		case '{', '[':
			level++
			levels = max(levels, level)
		case '}', ']':
			if level == 0 {
				return i, 0
			}
			if level--; level == 0 {
				return i + 1, levels
			}
		case ',':
			if level == 0 {
				return i, 0
			}
		}
		i++
	}
	return len(text), levels
}

// depth returns the number of levels of arrays and objects in the value.
func (v Value) depth() int {
	_, levels := measure(v, 0)
	return levels
}

// IsCompact reports whether data has no whitespace and no more than MaxDepth levels, as
// all data that this package stores.
func (d Data) IsCompact() bool {
	level := 0
	for i := 0; i < len(d); i++ {
		role := roles[d[i]]
		if role == ordinary {
			continue
		}
		switch role {
		case blank:
			return false
		case quote:
			i = skipString(d, i) - 1
		case opening:
			if level++; level > MaxDepth {
				return false
			}
		case closing:
			level--
		}
	}
	return true
}

// roles has the role of each byte outside of strings. A table is faster than
// comparisons: this loop is a sixth of the time to read a session of 1 MB.
var roles = [256]byte{
	' ': blank, '\t': blank, '\r': blank, '\n': blank,
	'"': quote, '{': opening, '[': opening, '}': closing, ']': closing,
}

const (
	ordinary = iota
	blank
	quote
	opening
	closing
)

// skipString returns the offset past the string that begins at text[i].
func skipString(text []byte, i int) int {
	for end := i + 1; end < len(text); end++ {
		length := bytes.IndexByte(text[end:], '"')
		if length < 0 {
			break
		}
		end += length
		before := end - 1
		for before > i && text[before] == '\\' {
			before--
		}
		if escapes := end - 1 - before; escapes%2 == 0 {
			return end + 1
		}
	}
	return len(text)
}

// isName reports whether a quoted name, whatever its escapes, is step. It does not
// allocate, unless the name is longer than its buffer.
func isName(quoted []byte, step string) bool {
	var buf [128]byte
	name, _ := jsontext.AppendUnquote(buf[:0], quoted)
	return string(name) == step
}

// unquote returns the characters of a JSON string.
func unquote(quoted []byte) string {
	var buf [128]byte
	text, _ := jsontext.AppendUnquote(buf[:0], quoted)
	return string(text)
}
