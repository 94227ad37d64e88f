package cmd

// This file writes shell code for eval.

import (
	"strings"

	"cgisession/cgi"
	"cgisession/store"
)

// shellExports returns shell code that exports the session, and unsets the variables
// of another request that would count beside it. It is empty if there was no session.
func (e *requestEnv) shellExports(r *result) string {
	code := ""
	exports := r.exports()
	if exports == nil {
		return ""
	}
	if others := e.inheritedBeside(exports); others != nil {
		code = "unset " + strings.Join(others, " ") + "\n"
	}
	return code + "export" + shellWords(exports) + " " + cgi.RequestVariable + "=" + e.binding(0).ShellWord() + "\n"
}

// shellHeaders returns shell code that prints the header lines. Its printf format
// holds a line feed instead of \n: under SHIFT_JIS and JOHAB yash's printf takes the
// backslash for a currency sign.
func shellHeaders(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	code := `printf ` + cgi.Quote("%s\n")
	for _, line := range lines {
		code += " " + cgi.Quote(line)
	}
	return code + "\n"
}

// shellWords returns the settings as words of a shell command, a space before each.
func shellWords(settings []setting) string {
	var words strings.Builder
	for _, s := range settings {
		words.WriteString(" " + s.name + "=" + cgi.Quote(s.value))
	}
	return words.String()
}

// A target is the key of a value, and its name in what is printed: that of a shell
// variable, or of a member of a JSON object.
type target struct{ name, key string }

// parseTargets parses NAME arguments: a key that is a shell name, or VAR=/pointer. The
// message for any other does not repeat it: it may be an id.
func parseTargets(args []string) ([]target, error) {
	var targets []target
	for i, arg := range args {
		t := target{arg, arg}
		if variable, pointer, ok := strings.Cut(arg, "="); ok {
			if !strings.HasPrefix(pointer, "/") {
				return nil, usagef("NAME %d: after VAR= comes a JSON Pointer, which begins with /", i+1)
			}
			t = target{variable, pointer}
		}
		if !cgi.IsShellName(t.name) {
			return nil, usagef("NAME %d is no shell name; write VAR=/pointer", i+1)
		}
		if cgi.IsReserved(t.name) {
			return nil, usagef("variable %s means something to the shell or the web server; "+
				"write VAR=/pointer with another name", t.name)
		}
		if _, _, err := store.Empty.Get(t.key); err != nil {
			return nil, err
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// assign returns shell code that sets each target's variable: to a string's characters,
// to the JSON of any other value, and to byDefault for an absent key.
func assign(targets []target, data store.Data, byDefault store.Value) (string, error) {
	var settings []setting
	for _, t := range targets {
		v, ok, err := data.Get(t.key)
		if err != nil {
			return "", err
		}
		if !ok {
			v = byDefault
		}
		settings = append(settings, setting{t.name, v.Text()})
	}
	if settings == nil {
		return "", nil
	}
	return shellWords(settings)[1:] + "\n", nil
}
