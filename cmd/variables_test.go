package cmd

import (
	"strings"
	"testing"

	"cgisession/cgi"
)

// Every variable that some verb reads or exports is known to every verb.
func TestKnownVariables(t *testing.T) {
	variables := append(cgi.Exported(), secretVariable)
	for _, f := range allFlags() {
		variables = append(variables, variablesOf(f)...)
	}
	variables = append(variables, otherVariables...)
	if len(variables) < 40 {
		t.Fatalf("only %q", variables)
	}
	for _, variable := range variables {
		t.Setenv(variable, "x")
		if unknown := unknownVariables(nil); len(unknown) > 0 {
			t.Errorf("%q: settable in variables.go leaves it out", unknown)
		}
		t.Setenv(variable, "")
	}
}

// A letter that is missing, wrong, one too many or swapped with the next one still
// leads to the option, whichever it is.
func TestMisspeltVariables(t *testing.T) {
	for _, f := range settable() {
		variable := variableOf(f.Names()[0])
		typed := strings.TrimPrefix(variable, variablePrefix)
		i := len(typed) / 2
		want := "did you mean " + variable + ", for --" + f.Names()[0] + "?"
		for _, slip := range []string{
			typed[:i] + typed[i+1:], typed[:i] + "X" + typed[i:], typed[:i] + "X" + typed[i+1:], typed[1:],
			typed[:i-1] + typed[i:i+1] + typed[i-1:i] + typed[i+1:], strings.ReplaceAll(typed, "_", ""), strings.ToLower(typed),
		} {
			if slip == typed || len(variablesOf(f)) == 0 {
				continue
			}
			if said := aboutVariable(variablePrefix + slip); !strings.HasSuffix(said, want) {
				t.Errorf("%s: %s; want %s", slip, said, want)
			}
		}
	}
}

// A name without the option's first word, or with one more, leads to the option too.
func TestRelatedVariables(t *testing.T) {
	for typed, option := range map[string]string{
		"SAMESITE": "cookie-same-site", "SAME_SITE": "cookie-same-site", "SECURE": "cookie-secure", "DOMAIN": "cookie-domain",
		"HTTPONLY": "cookie-http-only", "EXPIRES": "cookie-expires", "PATH": "cookie-path", "DIR": "data-dir",
		"DATA_DIRECTORY": "data-dir", "IDLE_TIMEOUT": "timeout", "SESSION_LIFETIME": "lifetime", "LOG": "log-file",
		"SIZE": "max-size", "CACHE": "cache-control", "REDIS_PASSWORD": "redis-password-file", "PREFIX": "redis-prefix",
		"STORE_TYPE": "type", "cookiename": "cookie-name", "TIME": "timeout", "USE_COOKIE": "use-cookies",
	} {
		typed = "CGISESSION_" + typed
		want := typed + " is unknown; did you mean " + variableOf(option) + ", for --" + option + "?"
		if said := aboutVariable(typed); said != want {
			t.Errorf("%s; want %s", said, want)
		}
	}
	for typed, want := range map[string]string{
		"SECRET_KEY": "did you mean CGISESSION_SECRET?",
		"MAX_TIME":   "--max-time has no variable: give the flag itself",
		"USER":       "--user has no variable: give the flag itself",
		"FOO":        "no option has it: unset it",
		"X":          "no option has it: unset it",
		"":           "no option has it: unset it",
	} {
		typed = "CGISESSION_" + typed
		if said := aboutVariable(typed); said != typed+" is unknown; "+want {
			t.Errorf("%s; want %s", said, want)
		}
	}
}

// What is far from every name is no slip of it.
func TestNearest(t *testing.T) {
	names := []string{"timeout", "lock-timeout", "id", "get", "set", "cookie-same-site"}
	for text, want := range map[string]string{
		"timeout": "timeout", "TIMEOUT": "timeout", "tiemout": "timeout", "timeoutt": "timeout", "lock_timeout": "lock-timeout",
		"idd": "id", "gett": "get", "sett": "set", "gte": "get", "cookie-samesite": "cookie-same-site",
		"": "", "x": "", "i": "", "di": "", "abc": "", "clock": "", "time": "", "cookie": "", "site": "",
		strings.Repeat("timeout", 10000): "", "tmt": "", "ID": "id", "t\xffimeout": "",
	} {
		if got := nearest(text, names); got != want {
			t.Errorf("%.40q leads to %q, want %q", text, got, want)
		}
	}
}
