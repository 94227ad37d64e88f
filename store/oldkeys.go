package store

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// maxOldKeys bounds the keys that a session keeps. It is the number of tombstones
// that are followed from a handle: an older id leads nowhere.
const maxOldKeys = MaxHops

// MaxHops bounds how many tombstones a store follows from a handle.
const MaxHops = 8

// An OldKey is a one-way key made from an id that the session had before. The
// session keeps it while that id is in its grace, so that a form which was
// printed under the id can still be checked. It is made from the secret id, never
// from the handle, which lists and logs show.
type OldKey struct {
	Key   string // any text, once in a session
	Until int64  // Unix seconds at which the grace is over; 0: set by Move
}

// Moving runs the change of a move, which may be nil for Keep. The move's grace
// ends at until, in Unix seconds, or there is none and until is 0. It leaves in s
// what is to be stored: a key that the change added is kept until then, and
// without a grace none is, since no old handle leads to the session any more.
func (c Change) Moving(s *Session, until int64) (Outcome, error) {
	was, outcome := *s, Keep
	if c != nil {
		var err error
		if outcome, err = c(s); err != nil {
			return outcome, err
		}
	}
	if outcome == Keep {
		*s = was
	}
	s.OldKeys = afterMove(s.OldKeys, until)
	if outcome == Keep && len(s.OldKeys) != len(was.OldKeys) {
		outcome = Save
	}
	return outcome, nil
}

// MovedBefore returns what Move does for a handle in its grace, given what a store
// found there: the session, if the handle still leads to one.
func MovedBefore(st Store, from string, s *Session, err error) (*Session, error) {
	if err != ErrMoved {
		return s, err
	}
	s, err = st.Update(from, false, func(*Session) (Outcome, error) { return Keep, nil })
	if err == nil {
		err = ErrMoved
	}
	return s, err
}

// afterMove returns the keys that are kept after a move, the latest last.
func afterMove(keys []OldKey, until int64) []OldKey {
	if until == 0 {
		return nil
	}
	var kept []OldKey
	for _, key := range keys {
		if key.Until == 0 {
			key.Until = until
		}
		kept = slices.DeleteFunc(kept, func(k OldKey) bool { return k.Key == key.Key })
		kept = append(kept, key)
	}
	return kept[max(0, len(kept)-maxOldKeys):]
}

// inGrace returns the keys that are not over.
func inGrace(keys []OldKey, now time.Time) []OldKey {
	var kept []OldKey
	for _, key := range keys {
		if key.Until > now.Unix() {
			kept = append(kept, key)
		}
	}
	return kept
}

// GraceEnd returns the Unix second at which a grace is over, rounded up; 0 for none.
func GraceEnd(now time.Time, grace time.Duration) int64 {
	if grace <= 0 {
		return 0
	}
	return now.Add(grace).Unix() + 1
}

// FormatOldKeys returns the keys as they are stored: a JSON object with the end
// of each; empty for none.
func FormatOldKeys(keys []OldKey) string {
	if len(keys) == 0 {
		return ""
	}
	b := []byte{'{'}
	for i, key := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b, _ = jsontext.AppendQuote(b, key.Key)
		b = strconv.AppendInt(append(b, ':'), key.Until, 10)
	}
	return string(append(b, '}'))
}

// ParseOldKeys returns the keys that FormatOldKeys made text of, without those
// that are over at now, and reports whether it was that.
func ParseOldKeys(text string, now time.Time) ([]OldKey, bool) {
	if text == "" {
		return nil, true
	}
	keys, ok := parseOldKeys([]byte(text))
	return inGrace(keys, now), ok
}

func parseOldKeys(text []byte) (keys []OldKey, ok bool) {
	d := jsontext.NewDecoder(bytes.NewBuffer(text))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return nil, false
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, false
		}
		key := name.String()
		value, err := d.ReadValue()
		if err != nil {
			return nil, false
		}
		until, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil {
			return nil, false
		}
		keys = append(keys, OldKey{Key: key, Until: until})
	}
	_, err := d.ReadToken()
	return keys, err == nil && int(d.InputOffset()) == len(text)
}
