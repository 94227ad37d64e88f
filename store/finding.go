package store

import (
	"fmt"
	"strings"
)

// Level is how bad a finding is.
type Level string

const (
	Fine    Level = "ok"
	Warning Level = "warning"
	Problem Level = "problem"
)

// A Finding is something that an examination saw, in words for an operator.
type Finding struct {
	Level Level
	About string // such as "directory" or "session <handle>"
	Text  string // what is so, and what to change
}

// Findings collects what an examination sees, in order.
type Findings []Finding

// Say adds a finding.
func (f *Findings) Say(level Level, about, format string, a ...any) {
	*f = append(*f, Finding{level, about, fmt.Sprintf(format, a...)})
}

// Mended adds what was wrong, and what was done about it or why it could not be
// mended; nothing if nothing was done.
func (f *Findings) Mended(about string, wrong error, did []string, err error) {
	switch {
	case err != nil:
		f.Say(Problem, about, "%v; it cannot be mended: %v", wrong, err)
	case len(did) > 0:
		f.Say(Warning, about, "%v; %s", wrong, strings.Join(did, ", "))
	}
}

// Examination says what Examine does beside looking at how the store is set up.
type Examination struct {
	Deep   bool // read every session
	Repair bool // the same, and mend what can be mended

	// TryLock tries the lock of a file in another process, without waiting.
	TryLock func(path string) (locked bool, err error)
	// TempDir is where the default data directory is made.
	TempDir string
	// InMemory says that sessions are meant to be in memory.
	InMemory bool
}
