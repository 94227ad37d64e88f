package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Equal arguments make equal sessions; the share that was asked for is old.
// Sessions that exist already stay as they are.
func TestFill(t *testing.T) {
	dir := t.TempDir()
	fill := filepath.Join(dir, "fill")
	if text, err := exec.Command("go", "build", "-buildvcs=false", "-o", fill, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	files := func(dir string, conditions ...string) string {
		t.Helper()
		c := exec.Command("sh", append([]string{"-c", `cd "$0" && find . -type f -name '[0-9a-f]*' "$@" | sort`, dir}, conditions...)...)
		text, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, sessions := range []string{dir + "/a", dir + "/b", dir + "/a"} {
		if text, err := exec.Command(fill, "-n", "250", "-old", "20", sessions).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	}
	a, b := files(dir+"/a", "-size", "8"), files(dir+"/b", "-size", "8")
	if a != b || strings.Count(a, "\n") != 250 {
		t.Errorf("sessions:\n%s\nand:\n%s", a, b)
	}
	old := files(dir+"/a", "-mmin", "+50")
	if n := strings.Count(old, "\n"); n != 50 {
		t.Errorf("%d are old", n)
	}
}

var table = regexp.MustCompile(`\A\| round, of 2000 sessions \|[^\n]*\n\|[-|]+\n` +
	`\| 1, cleanup first \| [0-9.]+ s \| [0-9.]+ s \| [0-9.]+ \| [0-9.]+ MiB \| [0-9.]+ MiB \|\n` +
	`\| 2, find first \|[^\n]*\n\n\| over 2000 sessions \|[^\n]*\n\|[-|]+\n(\| ` + "`(list|stats)`" + ` \| [0-9.]+ s \| [0-9.]+ MiB \|\n){2}\z`)

// What compares cleanup with find does so, and leaves nothing behind.
func TestBenchCleanup(t *testing.T) {
	if _, err := os.Stat("/usr/bin/time"); err != nil {
		t.Skip("no GNU time here")
	}
	tmp := t.TempDir()
	c := exec.Command("../bench.d/cleanup.sh")
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
