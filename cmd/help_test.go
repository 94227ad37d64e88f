package cmd

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// Each verb has a guide that is whole, and each guide a verb.
func TestGuides(t *testing.T) {
	all := guides()
	for _, command := range commands(&call{stdout: new(output)}) {
		g, ok := all[command.Name]
		if !ok {
			t.Errorf("%s has no guide", command.Name)
		}
		delete(all, command.Name)
		if !strings.Contains(g.example, "cgisession") || !strings.Contains(g.example, command.Name) {
			t.Errorf("%s: the example %q does not show the verb", command.Name, g.example)
		}
		if len(g.codes) == 0 {
			t.Errorf("%s: no exit code matters", command.Name)
		}
		for _, code := range g.codes {
			if codeTexts()[code] == "" || code == exitNo || code == exitOK {
				t.Errorf("%s: exit code %d has no text", command.Name, code)
			}
		}
		has := group(0)
		for _, f := range command.Flags {
			has |= groupOf(f.Names()[0])
		}
		if (g.uses == 0) != (has == 0) || g.uses&^has&^groupName != 0 {
			t.Errorf("%s uses the groups %b of the options that it has, %b", command.Name, g.uses, has)
		}
	}
	for name := range all {
		t.Errorf("there is no verb %s", name)
	}
	o := defaults()
	for _, f := range o.sessionFlags() {
		if groupOf(f.Names()[0]) == groupOwn {
			t.Errorf("--%s is a common option without a group", f.Names()[0])
		}
	}
}

// Every exit code of the program is explained.
func TestCodeTexts(t *testing.T) {
	text, err := os.ReadFile("exit.go")
	if err != nil {
		t.Fatal(err)
	}
	constants := regexp.MustCompile(`(?m)^\texit[A-Z]\w+ += \d+`).FindAll(text, -1)
	if len(constants) < 14 || len(constants) != len(codeTexts()) {
		t.Errorf("%d exit codes, and texts for %d", len(constants), len(codeTexts()))
	}
}

// A verb that is given a flag of its own shows it before the common ones.
func TestOwnFlagsFirst(t *testing.T) {
	for _, v := range verbs() {
		command := v.command(&call{stdout: new(output)})
		help := verbHelp(command)
		common := strings.Index(help, "\nCOMMON OPTIONS:\n")
		for _, f := range shownFlags(command.Flags) {
			at := strings.Index(help, "   "+dashed(f.Names()[0]))
			if groupOf(f.Names()[0]) == groupOwn && (at < 0 || common >= 0 && at > common) {
				t.Errorf("%s: --%s stands at %d, the common options at %d", v.name, f.Names()[0], at, common)
			}
		}
	}
}

func TestTable(t *testing.T) {
	words := strings.Repeat("eleven text ", 12)
	rows := table{{"--short", "text"}, {"--a-label-that-is-too-long N", words}, {"--x", words}}
	for i, line := range rows.lines() {
		if len(line)+len("   ") > helpWidth || i == 0 && line != "--short  text" {
			t.Errorf("line %d: %q", i, line)
		}
	}
	if got := strings.Join(strings.Fields(strings.Join(rows.lines(), " ")), " "); strings.Count(got, "eleven") != 24 {
		t.Errorf("words were lost: %q", got)
	}
	if got := wrap("", 10); !slices.Equal(got, []string{""}) {
		t.Errorf("of no words: %q", got)
	}
	var flags table
	flags.addFlag(&cli.GenericFlag{Name: "a", Usage: "the `N` of it", DefaultText: "1", EnvVars: []string{"X"}})
	if want := [2]string{"-a N", "the N of it (default: 1) [$X]"}; flags[0] != want {
		t.Errorf("%q, want %q", flags[0], want)
	}
}
