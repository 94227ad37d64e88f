package cmd

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// output collects what a call prints on stdout. It is written once the change is
// stored, and not at all if the call failed.
type output struct{ text []byte }

func (o *output) Write(p []byte) (int, error) {
	o.text = append(o.text, p...)
	return len(p), nil
}

// print is Write for a string.
func (o *output) print(text string) { o.text = append(o.text, text...) }

// streamAt is how much stream collects before it writes, in bytes.
const streamAt = 64 << 10

// stream writes what was collected if that is streamAt bytes or more. Only verbs that
// change nothing and whose answer has no bound call it.
func (o *output) stream() error {
	if len(o.text) < streamAt {
		return nil
	}
	return o.flush()
}

// flush writes what was collected to stdout.
func (o *output) flush() error {
	n, err := descriptor(unix.Stdout).Write(o.text)
	o.text = o.text[n:]
	if err != nil {
		return fmt.Errorf("%w: %w", errOutput, err)
	}
	return nil
}

// printHeaders prints the answer of a header verb: the header lines, or with --sh
// shell code for eval that prints them and exports the session.
func (c *call) printHeaders(r *result, sh bool) {
	if sh {
		c.stdout.print(shellHeaders(r.headers) + c.shellExports(r))
		return
	}
	for _, line := range r.headers {
		c.stdout.print(line + "\n")
	}
}
