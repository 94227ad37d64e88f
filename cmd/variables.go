package cmd

import (
	"errors"
	"os"
	"slices"
	"strings"

	"cgisession/cgi"
	"cgisession/store"
)

// parsePrefix reads the beginning of variables' names. A key is the rest of a
// name, and may come from the client: no name that begins so may mean anything.
func parsePrefix(text string) (string, error) {
	switch {
	case !cgi.IsShellName(text) || cgi.IsReservedPrefix(text):
		return "", errors.New("must be a shell name of its own, such as APP_")
	case !strings.HasSuffix(text, "_"):
		return "", errors.New("must end in _, such as APP_")
	}
	return text, nil
}

// outerVariables returns the variables of the prefix that an outer run --env made
// for this request. Any other is an error: COMMAND could not tell it from the
// session's.
func (c *call) outerVariables(prefix string) ([]string, error) {
	if prefix == "" {
		return nil, nil
	}
	var outer []string
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		switch {
		case !strings.HasPrefix(name, prefix), slices.Contains(c.inherited, name):
		case !slices.Contains(c.env.DataVariables, name):
			return nil, usagef("--env %s: variable %s is set already; unset it, or choose another PREFIX", prefix, name)
		default:
			outer = append(outer, name)
		}
	}
	return outer, nil
}

// dataVariables returns a variable for each top-level scalar whose key can name
// one, and the list of all that run --env made, but for those of an outer run
// that they replace.
func (c *call) dataVariables(prefix string, data store.Data, outer []string) []setting {
	var settings []setting
	names := slices.DeleteFunc(slices.Clone(c.env.DataVariables), func(name string) bool { return slices.Contains(outer, name) })
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

// withoutNUL leaves out what no variable can hold.
func withoutNUL(text string) string { return strings.ReplaceAll(text, "\x00", "") }
