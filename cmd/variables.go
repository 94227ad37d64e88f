package cmd

// This file refuses variables that nothing reads: a site whose CGISESSION_TIMEOUT is
// misspelt would run without a timeout.

import (
	"cmp"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"cgisession/cgi"
)

const variablePrefix = "CGISESSION_"

// secretVariable holds a key that signs ids, in place of --secret-file.
const secretVariable = "CGISESSION_SECRET"

// otherVariables are accepted, though this version may have no such option: a site may
// set them for several versions of the program.
var otherVariables = []string{
	"CGISESSION_PHP_SERIALIZER",  // the format of PHP's sessions
	"CGISESSION_ENCRYPT_FILE",    // keys that encrypt the data
	"CGISESSION_OLD_COOKIE_NAME", // the cookie's names before it was renamed
	"CGISESSION_CLEANUP_CHANCE",  // how often a request also cleans up
	"CGISESSION_AUTHENTICATED",   // exported: the time of the log-in
}

// checkVariables returns an error that names the first unknown variable. flags are
// the verb's.
func checkVariables(flags []cli.Flag) error {
	for _, name := range unknownVariables(flags) {
		return usagef("variable %s", aboutVariable(name))
	}
	return nil
}

// unknownVariables returns the names of variables that begin with CGISESSION_, are not
// empty, and are neither an option's nor exported. It searches the verb's own flags
// first, since they are made already.
func unknownVariables(flags []cli.Flag) (names []string) {
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, variablePrefix) || value == "" {
			continue
		}
		known := setsOption(name, flags) || slices.Contains(otherVariables, name) || name == secretVariable ||
			slices.Contains(cgi.Exported(), name) || setsOption(name, settable())
		if !known {
			names = append(names, name)
		}
	}
	return names
}

// settable returns all flags that have a variable. Not all verbs have each.
func settable() []cli.Flag {
	o := defaults()
	return o.bindAll()
}

// setsOption reports whether the variable sets one of the flags.
func setsOption(variable string, flags []cli.Flag) bool {
	return slices.ContainsFunc(flags, func(f cli.Flag) bool { return slices.Contains(variablesOf(f), variable) })
}

// variablesOf returns the variables that set the flag.
func variablesOf(f cli.Flag) []string {
	described, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return nil
	}
	return described.GetEnvVars()
}

// aboutVariable says which variable or flag was probably meant by an unknown one.
func aboutVariable(name string) string {
	text := short(name) + " is unknown; "
	typed := strings.TrimPrefix(name, variablePrefix)
	var others []string                // flags without a variable
	options := make(map[string]string) // by their variables and those that their aliases would have
	settings := []string{strings.TrimPrefix(secretVariable, variablePrefix)}
	for _, f := range shownFlags(allFlags()) {
		for _, name := range f.Names() {
			if len(variablesOf(f)) == 0 {
				others = append(others, name)
				continue
			}
			options[variableOf(name)] = f.Names()[0]
			settings = append(settings, strings.TrimPrefix(variableOf(name), variablePrefix))
		}
	}
	if flag := plainName(typed); slices.Contains(others, flag) {
		return text + withoutVariable(flag)
	}
	near := cmp.Or(meant(typed, settings), nearest(typed, exportedNames()))
	variable := variablePrefix + near
	option := options[variable]
	flag := nearest(typed, others)
	switch {
	case option != "":
		return text + "did you mean " + variableOf(option) + ", for --" + option + "?"
	case near != "":
		return text + "did you mean " + variable + "?"
	case flag != "":
		return text + withoutVariable(flag)
	}
	return text + "no option has it: unset it"
}

// withoutVariable says what to do about a flag that no variable sets.
func withoutVariable(flag string) string {
	return dashed(flag) + " has no variable: give the flag itself"
}

// exportedNames returns the variables that a call may export, without their prefix.
func exportedNames() []string {
	names := cgi.Exported()
	for i := range names {
		names[i] = strings.TrimPrefix(names[i], variablePrefix)
	}
	return names
}
