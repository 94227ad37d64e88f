package cmd

// This file finds out whether a web server runs this program as a CGI script.

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"

	"cgisession/cgi"
)

// served reports whether a web server runs this program itself as a CGI script. Its
// arguments may then be the client's query string (RFC 3875, section 4.4). The signs:
// the script's file is the program's, or the arguments are the query string.
func served(script cgi.Script, program string, args []string) bool {
	return isScript(script.Path, program) || script.Request && script.IsQuery(args) && !calledByScript(script)
}

// isScript reports whether the script's file is the program's. If stat(2) fails for
// one of the two, it compares their names.
func isScript(path, program string) bool {
	if path == "" {
		return false
	}
	own, known := isOwn(path)
	return own || !known && filepath.Base(path) == filepath.Base(program)
}

// calledByScript reports whether another script made this call, with arguments of its
// own: the request names a script, and the parent process has the request's
// variables, as a script's shell does and a web server does not. Without this, a link
// with the query string "regenerate" would stop a script's own call of regenerate at
// log-in. If /proc does not show the parent, it may be a web server, and the result
// is false.
func calledByScript(script cgi.Script) bool {
	if script.Path == "" {
		return false // no server leaves SCRIPT_NAME out (RFC 3875, section 4.1.13)
	}
	text, err := os.ReadFile("/proc/" + strconv.Itoa(os.Getppid()) + "/environ")
	if err != nil {
		return false
	}
	request, query, name := false, script.Query == "", script.Name == ""
	for variable := range bytes.SplitSeq(text, []byte{0}) {
		request = request || bytes.HasPrefix(variable, []byte("GATEWAY_INTERFACE="))
		query = query || string(variable) == "QUERY_STRING="+script.Query
		name = name || string(variable) == "SCRIPT_NAME="+script.Name
	}
	return request && query && name
}
