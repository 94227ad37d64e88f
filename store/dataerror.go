package store

import (
	"errors"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// The errors of a session's data. Their messages are of one line and say which
// part of the key or the text is at fault.
var (
	// ErrBadJSON: a text is not what JSON (RFC 8259) or this package allows.
	ErrBadJSON = errors.New("bad JSON")
	// ErrBadKey: a KEY can name no member: a malformed JSON Pointer, or, where
	// a member would have to be made, a name that is not UTF-8.
	ErrBadKey = errors.New("bad key")
	// ErrBadStep: a KEY leads where this data has no such place: through a
	// scalar, past the end of an array, deeper than MaxDepth, or to a value of
	// the wrong type.
	ErrBadStep = errors.New("bad step")
)

// dataError is a message of its own that errors.Is takes for kind.
type dataError struct {
	kind    error
	message string
}

func (e *dataError) Error() string { return e.message }
func (e *dataError) Unwrap() error { return e.kind }

func keyError(kind error, key string, message ...string) error {
	return &dataError{kind, "key " + quoteShort(key) + strings.Join(message, "")}
}

// badJSON returns what is wrong with a text, and where. It holds no byte of the
// text, which the parser's own message would.
func badJSON(err error) error {
	message := "bad JSON"
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		message += ": " + syntaxFault(syntax.Err.Error()) + " at byte " + strconv.FormatInt(syntax.ByteOffset, 10)
	}
	return &dataError{ErrBadJSON, message}
}

// syntaxFault returns the parser's message without the characters at fault, which
// it quotes after the kind of fault and before the place.
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

// article returns kind as a message has it.
func article(kind string) string {
	switch kind {
	case "object", "array":
		return "an " + kind
	case "null", "nothing":
		return kind
	}
	return "a " + kind
}

// quoteShort quotes a key for a message, its first 64 bytes if it is longer.
func quoteShort(s string) string {
	const most = 64
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}
