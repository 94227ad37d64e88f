package cmd

// This file shows on the terminal how far a walk through all sessions has come.

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"cgisession/store"
)

// redrawEvery is the shortest time between two lines on the terminal, and before the
// first one: a walk that is over sooner shows none.
const redrawEvery = 200 * time.Millisecond

// A progress is the line on the terminal that shows it, on standard error. Each line
// overwrites the one before.
type progress struct {
	stderr   io.Writer
	removals string // what the verb does with sessions, such as "removed"; empty: it only reads
	streams  bool   // it prints while it walks: not beside that, if stdout is the terminal too
	start    time.Time

	mu    sync.Mutex // guards what follows
	due   time.Time  // when the next line is
	asked bool       // whether there is a terminal
	off   bool       // there is none to draw on
	drawn bool       // a line is on it
}

// watch makes the store that is opened next show its walks.
func (c *call) watch() {
	now := time.Now()
	c.progress = &progress{stderr: c.stderr, start: now, due: now.Add(redrawEvery)}
}

// show draws a line, if it is time. Without a terminal it calls the system once, and not
// at all in a walk that is short. A sweep calls it from several goroutines; those that
// come while one draws do not wait for it.
func (p *progress) show(at store.Progress) {
	if !p.mu.TryLock() {
		return
	}
	defer p.mu.Unlock()
	if p.off {
		return
	}
	now := time.Now()
	if now.Before(p.due) {
		return
	}
	if !p.asked {
		p.asked, p.off = true, !p.visible()
	}
	p.due = now.Add(redrawEvery)
	if p.off || !inForeground(unix.Stderr) {
		return
	}
	p.drawn = true
	fmt.Fprintf(p.stderr, "\r%s\x1b[K", p.line(at, now.Sub(p.start), columns(unix.Stderr)-1))
}

// visible reports whether there is a terminal that can overwrite a line, and on which
// nothing else is printed meanwhile.
func (p *progress) visible() bool {
	return term.IsTerminal(unix.Stderr) && os.Getenv("TERM") != "dumb" && !(p.streams && term.IsTerminal(unix.Stdout))
}

// clear removes the line, before something else is printed.
func (p *progress) clear() { p.print(func() {}) }

// print removes the line, and has write print something else before the next one.
func (p *progress) print(write func()) {
	if p != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.drawn {
			io.WriteString(p.stderr, "\r\x1b[K")
			p.drawn, p.due = false, time.Now().Add(redrawEvery)
		}
	}
	write()
}

// maxBar is the width of the bar, in columns, where there is room for it.
const maxBar = 30

// line returns the line of at most so many columns for a walk that took so long until
// now. Where it is too long, the rate is left out first, and the counts last.
func (p *progress) line(at store.Progress, took time.Duration, columns int) string {
	var percent, left string
	if at.Share > 0 {
		percent = fmt.Sprintf("%3.0f %% ", at.Share*100)
		rest := time.Duration(float64(took) * (1 - at.Share) / at.Share)
		left = fmt.Sprintf(", %s left", rest.Round(time.Second))
	}
	text := fmt.Sprintf("seen %d", at.Seen)
	fits := func(more string) bool { return len(percent)+len(text)+len(more) <= columns }
	var more []string
	if p.removals != "" {
		more = append(more, fmt.Sprintf(", %s %d", p.removals, at.Removed))
	}
	for _, part := range append(more, left, fmt.Sprintf(", %.0f/s", float64(at.Seen)/took.Seconds())) {
		if fits(part) {
			text += part
		}
	}
	text = percent + bar(at.Share, columns-len(percent)-len(text)) + text
	return text[:min(len(text), max(columns, 0))]
}

// bar returns a bar with a blank after it, in so many columns or fewer; empty if that is
// too little room, or the share is not known.
func bar(share float64, columns int) string {
	width := min(maxBar, columns-len("[] "))
	if share <= 0 || width < 5 {
		return ""
	}
	done := min(int(share*float64(width)), width)
	return "[" + strings.Repeat("=", done) + strings.Repeat(" ", width-done) + "] "
}

// columns returns the width of a terminal. One that does not say has 80.
func columns(fd int) int {
	if width, _, err := term.GetSize(fd); err == nil && width > 0 {
		return width
	}
	return 80
}

// inForeground reports whether the terminal is this job's at the moment, or is no
// controlling terminal at all (tcgetpgrp(3)). A job in the background would write into
// another's screen.
func inForeground(fd int) bool {
	group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp()
}
