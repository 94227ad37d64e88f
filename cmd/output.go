package cmd

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// output collects what a call prints on stdout, so that nothing is printed
// before the change is stored, and nothing at all if it failed.
type output struct{ text []byte }

func (o *output) Write(p []byte) (int, error) {
	o.text = append(o.text, p...)
	return len(p), nil
}

// print is Write for a string. It does not go through io.Writer, which would
// first ask the output what else it can do.
func (o *output) print(text string) { o.text = append(o.text, text...) }

// streamAt is how much is collected of what streams, in bytes.
const streamAt = 64 << 10

// stream writes out what was collected once it is enough. It is for verbs whose
// answer has no bound, and which only read.
func (o *output) stream() error {
	if len(o.text) < streamAt {
		return nil
	}
	return o.flush()
}

// flush writes all of it to stdout.
func (o *output) flush() error {
	n, err := descriptor(unix.Stdout).Write(o.text)
	o.text = o.text[n:]
	if err != nil {
		return fmt.Errorf("%w: %w", errOutput, err)
	}
	return nil
}

// printHeaders writes the answer of a header verb: the lines themselves, or
// with --sh code for eval that prints them and exports the session.
func (c *call) printHeaders(r *result, sh bool) {
	if sh {
		c.stdout.print(shellHeaders(r.headers) + c.shellExports(r))
		return
	}
	for _, line := range r.headers {
		c.stdout.print(line + "\n")
	}
}
