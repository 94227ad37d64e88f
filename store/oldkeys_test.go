package store

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestOldKeysText(t *testing.T) {
	now := time.Unix(1764000000, 0)
	keys := []OldKey{{"first", 1764000001}, {`a "quoted" one`, 1764000009}, {"last", 1764000002}}
	text := FormatOldKeys(append([]OldKey{{"over", 1764000000}}, keys...))
	if got, ok := ParseOldKeys(text, now); !ok || !slices.Equal(got, keys) {
		t.Errorf("ParseOldKeys(%s) = %v, %v; want %v", text, got, ok, keys)
	}
	if text := FormatOldKeys(nil); text != "" {
		t.Errorf("no keys: %q", text)
	}
	if got, ok := ParseOldKeys("", now); !ok || got != nil {
		t.Errorf("no text: %v, %v", got, ok)
	}
	for _, junk := range []string{" ", "null", "[]", `"a"`, "{", "{}x", "{}{}", `{"a"}`, `{"a":}`, `{"a":"1"}`, `{"a":1.0}`, `{"a":{}}`, `{"a":1,"a":1}`, `{"a":9223372036854775808}`} {
		if got, ok := ParseOldKeys(junk, now); ok {
			t.Errorf("ParseOldKeys(%s) = %v", junk, got)
		}
	}
}

// A session keeps the eight keys that were added last, and none twice.
func TestAfterMove(t *testing.T) {
	var keys []OldKey
	for i := range 12 {
		keys = afterMove(append(keys, OldKey{Key: fmt.Sprint(i)}), int64(100+i))
	}
	if want := "[{4 104} {5 105} {6 106} {7 107} {8 108} {9 109} {10 110} {11 111}]"; fmt.Sprint(keys) != want {
		t.Errorf("%v; want %s", keys, want)
	}
	keys = afterMove(append(keys, OldKey{Key: "6"}), 200)
	if want := "[{4 104} {5 105} {7 107} {8 108} {9 109} {10 110} {11 111} {6 200}]"; fmt.Sprint(keys) != want {
		t.Errorf("a key once more: %v; want %s", keys, want)
	}
	if keys = afterMove(keys, 0); keys != nil {
		t.Errorf("without a grace: %v", keys)
	}
}
