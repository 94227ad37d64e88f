package cmd

// This file gives COMMAND variables with the session's data, for run --env.

import (
	"errors"
	"os"
	"slices"
	"strings"

	"cgisession/cgi"
	"cgisession/store"
)

// parsePrefix accepts a prefix for the names of variables. The rest of each name is a
// key of the data, which may come from the client. So no reserved variable may have
// the prefix.
func parsePrefix(text string) (string, error) {
	switch {
	case !cgi.IsShellName(text) || cgi.IsReservedPrefix(text):
		return "", errors.New("must be a shell name of its own, such as APP_")
	case !strings.HasSuffix(text, "_"):
		return "", errors.New("must end in _, such as APP_")
	}
	return text, nil
}

// outerVariables returns the variables with the prefix that an outer run --env set in
// this request. Any other variable with the prefix is an error: COMMAND would take it
// for the session's.
func (e *requestEnv) outerVariables(prefix string) ([]string, error) {
	if prefix == "" {
		return nil, nil
	}
	var outer []string
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		switch {
		case !strings.HasPrefix(name, prefix), slices.Contains(e.inherited, name):
		case !slices.Contains(e.env.DataVariables, name):
			return nil, usagef("--env %s: variable %s is set already; unset it, or choose another PREFIX", prefix, name)
		default:
			outer = append(outer, name)
		}
	}
	return outer, nil
}

// dataVariables returns a variable for each top-level string, number or boolean whose
// key can be part of a name, and CGISESSION_ENV, which lists all variables that
// run --env has set. Those of an outer run with the same prefix are replaced.
func (e *requestEnv) dataVariables(prefix string, data store.Data, outer []string) []setting {
	var settings []setting
	isOuter := func(name string) bool { return slices.Contains(outer, name) }
	names := slices.DeleteFunc(slices.Clone(e.env.DataVariables), isOuter)
	for key, v := range data.Members() {
		variable := prefix + key
		if isScalar(v) && cgi.IsShellName(variable) && !cgi.IsReserved(variable) {
			settings = append(settings, setting{variable, withoutNUL(v.Text())})
			names = append(names, variable)
		}
	}
	return append(settings, setting{"CGISESSION_ENV", strings.Join(names, " ")})
}

// isScalar reports whether v is a string, a number or a boolean.
func isScalar(v store.Value) bool { return !strings.ContainsRune("{[n", rune(v[0])) }

// withoutNUL removes NUL characters, which no variable can hold.
func withoutNUL(text string) string { return strings.ReplaceAll(text, "\x00", "") }
