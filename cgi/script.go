package cgi

import (
	"strconv"
	"strings"
)

// Script is what a request says of the script that serves it. A call reads it to
// see that the web server did not take this program for the script.
type Script struct {
	Request bool   // GATEWAY_INTERFACE is set: a web server began this (RFC 3875, section 4.1.4)
	Name    string // SCRIPT_NAME
	Path    string // the script's file, or where it should be; empty: not said
	Query   string // QUERY_STRING
}

// ReadScript reads the environment through lookup, which is os.LookupEnv or
// behaves like it. The path is SCRIPT_FILENAME; without that DOCUMENT_ROOT and
// SCRIPT_NAME; without both SCRIPT_NAME below the working directory, which is
// where Python's http.server has its document root.
func ReadScript(lookup func(string) (string, bool)) (s Script) {
	get := func(name string) string {
		text, _ := lookup(name)
		return text
	}
	s.Name, s.Query = get("SCRIPT_NAME"), get("QUERY_STRING")
	_, s.Request = lookup("GATEWAY_INTERFACE")
	if s.Path = get("SCRIPT_FILENAME"); s.Path != "" {
		return s
	}
	if s.Name != "" {
		root := get("DOCUMENT_ROOT")
		if root == "" {
			root = "."
		}
		s.Path = root + "/" + s.Name
	}
	return s
}

// IsQuery reports whether arguments are the query string, as servers make them of
// it: whole or in words, which "+" parts; decoded or not; with or without a
// backslash before what a shell treats as special (RFC 3875, sections 4.4 and 7.2).
// So white space, "+" and "\" do not count.
func (s Script) IsQuery(args []string) bool {
	text := squeeze(strings.Join(args, ""))
	if text == squeeze(s.Query) {
		return true
	}
	var decoded strings.Builder
	for word := range strings.SplitSeq(s.Query, "+") {
		// An argument ends at a NUL.
		word, _, _ = strings.Cut(unescape(word), "\x00")
		decoded.WriteString(word)
	}
	return text == squeeze(decoded.String())
}

func squeeze(text string) string {
	return strings.NewReplacer(" ", "", "\t", "", "\n", "", "\r", "", "+", "", `\`, "").Replace(text)
}

// unescape decodes %XX, and leaves a "%" that begins no such thing.
func unescape(text string) string {
	var decoded strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if c, err := strconv.ParseUint(text[i+1:i+3], 16, 8); err == nil {
				decoded.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		decoded.WriteByte(text[i])
	}
	return decoded.String()
}
