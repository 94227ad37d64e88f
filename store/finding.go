package store

import (
	"fmt"
	"strings"
)

// Level is how serious a finding is.
type Level string

const (
	Fine    Level = "ok"
	Warning Level = "warning" // works, but should be changed
	Problem Level = "problem" // sessions fail, or are not safe
)

// A Finding is one result of an examination, in words for an operator.
type Finding struct {
	Level Level
	About string // such as "directory" or "session <handle>"
	Text  string // what was found, and what to change
}

// Findings are the results of an examination, in the order of its checks.
type Findings []Finding

// Say adds a finding.
func (f *Findings) Say(level Level, about, format string, a ...any) {
	*f = append(*f, Finding{level, about, fmt.Sprintf(format, a...)})
}

// Mended adds the fault wrong together with what was done about it, or with err if it
// could not be mended. It adds nothing if there was nothing to do any more.
func (f *Findings) Mended(about string, wrong error, did []string, err error) {
	switch {
	case err != nil:
		f.Say(Problem, about, "%v; it cannot be mended: %v", wrong, err)
	case len(did) > 0:
		f.Say(Warning, about, "%v; %s", wrong, strings.Join(did, ", "))
	}
}

// Examination is what Examine does beyond checking how the store is set up.
type Examination struct {
	Deep   bool // read every session
	Repair bool // the same, and mend what can be mended
}
