// Package cmdtest is the harness of all tests that run the program: it builds the
// program once for the tests of a package, makes one call as a web server's script
// would, and runs web servers. The store is a matter of the environment.
package cmdtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Program is the path of the program, once Run has built it.
var Program string

// Run builds programs into a directory that comes first in PATH, since scripts
// call the program by its name, and runs the tests. It returns what to exit with.
func Run(tests func() int, builds ...Build) int {
	dir, err := os.MkdirTemp("", "cgisession")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	for _, build := range builds {
		c := build(dir)
		if text, err := c.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v: %v\n%s", c, err, text)
			return 1
		}
	}
	Program = filepath.Join(dir, "cgisession")
	os.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	os.Setenv("CGISESSION_CONFIG", "none") // tests do not read the file of this machine
	return tests()
}

// A Build returns the command that builds a program into a directory.
type Build func(dir string) *exec.Cmd

// Package builds a command of this module with build tags, under its own name.
func Package(path, tags string) Build {
	return func(dir string) *exec.Cmd {
		return exec.Command("go", "build", "-buildvcs=false", "-tags", tags, "-o", dir+"/", path)
	}
}

// Script builds the program as it is installed, by scripts/build, which is here.
func Script(build string) Build {
	return func(dir string) *exec.Cmd { return exec.Command(build, dir+"/cgisession") }
}

// Both builds the larger program twice, by scripts/build, which is here: as Program,
// and in the directory usual under its own name, beside the usual program.
func Both(build string) Build {
	return func(dir string) *exec.Cmd {
		return exec.Command("sh", "-euc", `
			mkdir "$2/usual"
			"$1" --redis "$2/usual/cgisession"
			cp "$2/usual/cgisession-redis" "$2/cgisession"`, "sh", build, dir)
	}
}
