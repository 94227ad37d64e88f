package cmd_test

import (
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

// The example in each verb's help does its work, word for word, where there is a
// session.
func TestHelpExamples(t *testing.T) {
	for verb, help := range cmdtest.Help(t, in(t.TempDir()).Request) {
		_, example, _ := strings.Cut(help, "\nEXAMPLE:\n")
		example = strings.ReplaceAll("\n"+example, "\n   ", "\n")
		t.Run(verb, func(t *testing.T) {
			if strings.Contains(example, " jq ") {
				needs(t, "jq")
			}
			r := begin(t, `{"cart":["pen"],"n":2}`).with("name=Ann")
			if got := cmdtest.Finish(t, r.Command("sh", "-euc", example)); got.Code != 0 || got.Stderr != "" {
				t.Errorf("%s\n%+v", example, got)
			}
		})
	}
}
