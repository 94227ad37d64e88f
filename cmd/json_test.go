package cmd

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
)

// What an operator sees stands for the same as what is stored, and all of it is
// printable: every character there is, beside a backslash and a quote.
func TestVisibleJSON(t *testing.T) {
	var text strings.Builder
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if r < 0xd800 || r > 0xdfff { // half of a pair is no character
			text.WriteString(`\` + string(r) + `"` + string(r))
		}
		if r%0x400 == 0x3ff {
			checkVisible(t, text.String())
			text.Reset()
		}
	}
}

func checkVisible(t *testing.T, text string) {
	t.Helper()
	var stored bytes.Buffer
	encoder := json.NewEncoder(&stored)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(map[string]string{text: text}); err != nil {
		t.Fatal(err)
	}
	shown := appendVisible(nil, bytes.TrimSuffix(stored.Bytes(), []byte("\n")))
	var got map[string]string
	if err := json.Unmarshal(shown, &got); err != nil || got[text] != text {
		t.Fatalf("%q is shown as %q: %v", stored.Bytes(), shown, err)
	}
	if bytes.ContainsFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Fatalf("%q is shown as %q", stored.Bytes(), shown)
	}
}

// Numbers and escapes stay as they are stored.
func TestVisibleJSONKeepsText(t *testing.T) {
	const text = `{"a":[9007199254740993,1e400,0.10,"\u00e9\/é能",null]}`
	if got := string(appendVisible(nil, []byte(text))); got != text {
		t.Errorf("%s is shown as %s", text, got)
	}
}
