package cmd_test

import (
	"io"
	"os"
	"regexp"
	"testing"

	"cgisession/cmd"
)

// A bug is exit code 70 and one line, without the lines of a stack, and nothing on
// stdout that a web server could take for an answer. Run looks at its own name
// first; without even that it panics.
func TestPanic(t *testing.T) {
	var code int
	stdout := capture(t, &os.Stdout, func() {
		stderr := capture(t, &os.Stderr, func() { code = cmd.Run(nil) })
		if !regexp.MustCompile(`\Acgisession: internal error: [^\n]+\n\z`).MatchString(stderr) {
			t.Errorf("stderr %q", stderr)
		}
	})
	if code != 70 || stdout != "" {
		t.Errorf("code %d, stdout %q", code, stdout)
	}
}

// capture returns what is written to one of this process's own files while do
// runs. It must be little, since nobody reads the pipe before.
func capture(t *testing.T, file **os.File, do func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	before := *file
	*file = w
	defer func() { *file = before }()
	do()
	w.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
