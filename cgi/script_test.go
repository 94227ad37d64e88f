package cgi_test

import (
	"testing"

	"cgisession/cgi"
)

// The first of three places in the environment says where the script is.
func TestScriptPath(t *testing.T) {
	for _, row := range []struct {
		variables map[string]string
		want      string
	}{
		{map[string]string{}, ""},
		{map[string]string{"SCRIPT_FILENAME": "/f", "DOCUMENT_ROOT": "/r", "SCRIPT_NAME": "/n"}, "/f"},
		{map[string]string{"SCRIPT_FILENAME": "", "DOCUMENT_ROOT": "/r", "SCRIPT_NAME": "/n"}, "/r//n"},
		{map[string]string{"DOCUMENT_ROOT": "/r", "SCRIPT_NAME": "n"}, "/r/n"},
		{map[string]string{"SCRIPT_NAME": "/cgi-bin/n"}, ".//cgi-bin/n"},
		{map[string]string{"DOCUMENT_ROOT": "", "SCRIPT_NAME": "n"}, "./n"},
		{map[string]string{"DOCUMENT_ROOT": "/r"}, ""},
		{map[string]string{"HTTP_SCRIPT_FILENAME": "/f", "HTTP_SCRIPT_NAME": "/n", "PATH_TRANSLATED": "/t", "PWD": "/p"}, ""},
	} {
		if s := cgi.ReadScript(lookup(row.variables)); s.Path != row.want {
			t.Errorf("%v: %q, want %q", row.variables, s.Path, row.want)
		}
	}
}

// Arguments as servers make them of a query string, and others.
func TestIsQuery(t *testing.T) {
	for _, row := range []struct {
		query string
		args  []string
		want  bool
	}{
		{"list", []string{"list"}, true},
		{"run+touch+x", []string{"run", "touch", "x"}, true},                                            // Apache, mini_httpd
		{"run+touch+x", []string{"run touch x"}, true},                                                  // Python
		{"run+touch+x", []string{"run+touch+x"}, true},                                                  // whole
		{"run%20touch%20x", []string{"run touch x"}, true},                                              // whole, decoded
		{"run%20touch%20x", []string{"run%20touch%20x"}, true},                                          // whole
		{"r%75n+sh+-c+%69d", []string{"run", "sh", "-c", "id"}, true},                                   // words, decoded
		{"r%75n+sh+-c+%69d", []string{"r%75n", "sh", "-c", "%69d"}, true},                               // words
		{"run+sh+-c+id%3Bls%7Ccat+%24HOME", []string{"run", "sh", "-c", `id\;ls\|cat`, `\$HOME`}, true}, // Apache
		{"run+sh+-c+a%5Cb", []string{"run", "sh", "-c", `a\\b`}, true},                                  // Apache
		{"run+sh+-c+a%5Cb", []string{"run", "sh", "-c", `a\b`}, true},                                   // mini_httpd
		{"run+touch%00z+x", []string{"run", "touch", "x"}, true},                                        // an argument ends at a NUL
		{"a++b+", []string{"a", "", "b", ""}, true},                                                     // empty words
		{"a++b+", []string{"a", "b"}, true},                                                             // left out
		{"run%09touch%0Ax", []string{"run", "touch", "x"}, true},                                        // by a shell
		{"set+a%3Db", []string{"set", "a=b"}, true},
		{"set+a=b", []string{"set", "a=b"}, true},               // no server should
		{"%2541", []string{"%41"}, true},                        // decoded once
		{"%2541", []string{"A"}, false},                         // twice
		{"a%+%4+%zz+%", []string{"a%", "%4", "%zz", "%"}, true}, // no escapes
		{"%E8%83%BD", []string{"能"}, true},
		{"%2B1", []string{"+1"}, true},
		{"", []string{""}, true}, // Python
		{"", nil, true},
		{"+", nil, true},
		{"", []string{"list"}, false},
		{"list", nil, false},
		{"list", []string{"load"}, false},
		{"list", []string{"List"}, false},
		{"list", []string{"list", "--json"}, false},
		{"name=ann", []string{"run sh", "/srv/cgi-bin/page.cgi", "name=ann"}, false}, // a script with a "#!" line
		{"touch+x", []string{"run", "sh", "/srv/cgi-bin/page.cgi", "touch", "x"}, false},
	} {
		if got := (cgi.Script{Query: row.query}).IsQuery(row.args); got != row.want {
			t.Errorf("%q, %q: %v", row.query, row.args, got)
		}
	}
}
