package main

import (
	"os"
	"path/filepath"
	"testing"
)

// A script that the tour does not name comes after the others, by its name. Files that
// cannot be run are no scripts.
func TestOrder(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	order := func(want ...string) {
		t.Helper()
		scripts, err := find(dir)
		if err != nil || len(scripts) != len(want) {
			t.Fatalf("%v, %v; want %q", scripts, err, want)
		}
		for i, s := range scripts {
			if s.Name != want[i] {
				t.Errorf("%d: %s, want %s", i, s.Name, want[i])
			}
		}
	}
	for _, name := range []string{"a.sh", "b.sh", "last.sh", "first.sh"} {
		write(name, "#!/bin/sh\n# Does this\n#   and that.\n#\n# Not this.\n\n# Nor this.\n", 0o700)
	}
	write("part.sh", "#!/bin/sh\n", 0o600)
	order("a.sh", "b.sh", "first.sh", "last.sh")
	write("tour.txt", "# first.sh: a comment\nlast.sh: Try it: now.\nfirst.sh: \nmissing.sh: no such script\n", 0o600)
	order("last.sh", "first.sh", "a.sh", "b.sh")
	scripts, _ := find(dir)
	if s := scripts[0]; s.Does != "Does this and that." || s.Try != "Try it: now." {
		t.Errorf("%+v", s)
	}
}
