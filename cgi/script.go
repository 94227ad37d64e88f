package cgi

import (
	"strconv"
	"strings"
)

// Script is what a request says about the script that serves it. A call reads it to
// refuse to be the script itself: then a client would choose its arguments.
type Script struct {
	Request bool   // GATEWAY_INTERFACE is set: this is a CGI request (RFC 3875 §4.1.4)
	Name    string // SCRIPT_NAME: the path of its URL (RFC 3875 §4.1.13)
	Path    string // its file, or where it should be; empty: unknown
	Query   string // QUERY_STRING, as the client encoded it (RFC 3875 §4.1.7)
}

// ReadScript reads the environment. Path is SCRIPT_FILENAME, else SCRIPT_NAME below
// DOCUMENT_ROOT, else SCRIPT_NAME below the working directory, which is the document
// root of Python's http.server. An empty variable counts as unset, except for Request.
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

// IsQuery reports whether arguments are the query string in one of the forms that
// servers pass it in (RFC 3875 §4.4 and §7.2): whole, or split into words at each "+";
// decoded or not; with or without a backslash before the characters that are special to
// a shell. So white space, "+" and "\" are ignored.
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

// squeeze removes what IsQuery ignores.
func squeeze(text string) string {
	return strings.NewReplacer(" ", "", "\t", "", "\n", "", "\r", "", "+", "", `\`, "").Replace(text)
}

// unescape decodes %XX (RFC 3986 §2.1). A "%" without two hexadecimal digits stays.
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
