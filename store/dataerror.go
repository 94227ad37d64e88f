package store

import (
	"errors"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// The errors of a session's data. Their messages are one line, and name the part of the
// key or the text that is wrong.
var (
	// ErrBadJSON: a text is not JSON (RFC 8259), or breaks the rules of [Data].
	ErrBadJSON = errors.New("bad JSON")
	// ErrBadKey: a key cannot name a member. It is a malformed JSON Pointer, or, where a
	// member would have to be made, not UTF-8.
	ErrBadKey = errors.New("bad key")
	// ErrBadStep: the data has no place for this key. The key leads through a scalar,
	// past the end of an array, deeper than MaxDepth, or to a value of the wrong type.
	ErrBadStep = errors.New("bad step")
)

// A dataError is an error of this kind, for errors.Is, with a message of its own.
type dataError struct {
	kind    error
	message string
}

func (e *dataError) Error() string { return e.message }

func (e *dataError) Unwrap() error { return e.kind }

// keyError returns an error of this kind about a key.
func keyError(kind error, key string, message ...string) error {
	return &dataError{kind, "key " + quoteShort(key) + strings.Join(message, "")}
}

// badJSON returns what is wrong with a text, and at which byte, from the parser's error.
// It quotes nothing of the text, unlike the parser: the text may be secret.
func badJSON(err error) error {
	message := "bad JSON"
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		message += ": " + syntaxFault(syntax.Err.Error()) + " at byte " + strconv.FormatInt(syntax.ByteOffset, 10)
	}
	return &dataError{ErrBadJSON, message}
}

// syntaxFault returns the parser's message without the characters of the text that it
// quotes, which stand between the kind of fault and its place.
func syntaxFault(message string) string {
	const literal = "in literal"
	for _, kind := range []string{"invalid character ", "invalid escape sequence ", "invalid surrogate pair "} {
		rest, ok := strings.CutPrefix(message, kind)
		if !ok {
			continue
		}
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return strings.TrimSuffix(kind, " ")
		}
		where := strings.TrimPrefix(rest[len(quoted):], " ")
		if strings.HasPrefix(where, literal) { // which one tells how the value begins
			where = literal
		}
		return kind + where
	}
	return message
}

// article returns a kind of value with its article, for a message.
func article(kind string) string {
	switch kind {
	case "object", "array":
		return "an " + kind
	case "null", "nothing":
		return kind
	}
	return "a " + kind
}

// quoteShort quotes a key for a message: its first 64 bytes, if it is longer.
func quoteShort(s string) string {
	const most = 64
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}
