package cmd

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

// isScript reports whether the script's file is the program's or, if one of the two
// cannot be looked at, has the program's name.
func isScript(path, program string) bool {
	if path == "" {
		return false
	}
	own, known := isOwn(path)
	return own || !known && filepath.Base(path) == filepath.Base(program)
}

// calledByScript reports whether another script made this call, by its own arguments:
// the request names a script, and the parent process has the request's variables,
// which a script's shell has and a web server has not. Without this, a link with the
// query string "regenerate" would stop a script's own call of regenerate at log-in.
// Where /proc does not show the parent it may be a web server, so the answer is false.
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

// isOwn reports whether a file is this program's own; known is false if one of the two
// cannot be looked at.
func isOwn(path string) (own, known bool) {
	file, err := os.Stat(path)
	if err != nil {
		return false, false
	}
	if path, err = os.Executable(); err != nil {
		return false, false
	}
	program, err := os.Stat(path)
	return err == nil && os.SameFile(file, program), err == nil
}
