package cmd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

// The shells, and what asks each for its completions: testdata/completion.
var shells = []struct{ name, asks string }{
	{"bash", "bash.bash"},
	{"zsh", "zsh.zsh"},
	{"fish", "fish.fish"},
}

// A press of the tab key offers all verbs, and of each verb the options that its help
// has, no less and no more. The shells do not call the program for that.
func TestCompletion(t *testing.T) {
	wanted := map[string][]string{"cgisession -": {"--help", "-h", "--version", "-v"}}
	var verbs []string
	for verb, help := range cmdtest.Help(t, in(t.TempDir()).Request) {
		verbs = append(verbs, verb)
		wanted["cgisession "+verb+" -"] = optionsIn(help)
	}
	wanted["cgisession "] = verbs
	_, topics, _ := strings.Cut(in(t.TempDir()).Must(t, "help"), "\nTOPICS:\n")
	topics, _, _ = strings.Cut(topics, "\n\n")
	wanted["cgisession help "] = slices.Clone(verbs)
	for _, topic := range regexp.MustCompile(`(?m)^   ([a-z-]+)  `).FindAllStringSubmatch(topics, -1) {
		wanted["cgisession help "] = append(wanted["cgisession help "], topic[1])
	}
	for line, words := range map[string]string{
		"cgisession lo":                         "load lock lock-path",
		"cgisession completion ":                "bash zsh fish",
		"cgisession completion z":               "zsh",
		"cgisession completion zsh ":            "",
		"cgisession load --type ":               "file dbm memory redis",
		"cgisession load --type=m":              "memory",
		"cgisession load --type=":               "file dbm memory redis",
		"cgisession set --cookie-same-site ":    "lax strict none",
		"cgisession set --cookie-secure=a":      "auto always",
		"cgisession set --cookie-http-only ":    "true false",
		"cgisession set a=1 b:=2 --if":          "--if-exists",
		"cgisession set --text a --if":          "",
		"cgisession set -- --if":                "",
		"cgisession --data-dir sub li":          "list",
		"cgisession --data-dir=sub --site x li": "list",
		"cgisession list --data-dir ":           "sub",
		"cgisession list --data-dir s":          "sub",
		"cgisession list --log-file ":           "plain sub",
		"cgisession list --log-file=pl":         "plain",
		"cgisession list --user ann --js":       "--json",
		"cgisession list --timeout ":            "",
		"cgisession list ":                      "",
		"cgisession get ":                       "",
		"cgisession show ":                      "",
		"cgisession destroy ":                   "",
		"cgisession nosuch -":                   "",
		"cgisession run our-com":                "our-command",
		"cgisession edit -- our-com":            "our-command",
		"cgisession lock --lock-timeout 1 our-": "our-command",
		"cgisession run our-command pl":         "plain",
		"cgisession run our-command --da":       "",
		"cgisession help help ":                 "",
	} {
		wanted[line] = strings.Fields(words)
	}
	for _, shell := range shells {
		t.Run(shell.name, func(t *testing.T) {
			needs(t, shell.name)
			t.Parallel()
			got := offers(t, shell.name, shell.asks, wanted)
			for line, words := range wanted {
				slices.Sort(words)
				if words = slices.Compact(words); !slices.Equal(got[line], words) {
					t.Errorf("%q offers %q, want %q", line, got[line], words)
				}
			}
		})
	}
}

// optionsIn returns the names of the options in a verb's help.
func optionsIn(help string) (names []string) {
	_, help, _ = strings.Cut(help, "\nOPTIONS:\n")
	help, _, _ = strings.Cut(help, "\nEXIT CODES:\n")
	for _, label := range regexp.MustCompile(`(?m)^   (-.*)`).FindAllStringSubmatch(help, -1) {
		label, _, _ := strings.Cut(label[1], "  ")
		for name := range strings.SplitSeq(label, ", ") {
			name, _, _ = strings.Cut(name, " ")
			names = append(names, name)
		}
	}
	return names
}

// offers returns what a shell offers at the end of each line, sorted: options and paths by
// their last part, in a directory with a file, a directory and a command.
func offers(t *testing.T, shell, asks string, lines map[string][]string) map[string][]string {
	t.Helper()
	dir, asked := t.TempDir(), t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "plain"), nil, 0o600))
	cmdtest.WriteScript(t, filepath.Join(asked, "our-command"), "#!/bin/sh\n")
	cmdtest.WriteScript(t, filepath.Join(asked, "cgisession"), "#!/bin/sh\n>"+asked+"/called\n")
	completions := filepath.Join(asked, "completions")
	must(t, os.WriteFile(completions, []byte(in(asked).Must(t, "completion", shell)), 0o600))
	asks, err := filepath.Abs("testdata/completion/" + asks)
	must(t, err)

	var input strings.Builder
	for line := range lines {
		input.WriteString(line + "\n")
	}
	c := exec.Command(shell, asks, completions)
	c.Dir, c.Stdin = dir, strings.NewReader(input.String())
	c.Env = []string{"PATH=" + asked + ":" + os.Getenv("PATH"), "HOME=" + asked, "TERM=dumb", "LC_ALL=C.UTF-8"}
	ended := cmdtest.Finish(t, c)
	if ended.Code != 0 || ended.Stderr != "" {
		t.Errorf("%+v", ended)
	}
	if _, err := os.Stat(filepath.Join(asked, "called")); err == nil {
		t.Error("the shell calls the program while it completes")
	}
	got := make(map[string][]string)
	for answer := range strings.SplitSeq(ended.Stdout, "\x02") {
		words := strings.Split(answer, "\x03")
		line := words[0]
		words = words[1:]
		for i, word := range words {
			_, value, isValue := strings.Cut(word, "=")
			if isValue {
				word = value
			}
			words[i] = strings.TrimSuffix(word, "/")
		}
		slices.Sort(words)
		got[line] = slices.Compact(words)
	}
	return got
}
