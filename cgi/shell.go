package cgi

import "strings"

// Quote returns text as one word of a POSIX shell (POSIX.1-2024, XCU 2.2.2). The word is
// safe under eval, whatever the text and whatever the shell's locale. All text for eval
// goes through Quote. It drops NUL characters, which no shell variable can hold.
//
// In the multibyte locales GB18030, BIG5, SHIFT_JIS and JOHAB the last byte of a
// character may be ASCII, 0x30 to 0x7E. A shell takes such a byte behind a byte over
// 0x7F for the end of a character and swallows it; bash swallows the quote behind it
// too. So Quote closes and opens its quotes behind each run of bytes over 0x7F: a
// quote, 0x27, ends no character in any of these locales. It writes no backslash, which
// is a currency sign in SHIFT_JIS and JOHAB: a quote of the text becomes '"'"'.
func Quote(text string) string {
	text = strings.ReplaceAll(text, "\x00", "")
	word := []byte{'\''}
	for i := range len(text) {
		switch c := text[i]; {
		case c == '\'':
			word = append(word, `'"'"'`...)
			continue
		case c < 0x80 && i > 0 && text[i-1] >= 0x80:
			word = append(word, "''"...)
		}
		word = append(word, text[i])
	}
	return string(append(word, '\''))
}

// IsShellName reports whether name can be that of a shell variable: ASCII letters,
// digits and '_', with no digit first (POSIX.1-2024, XBD 3.216).
func IsShellName(name string) bool {
	for i, c := range []byte(name) {
		letter := 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}
