// Package programtest runs the tests of a package with programs that are built
// for them.
package programtest

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// Run runs the commands, which build programs into the directory that they are
// given, and then the tests. It returns what to exit with.
func Run(m *testing.M, commands func(dir string) []*exec.Cmd) int {
	dir, err := os.MkdirTemp("", "cgisession")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	for _, build := range commands(dir) {
		if text, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v: %v\n%s", build, err, text)
			return 1
		}
	}
	return m.Run()
}

// Build is the command that builds cgisession with these build tags.
func Build(program, tags string) *exec.Cmd {
	return exec.Command("go", "build", "-buildvcs=false", "-tags", tags, "-o", program, "cgisession")
}
