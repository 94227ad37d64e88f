package store

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// The functions here read text that was parsed before, so that they need not
// check it again. On any other text they find something or nothing, but return.

// A scanner goes through the children of an object or array, the members or
// elements. It scans the value of a child only once that is asked for or passed
// by, so that a caller which enters the value instead scans no byte twice.
type scanner struct {
	text   []byte
	at     int  // past all that was scanned; in the end past the object or array
	object bool // members have names
	over   bool // there is no child left
	child  bool // next found one, whose value begins at value and is not scanned yet

	// The child that next found, by offsets.
	name  []byte // with its quotes; nil for an element
	start int    // of the name, or of an element
	value int
}

// scan returns a scanner of the object or array at text[i]; a scalar has no
// children.
func scan(text []byte, i int) *scanner {
	s := &scanner{text: text, at: i}
	if i < len(text) && (text[i] == '{' || text[i] == '[') {
		s.at, s.object = i+1, text[i] == '{'
		return s
	}
	s.at, s.over = skipValue(text, i), true
	return s
}

// next goes to the next child, and reports whether there is one.
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

// startChild finds where the child begins that is at s.at; at the end of the object or
// array it passes that and reports false.
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

// leave says that the child's value ends at this offset.
func (s *scanner) leave(end int) { s.at, s.child = end, false }

// isObject reports whether the child's value is an object.
func (s *scanner) isObject() bool { return s.value < len(s.text) && s.text[s.value] == '{' }

// skipValue returns the offset past the value at text[i].
func skipValue(text []byte, i int) int {
	end, _ := measure(text, i)
	return end
}

// measure is skipValue, and returns how many levels of arrays and objects the value
// has.
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

func (v Value) depth() int {
	_, levels := measure(v, 0)
	return levels
}

// IsCompact reports whether data has no whitespace and no more than MaxDepth
// levels, as what this package stores.
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

// roles are those of bytes outside of strings. A table is faster than comparisons:
// this loop is a sixth of what it takes to read a session of 1 MB.
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

// isName reports whether a quoted name, whatever its escapes, is step. Unlike
// unquote it does not allocate, but for names that are longer than its buffer.
func isName(quoted []byte, step string) bool {
	var buf [128]byte
	name, _ := jsontext.AppendUnquote(buf[:0], quoted)
	return string(name) == step
}

func unquote(quoted []byte) string {
	var buf [128]byte
	text, _ := jsontext.AppendUnquote(buf[:0], quoted)
	return string(text)
}
