package cmd

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"cgisession/cgi"
	"cgisession/store"
)

// readEnvironment reads the environment, but for what another request exported.
func (c *call) readEnvironment() (err error) {
	if c.inherited, err = cgi.Inherited(os.LookupEnv, kin); err == nil {
		c.env, err = cgi.Read(c.lookup)
	}
	if err != nil {
		err = usageError{err}
	}
	return err
}

// lookup is os.LookupEnv for this request.
func (c *call) lookup(name string) (string, bool) {
	if slices.Contains(c.inherited, name) {
		return "", false
	}
	return os.LookupEnv(name)
}

// logInherited says in the log that another request's variables are ignored.
func (c *call) logInherited() {
	if c.inherited == nil {
		return
	}
	handle := ""
	if id := os.Getenv("CGISESSION_ID"); store.ValidID(id) {
		handle = c.handle(id)
	}
	c.log("ignored the variables of another request", handle)
}

// inheritedBeside returns the names of another request's variables that are not
// exported anew. They would count again beside those that are.
func (c *call) inheritedBeside(exports []setting) (names []string) {
	for _, name := range c.inherited {
		if name != cgi.RequestVariable && !slices.ContainsFunc(exports, func(s setting) bool { return s.name == name }) {
			names = append(names, name)
		}
	}
	return names
}

// binding ties what is exported to this request, and to a process of its script.
func (c *call) binding(process int) cgi.Binding {
	return cgi.Bind(c.lookup, os.LookupEnv, sinceBoot(), process)
}

// requestSetting returns the binding as a variable.
func (c *call) requestSetting(process int) setting {
	return setting{cgi.RequestVariable, c.binding(process).Text()}
}

// groupKin is for systems that show no ancestors: it reports whether process pid
// is there, and in the process group of this one.
func groupKin(pid int) cgi.Kin {
	if group, err := unix.Getpgid(pid); err == nil && pid != 0 && group == unix.Getpgrp() {
		return cgi.Group
	}
	return cgi.NoKin
}
