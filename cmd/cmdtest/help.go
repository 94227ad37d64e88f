package cmdtest

import (
	"strings"
	"testing"
)

// Help returns the help of each verb, by its name. It wants every line of it and of
// the program's own help to fit a terminal of 80 columns.
func Help(t testing.TB, r Request) map[string]string {
	t.Helper()
	all := make(map[string]string)
	read := func(args ...string) string {
		text := r.Must(t, args...)
		for line := range strings.Lines(text) {
			if len(strings.TrimSuffix(line, "\n")) > 80 {
				t.Errorf("%q: over 80 columns: %s", args, line)
			}
		}
		return text
	}
	_, list, _ := strings.Cut(read("--help"), "COMMANDS:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	for line := range strings.Lines(list) {
		if strings.HasPrefix(line, "    ") { // the rest of a longer text
			continue
		}
		verb := strings.Fields(line)[0]
		all[verb] = read(verb, "--help")
	}
	if len(all) < 28 {
		t.Errorf("only %d verbs", len(all))
	}
	return all
}
