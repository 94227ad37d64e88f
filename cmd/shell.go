package cmd

import (
	"strings"

	"cgisession/cgi"
	"cgisession/store"
)

// shellExports returns shell code that exports the session.
func (c *call) shellExports(r *result) string {
	code := ""
	exports := r.exports()
	if others := c.inheritedBeside(exports); others != nil {
		code = "unset " + strings.Join(others, " ") + "\n"
	}
	return code + "export" + shellWords(exports) + " " + cgi.RequestVariable + "=" + c.binding(0).ShellWord() + "\n"
}

// shellHeaders returns shell code that prints the header lines. The format has a
// line feed rather than a backslash, which yash's printf takes for a currency
// sign under SHIFT_JIS and JOHAB.
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

// shellWords returns the settings as words of a shell command.
func shellWords(settings []setting) string {
	var words strings.Builder
	for _, s := range settings {
		words.WriteString(" " + s.name + "=" + cgi.Quote(s.value))
	}
	return words.String()
}

// A name is a shell variable and the key of the session that fills it.
type name struct{ variable, key string }

// parseNames reads NAME arguments: a key that is a shell name, or VAR=/pointer.
// What is neither is not repeated, for it may be an id.
func parseNames(args []string) ([]name, error) {
	var names []name
	for i, arg := range args {
		n := name{arg, arg}
		if variable, pointer, ok := strings.Cut(arg, "="); ok {
			if !strings.HasPrefix(pointer, "/") {
				return nil, usagef("NAME %d: after VAR= comes a JSON Pointer, which begins with /", i+1)
			}
			n = name{variable, pointer}
		}
		if !cgi.IsShellName(n.variable) {
			return nil, usagef("NAME %d is no shell name; write VAR=/pointer", i+1)
		}
		if cgi.IsReserved(n.variable) {
			return nil, usagef("variable %s means something to the shell or the web server; write VAR=/pointer with another name", n.variable)
		}
		if _, _, err := store.Empty.Get(n.key); err != nil {
			return nil, err
		}
		names = append(names, n)
	}
	return names, nil
}

// assign returns shell code that sets each name's variable: a string's
// characters, any other value's JSON, what is absent to byDefault.
func assign(names []name, data store.Data, byDefault store.Value) (string, error) {
	var settings []setting
	for _, n := range names {
		v, ok, err := data.Get(n.key)
		if err != nil {
			return "", err
		}
		if !ok {
			v = byDefault
		}
		settings = append(settings, setting{n.variable, v.Text()})
	}
	if settings == nil {
		return "", nil
	}
	return shellWords(settings)[1:] + "\n", nil
}
