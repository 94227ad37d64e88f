package cmd

import (
	"fmt"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func statsCommand(c *call) *cli.Command {
	var json, prometheus bool
	return c.operatorCommand("stats", "", "count the sessions by state and age", func(args []string) error {
		if err := noArguments(args); err != nil {
			return err
		}
		if json && prometheus {
			return usagef("--json and --prometheus exclude each other")
		}
		count, err := c.store.Count()
		if err != nil {
			return err
		}
		s := stats{Count: count, last: c.store.LastSweep()}
		if files, ok := c.store.(*store.File); ok {
			space := files.Space()
			s.space = &space
		}
		switch {
		case json:
			c.stdout.Write(append(s.json(), '\n'))
		case prometheus:
			s.prometheus(c.stdout)
		default:
			s.text(c.stdout)
		}
		return nil
	},
		jsonFlag(&json),
		&cli.BoolFlag{Name: "prometheus", Usage: "print the text format of Prometheus, for node_exporter's textfile collector", Destination: &prometheus})
}

type stats struct {
	*store.Count
	space *store.Space // nil: not in files
	last  store.LastSweep
}

// ageNames names the ages of store.Ages, and what is beyond.
func ageNames() []string {
	return []string{"under 1 minute", "under 1 hour", "under 1 day", "under 7 days", "under 30 days", "30 days and over"}
}

func (s stats) text(out *output) {
	for _, state := range countedStates() {
		fmt.Fprintf(out, "%-10s %d\n", state, s.Files[state])
	}
	for i, name := range ageNames() {
		fmt.Fprintf(out, "%-16s %d\n", name, s.Ages[i])
	}
	fmt.Fprintf(out, "bytes %d\n", s.Bytes)
	if s.space == nil {
		return
	}
	fmt.Fprintf(out, "free inodes %d of %d\nfree bytes %d\n", s.space.FreeInodes, s.space.Inodes, s.space.FreeBytes)
	if s.last.At.IsZero() {
		fmt.Fprintln(out, "last cleanup never")
		return
	}
	fmt.Fprintf(out, "last cleanup %s, seen %d, removed %d\n", date(s.last.At), s.last.Seen, s.last.Removed)
}

// countedStates are the states that stat can tell.
func countedStates() []store.State {
	return []store.State{store.Live, store.Idle, store.Moved, store.Over, store.Unused, store.Unsafe}
}

func (s stats) json() []byte {
	var states, ages, o object
	for _, state := range countedStates() {
		states.int(string(state), s.Files[state])
	}
	for i, name := range ageNames() {
		ages.int(name, s.Ages[i])
	}
	o.raw("states", states.end())
	o.raw("ages", ages.end())
	o.int("bytes", s.Bytes)
	if s.space == nil {
		return o.end()
	}
	o.int("free_inodes", s.space.FreeInodes)
	o.int("inodes", s.space.Inodes)
	o.int("free_bytes", s.space.FreeBytes)
	o.raw("last_cleanup", lastCleanup(s.last))
	return o.end()
}

func lastCleanup(last store.LastSweep) []byte {
	if last.At.IsZero() {
		return []byte("null")
	}
	var o object
	o.int("at", last.At.Unix())
	o.int("seen", last.Seen)
	o.int("removed", last.Removed)
	return o.end()
}

func (s stats) prometheus(out *output) {
	metric(out, "cgisession_files", "Session files by state.")
	for _, state := range countedStates() {
		sample(out, "cgisession_files", "state", string(state), s.Files[state])
	}
	metric(out, "cgisession_idle_sessions", "Sessions by the time since their last access.")
	for i, bound := range store.Ages() {
		sample(out, "cgisession_idle_sessions", "under", strconv.Itoa(int(bound/time.Second))+"s", s.Ages[i])
	}
	sample(out, "cgisession_idle_sessions", "under", "inf", s.Ages[len(store.Ages())])
	single(out, "cgisession_size_bytes", "Size of all session files.", s.Bytes)
	if s.space == nil {
		return
	}
	for _, m := range []struct {
		name, help string
		value      int64
	}{
		{"cgisession_free_inodes", "Inodes left on the file system.", s.space.FreeInodes},
		{"cgisession_free_bytes", "Space left on the file system.", s.space.FreeBytes},
		{"cgisession_last_cleanup_timestamp_seconds", "When the last cleanup ended, 0 if never.", unixOrZero(s.last.At)},
		{"cgisession_last_cleanup_removed_sessions", "Sessions that the last cleanup removed.", s.last.Removed},
	} {
		single(out, m.name, m.help, m.value)
	}
}

func single(out *output, name, help string, value int64) {
	metric(out, name, help)
	fmt.Fprintf(out, "%s %d\n", name, value)
}

func metric(out *output, name, help string) {
	fmt.Fprintf(out, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name)
}

func sample(out *output, name, label, value string, n int64) {
	fmt.Fprintf(out, "%s{%s=%q} %d\n", name, label, value, n)
}

func unixOrZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
