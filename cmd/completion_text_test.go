package cmd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What a verb or an option is about is text to a shell, whatever is in it.
func TestCompletionText(t *testing.T) {
	const about = `it's "a" $(touch called) ` + "`touch called`" + ` [x]: {y} \ %d; & !! (z) <a> #b | ~c * \`
	all := completions{
		{name: "first", about: about, options: []completedOption{
			{names: []string{"--one"}, about: about, takes: "FILE"},
			{names: []string{"--two"}, about: about, takes: "DIR"},
		}},
		{name: "other", about: about, wraps: true, options: []completedOption{
			{names: []string{"--three"}, about: about, last: true},
		}},
	}
	for _, shell := range []struct {
		name, asks string
		text       string
	}{
		{"bash", "bash.bash", bash(all)},
		{"zsh", "zsh.zsh", zsh(all)},
		{"fish", "fish.fish", fish(all)},
	} {
		t.Run(shell.name, func(t *testing.T) {
			if _, err := exec.LookPath(shell.name); err != nil {
				t.Skip(err)
			}
			dir := t.TempDir()
			asks, err := filepath.Abs("testdata/completion/" + shell.asks)
			if err == nil {
				err = os.WriteFile(dir+"/completions", []byte(shell.text), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			c := exec.Command(shell.name, asks, dir+"/completions")
			c.Dir, c.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TERM=dumb"}
			c.Stdin = strings.NewReader("cgisession fi\ncgisession first --o\ncgisession other --t\n")
			text, err := c.CombinedOutput()
			const want = "cgisession fi\x03first\x02cgisession first --o\x03--one\x02cgisession other --t\x03--three\x02"
			if err != nil || string(text) != want {
				t.Errorf("%q, %v", text, err)
			}
			if _, err := os.Stat(dir + "/called"); err == nil {
				t.Error("a text was run as a command")
			}
			if shell.name == "fish" {
				c = exec.Command("fish", "-c", "source completions; complete -C 'cgisession fir'")
				c.Dir, c.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
				if text, err := c.CombinedOutput(); err != nil || string(text) != "first\t"+about+"\n" {
					t.Errorf("described is %q, %v", text, err)
				}
			}
		})
	}
}
