package cmd

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"cgisession/store"
)

// Run runs the program with its arguments, its own name first, and returns what
// it exits with.
func Run(args []string) (code int) {
	defer func() {
		if p := recover(); p != nil {
			code = report("", fmt.Errorf("%w: %v", errInternal, p))
		}
	}()
	if servedAsScript(args[0], os.Getenv("SCRIPT_FILENAME")) {
		io.WriteString(os.Stdout, "Status: 500 Internal Server Error\nContent-Type: text/plain\n\nThis program is no CGI script.\n")
		return report("", fmt.Errorf("called by the web server as a CGI script: %w: move it out of the script directory", store.ErrConfig))
	}
	var out output
	c := &call{options: defaults(), stdin: os.Stdin, stdout: &out, stderr: stderr()}
	name, err := c.run(args)
	if err == nil {
		err = out.flush()
	}
	return report(name, err)
}

// servedAsScript reports whether the web server took the program itself for the
// script, which would make arguments of the query string (RFC 3875, section 4.4).
// A script of the same name in another place is not it.
func servedAsScript(program, script string) bool {
	if script == "" || filepath.Base(script) != filepath.Base(program) {
		return false
	}
	served, err := os.Stat(script)
	if err != nil {
		return true
	}
	path, err := os.Executable()
	if err != nil {
		return true
	}
	own, err := os.Stat(path)
	return err != nil || os.SameFile(served, own)
}

// isOwn reports whether a file is that of this program, if both can be looked at.
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
