package cgi

import "strings"

// Quote returns text as one word of a POSIX shell, safe under eval whatever it
// holds and whatever the shell's locale. All text that shells are given to eval
// comes from here. NUL characters, which no shell variable can hold, are left
// out.
//
// In a multibyte locale the last byte of a character may be ASCII: 30 to 7E
// (GB18030, BIG5, SHIFT_JIS, JOHAB). A shell that reads one of these behind a
// byte of the text would swallow it, and bash also the quote behind it. So each
// run of bytes over 7F ends in a quote, 27, which ends no character anywhere.
// There is no backslash, which is a currency sign in SHIFT_JIS and JOHAB.
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

// IsShellName reports whether name can name a shell variable (POSIX.1-2024,
// XBD 3.216).
func IsShellName(name string) bool {
	for i, c := range []byte(name) {
		letter := 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}
