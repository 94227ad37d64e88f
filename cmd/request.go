package cmd

// This file ties exported variables to the request: it reads those of this request
// only, and hands this request's on.

import (
	"os"
	"slices"
	"strings"

	"cgisession/cgi"
	"cgisession/store"
)

// requestEnv is the environment of this request.
type requestEnv struct {
	env       cgi.Env
	inherited []string // names of another request's variables; they count as unset
}

// readEnvironment reads the environment, except what another request exported.
func (e *requestEnv) readEnvironment() (err error) {
	if e.inherited, err = cgi.Inherited(os.LookupEnv, kin); err == nil {
		e.env, err = cgi.Read(e.lookup)
	}
	if err != nil {
		err = usageError{err}
	}
	return err
}

// lookup is os.LookupEnv for this request.
func (e *requestEnv) lookup(name string) (string, bool) {
	if slices.Contains(e.inherited, name) {
		return "", false
	}
	return os.LookupEnv(name)
}

// inheritedBeside returns the names of another request's variables that exports does
// not replace. With the new ones exported, they would count again.
func (e *requestEnv) inheritedBeside(exports []setting) (names []string) {
	for _, name := range e.inherited {
		if name != cgi.RequestVariable && !sets(exports, name) {
			names = append(names, name)
		}
	}
	return names
}

func sets(settings []setting, name string) bool {
	return slices.ContainsFunc(settings, func(s setting) bool { return s.name == name })
}

// forChild returns the environment of a command: this program's and the settings. It
// leaves out what another request exported, and the variables named in without.
func (e *requestEnv) forChild(settings []setting, without []string) []string {
	var env []string
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if !slices.Contains(e.inherited, name) && !slices.Contains(without, name) && !sets(settings, name) {
			env = append(env, variable)
		}
	}
	for _, s := range settings {
		env = append(env, s.name+"="+s.value)
	}
	return env
}

// binding ties what is exported to this request, and to a process of its script.
func (e *requestEnv) binding(process int) cgi.Binding {
	return cgi.Bind(e.lookup, os.LookupEnv, sinceBoot(), process)
}

// requestSetting returns the binding as a variable.
func (e *requestEnv) requestSetting(process int) setting {
	return setting{cgi.RequestVariable, e.binding(process).Text()}
}

// lockSettings returns the variables that hand the lock on to COMMAND. If nothing was
// exported before, CGISESSION_REQUEST is among them. So the lock counts in this
// request only, even if COMMAND starts a server, which hands its environment to all
// visitors' scripts.
func (e *requestEnv) lockSettings(held store.Lock) []setting {
	settings := []setting{lockSetting(held)}
	if text, _ := e.lookup(cgi.RequestVariable); text == "" {
		settings = append(settings, e.requestSetting(os.Getpid()))
	}
	return settings
}

func lockSetting(held store.Lock) setting { return setting{held.Name, held.Value} }
