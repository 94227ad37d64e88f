package store

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// maxOldKeys is the largest number of keys that a session keeps. It is the number of
// tombstones that are followed from a handle: an older id leads nowhere.
const maxOldKeys = MaxHops

// An OldKey is a one-way key made from an id that the session had before. The session
// keeps the key while that id is in its grace, so that a form printed under the id can
// still be checked. The key is made from the secret id, never from the handle, which
// lists and logs show.
type OldKey struct {
	Key   string // any text; no two keys of a session are equal
	Until int64  // end of the grace, Unix seconds; 0: Move sets it
}

// afterMove returns the keys that a session keeps after a move, the latest last.
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

// inGrace returns the keys whose grace is not over.
func inGrace(keys []OldKey, now time.Time) []OldKey {
	var kept []OldKey
	for _, key := range keys {
		if key.Until > now.Unix() {
			kept = append(kept, key)
		}
	}
	return kept
}

// FormatOldKeys returns the keys in the form in which they are stored: a JSON object
// from each key to the end of its grace; empty if there are none.
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

// ParseOldKeys is the reverse of FormatOldKeys, without the keys whose grace is over at
// now. It reports false for any other text.
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
