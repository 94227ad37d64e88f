package cmd

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"
)

// output collects what a call prints on stdout. It is written once the change is
// stored, and not at all if the call failed; the package comment has the exceptions.
type output struct {
	text    []byte
	written int // lines on stdout so far
}

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

// endStream writes the rest of a stream that ended with err, or nil, and adds to an error
// how much was printed before it.
func (o *output) endStream(err error) error {
	if failed := o.flush(); err == nil {
		err = failed
	}
	if err != nil && o.written > 0 {
		err = fmt.Errorf("%w; listed %d before that", err, o.written)
	}
	return err
}

// flush writes what was collected to stdout.
func (o *output) flush() error {
	n, err := descriptor(unix.Stdout).Write(o.text)
	o.written += bytes.Count(o.text[:n], []byte{'\n'})
	o.text = o.text[n:]
	if err != nil {
		return fmt.Errorf("%w: %w", errOutput, err)
	}
	return nil
}

// An answer says how a header verb prints its result. With neither, it prints header
// lines alone, and only a cookie among them tells anybody a new id.
type answer struct{ sh, json bool }

// printResult prints a header verb's result as its flags say.
func (c *call) printResult(r *result) {
	switch {
	case c.answer.json:
		c.stdout.Write(append(c.json(r), '\n'))
	case c.answer.sh:
		c.stdout.print(shellHeaders(r.headers) + c.shellExports(r) + r.assigned)
	default:
		c.printHeaders(r)
	}
}

// printHeaders prints the header lines alone.
func (c *call) printHeaders(r *result) {
	for _, line := range r.headers {
		c.stdout.print(line + "\n")
	}
}
