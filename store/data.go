package store

import (
	"iter"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxDepth is how deep arrays and objects may nest; the data itself is the first level.
// It limits the recursion here and in programs that read the data.
const MaxDepth = 512

// Data is a session's data: the text of one JSON object without whitespace, in UTF-8,
// no name twice in an object, nested no deeper than MaxDepth. Members keep their order,
// and strings and numbers the text that they were written with.
//
// It comes from [Empty], [ParseData] or a method of Data; nil is not valid. No method
// changes it in place, and the values read from it share its memory: treat both as
// read-only.
type Data []byte

// Value is the text of any JSON value, under the same rules as [Data].
// It comes from [ParseValue], [StringValue] or a method of Data; nil is not valid.
type Value []byte

// Empty is data without members.
var Empty = Data("{}")

// ParseData returns the data in text. It returns ErrBadJSON unless text is one JSON
// object under the rules of [Data]; whitespace is allowed where JSON allows it.
func ParseData(text []byte) (Data, error) {
	v, err := ParseValue(text)
	if err != nil {
		return nil, err
	}
	if v.kind() != "object" {
		return nil, &dataError{ErrBadJSON, "the data must be a JSON object, not " + article(v.kind())}
	}
	return Data(v), nil
}

// ParseValue returns the value in text. It returns ErrBadJSON unless text is one JSON
// value under the rules of [Data]; whitespace is allowed where JSON allows it.
func ParseValue(text []byte) (Value, error) {
	// The parser itself would recurse to 10000 levels.
	if Value(text).depth() > MaxDepth {
		return nil, &dataError{ErrBadJSON, "bad JSON: nested deeper than " + strconv.Itoa(MaxDepth) + " levels"}
	}
	v, err := jsontext.AppendFormat(nil, text, jsontext.PreserveRawStrings(true))
	if err != nil {
		return nil, badJSON(err)
	}
	return v, nil
}

// StringValue returns text as a JSON string. Text that is not UTF-8 is ErrBadJSON.
func StringValue(text string) (Value, error) {
	v, err := jsontext.AppendQuote(nil, text)
	if err != nil {
		valid := 0
		for valid < len(text) {
			r, n := utf8.DecodeRuneInString(text[valid:])
			if r == utf8.RuneError && n == 1 {
				break
			}
			valid += n
		}
		return nil, &dataError{ErrBadJSON, "text is not UTF-8 at byte " + strconv.Itoa(valid)}
	}
	return v, nil
}

// Text returns a string's characters, and any other value as JSON.
func (v Value) Text() string {
	if v.kind() != "string" {
		return string(v)
	}
	return unquote(v)
}

// Get returns the value at key. A key that begins with "/" is a JSON Pointer
// (RFC 6901), any other the name of a member, byte for byte. ok is false where
// there is no value, also if the key leads through a scalar. A malformed JSON
// Pointer is ErrBadKey.
func (d Data) Get(key string) (v Value, ok bool, err error) {
	steps, err := splitKey(key)
	if err != nil {
		return nil, false, err
	}
	at := d.walk(steps)
	if len(at.rest) > 0 {
		return nil, false, nil
	}
	return Value(d[at.value:at.end:at.end]), true, nil
}

// Set returns the data with v at key. A member that exists keeps its position, a new
// one goes last. In an array the step "-" appends, and so does the index after the last
// one (RFC 6902 §4.1). A missing parent is made: an array before the step "-", else an
// object. These are ErrBadStep: a step through a scalar (null is one), a larger index or
// one not written as in RFC 6901 §4, and data nested deeper than MaxDepth.
func (d Data) Set(key string, v Value) (Data, error) {
	steps, err := splitKey(key)
	if err != nil {
		return nil, err
	}
	if len(steps)+v.depth() > MaxDepth {
		return nil, keyError(ErrBadStep, key, " would nest the data deeper than ", strconv.Itoa(MaxDepth), " levels")
	}
	at := d.walk(steps)
	if len(at.rest) == 0 {
		return d.splice(at.value, at.end, v), nil
	}

	var text []byte
	switch kind := Value(d[at.value:at.end]).kind(); {
	case kind == "object":
		if text, err = appendLabel(nil, at.rest[0]); err == nil {
			text, err = appendNested(text, at.rest[1:], v)
		}
	case kind == "array" && (at.rest[0] == "-" || arrayIndex(at.rest[0]) == at.siblings):
		text, err = appendNested(nil, at.rest[1:], v)
	case kind == "array":
		err = keyError(ErrBadStep, key, ": ", quoteShort(at.rest[0]), " is no index of an array of ",
			strconv.Itoa(at.siblings), "; - appends to it")
	default:
		err = keyError(ErrBadStep, key, ": ", quoteShort(at.rest[0]), " leads into ", article(kind),
			"; unset that first")
	}
	if err != nil {
		return nil, err
	}
	if at.siblings > 0 {
		text = slices.Insert(text, 0, ',')
	}
	return d.splice(at.end-1, at.end-1, text), nil
}

// Unset returns the data without the value at key, and reports whether there was one.
// The elements after a removed one move up. A malformed JSON Pointer is ErrBadKey.
func (d Data) Unset(key string) (Data, bool, error) {
	steps, err := splitKey(key)
	if err != nil {
		return nil, false, err
	}
	at := d.walk(steps)
	if len(at.rest) > 0 {
		return d, false, nil
	}
	start, end := at.start, at.end
	switch { // one comma is removed with it
	case d[start-1] == ',':
		start--
	case end < len(d) && d[end] == ',':
		end++
	}
	return d.splice(start, end, nil), true, nil
}

// Add adds the JSON number by to the number at key, exactly, and returns the new data
// and the sum. A missing number counts as 0. The sum is written without an exponent,
// with as many decimals as the operand with more of them (0.10 and 0.2 make 0.30), so
// integers stay integers.
//
// It is ErrBadStep if the value at key is not a number or the sum needs more than 10000
// digits, and ErrBadJSON if by is not a number. Otherwise it fails where Set(key) does.
func (d Data) Add(key, by string) (Data, Value, error) {
	b, err := ParseValue([]byte(by))
	if err != nil || b.kind() != "number" {
		return nil, nil, &dataError{ErrBadJSON, "no JSON number such as 1, -2 or 0.5"}
	}
	a, ok, err := d.Get(key)
	switch {
	case err != nil:
		return nil, nil, err
	case !ok:
		a = Value("0")
	case a.kind() != "number":
		return nil, nil, keyError(ErrBadStep, key, " is no number but ", article(a.kind()))
	}
	sum, ok := sumOf(string(a), string(b))
	if !ok {
		return nil, nil, keyError(ErrBadStep, key,
			": the sum would take more than ", strconv.Itoa(maxDigits), " digits")
	}
	d, err = d.Set(key, Value(sum))
	if err != nil {
		return nil, nil, err
	}
	return d, Value(sum), nil
}

// Append appends vs to the array at key and returns the new data and the array's
// length. A missing array is made. Any other value at key is ErrBadStep. Otherwise it
// fails where Set(key) does.
func (d Data) Append(key string, vs ...Value) (Data, int, error) {
	list, ok, err := d.Get(key)
	switch {
	case err != nil:
		return nil, 0, err
	case !ok:
		list = Value("[]")
	case list.kind() != "array":
		return nil, 0, keyError(ErrBadStep, key, " is no array but ", article(list.kind()))
	}
	n := 0
	for s := scan(list, 0); s.next(); {
		n++
	}
	list = slices.Clone(list[:len(list)-1])
	for _, v := range vs {
		if n > 0 {
			list = append(list, ',')
		}
		list = append(list, v...)
		n++
	}
	d, err = d.Set(key, append(list, ']'))
	if err != nil {
		return nil, 0, err
	}
	return d, n, nil
}

// Members yields the data's members in order, with their names unquoted.
func (d Data) Members() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		for s := scan(d, 0); s.next(); {
			end := s.end()
			if !yield(unquote(s.name), Value(d[s.value:end:end])) {
				return
			}
		}
	}
}

// MemberKey returns the key of a member of the data, whatever its name: the name itself,
// or its JSON Pointer if it begins with "/".
func MemberKey(name string) string {
	if !strings.HasPrefix(name, "/") {
		return name
	}
	return "/" + strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// splitKey returns the steps of a key from the data inwards: at least one.
func splitKey(key string) ([]string, error) {
	if !strings.HasPrefix(key, "/") {
		return []string{key}, nil
	}
	steps := strings.Split(key[1:], "/")
	if !strings.Contains(key, "~") {
		return steps, nil
	}
	for i, step := range steps {
		for j := 0; j < len(step); j++ {
			if step[j] == '~' && !strings.HasPrefix(step[j+1:], "0") && !strings.HasPrefix(step[j+1:], "1") {
				return nil, keyError(ErrBadKey, key, ": ~ without 0 or 1 after it; write ~0 for ~, ~1 for /")
			}
		}
		// In this order (RFC 6901 §4), so that ~01 becomes ~1.
		steps[i] = strings.ReplaceAll(strings.ReplaceAll(step, "~1", "/"), "~0", "~")
	}
	return steps, nil
}

// A spot is the place in the data that a key leads to, or the place where the steps
// that are left would begin. An edit replaces the child there; if steps are left, it
// inserts text at the end of the object or array.
type spot struct {
	start    int      // of the child: its name, or an element
	value    int      // of its value
	end      int      // past the value
	rest     []string // the steps for which there is no child
	siblings int      // number of children, if steps are left
}

// walk follows the steps as far as the data has them. It scans each byte once, however
// deep the key leads.
func (d Data) walk(steps []string) spot {
	at := spot{rest: steps}
	for len(at.rest) > 0 {
		step, index := at.rest[0], arrayIndex(at.rest[0])
		s := scan(d, at.value)
		for at.siblings = 0; s.next(); at.siblings++ {
			if s.object && isName(s.name, step) || !s.object && at.siblings == index {
				break
			}
		}
		if s.over {
			at.end = s.at
			return at
		}
		at.start, at.value, at.rest = s.start, s.value, at.rest[1:]
	}
	at.end = skipValue(d, at.value)
	return at
}

// arrayIndex returns the array index that a step of a JSON Pointer stands for; -1 if it
// is none. A sign or leading zeros are not allowed (RFC 6901 §4).
func arrayIndex(step string) int {
	n, err := strconv.Atoi(step)
	if err != nil || strconv.Itoa(n) != step {
		return -1
	}
	return n
}

// appendNested appends v inside the parents that the steps need, the first outermost: an
// array for the step "-", else an object.
func appendNested(text []byte, steps []string, v Value) (_ []byte, err error) {
	var ends []byte
	for _, step := range steps {
		if step == "-" {
			text, ends = append(text, '['), append(ends, ']')
			continue
		}
		if text, err = appendLabel(append(text, '{'), step); err != nil {
			return nil, err
		}
		ends = append(ends, '}')
	}
	slices.Reverse(ends)
	return append(append(text, v...), ends...), nil
}

// appendLabel appends a member's name and the colon.
func appendLabel(text []byte, name string) ([]byte, error) {
	text, err := jsontext.AppendQuote(text, name)
	if err != nil {
		return nil, keyError(ErrBadKey, name, " is not UTF-8")
	}
	return append(text, ':'), nil
}

// splice returns a copy of d with text in place of d[start:end].
func (d Data) splice(start, end int, text []byte) Data {
	return slices.Concat(d[:start], Data(text), d[end:])
}

// kind returns the JSON type of the value, as messages name it.
func (v Value) kind() string {
	if len(v) == 0 {
		return "nothing"
	}
	switch v[0] {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 'n':
		return "null"
	case 't', 'f':
		return "boolean"
	}
	return "number"
}
