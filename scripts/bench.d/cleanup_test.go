// Package bench tests that the scripts which measure do so.
package bench

import (
	"os"
	"os/exec"
	"regexp"
	"testing"
)

var table = regexp.MustCompile(`\A\| round, of 2000 sessions \|[^\n]*\n\|[-|]+\n` +
	`\| 1, cleanup first \| [0-9.]+ s \| [0-9.]+ s \| [0-9.]+ \| [0-9.]+ MiB \| [0-9.]+ MiB \|\n` +
	`\| 2, find first \|[^\n]*\n\n\| over 2000 sessions \|[^\n]*\n\|[-|]+\n(\| ` + "`(list|stats)`" + ` \| [0-9.]+ s \| [0-9.]+ MiB \|\n){2}\z`)

func TestCleanup(t *testing.T) {
	if _, err := os.Stat("/usr/bin/time"); err != nil {
		t.Skip("no GNU time here")
	}
	tmp := t.TempDir()
	c := exec.Command("./cleanup.sh")
	c.Env = append(os.Environ(), "N=2000", "ROUNDS=2", "TMPDIR="+tmp)
	c.Stderr = os.Stderr
	text, err := c.Output()
	if err != nil || !table.Match(text) {
		t.Errorf("%v\n%s", err, text)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
