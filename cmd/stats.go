package cmd

import (
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func statsCommand(c *call) *cli.Command {
	var deep, json, prometheus bool
	return c.operatorCommand("stats", "", "count the sessions by state and age", func(args []string) error {
		if err := noArguments(args); err != nil {
			return err
		}
		if json && prometheus {
			return usagef("--json and --prometheus exclude each other")
		}
		count, err := c.store.Count(deep)
		if err != nil {
			return err
		}
		last, err := c.store.LastSweep()
		if err != nil {
			return err
		}
		s := stats{Count: count, last: last}
		switch {
		case json:
			c.stdout.printJSON(s.json())
		case prometheus:
			s.prometheus(c.stdout)
		default:
			s.text(c.stdout)
		}
		return nil
	},
		switchFlag("deep", "read every session: counts all states, corrupt ones too", &deep),
		jsonFlag(&json),
		switchFlag("prometheus", "print the text format of Prometheus, for node_exporter's textfile collector",
			&prometheus))
}

type stats struct {
	*store.Count
	last store.LastSweep
}

// ageNames returns the names of the age ranges that store.Ages bounds: in words, and
// as labels for Prometheus.
func ageNames() []struct{ words, label string } {
	return []struct{ words, label string }{
		{"under 1 minute", "0-1m"},
		{"1 minute to 1 hour", "1m-1h"},
		{"1 hour to 1 day", "1h-1d"},
		{"1 to 7 days", "1d-7d"},
		{"7 to 30 days", "7d-30d"},
		{"30 days and over", "30d+"},
	}
}

func (s stats) text(out *output) {
	for _, state := range s.states() {
		fmt.Fprintf(out, "%-10s %d\n", state, s.Files[state])
	}
	fmt.Fprintln(out, s.By)
	for i, name := range ageNames() {
		fmt.Fprintf(out, "%-18s %d\n", name.words, s.Ages[i])
	}
	fmt.Fprintf(out, "bytes %d\n", s.Bytes)
	if s.Space != nil {
		fmt.Fprintf(out, "free inodes %d of %d\nfree bytes %d\n", s.Space.FreeInodes, s.Space.Inodes, s.Space.FreeBytes)
	}
	if s.last.At.IsZero() {
		fmt.Fprintln(out, "last cleanup never")
		return
	}
	fmt.Fprintf(out, "last cleanup %s, seen %d, removed %d\n", date(s.last.At), s.last.Seen, s.last.Removed)
}

// states returns the states that the store can report, in their order.
func (s stats) states() []store.State {
	return slices.DeleteFunc(store.States(), func(state store.State) bool {
		_, told := s.Files[state]
		return !told
	})
}

func (s stats) json() []byte {
	var states, ages, o object
	for _, state := range s.states() {
		states.int(string(state), s.Files[state])
	}
	for i, name := range ageNames() {
		ages.int(name.words, s.Ages[i])
	}
	o.raw("states", states.end())
	o.raw("ages", ages.end())
	o.bool("deep", s.Deep)
	o.int("bytes", s.Bytes)
	if s.Space != nil {
		o.int("free_inodes", s.Space.FreeInodes)
		o.int("inodes", s.Space.Inodes)
		o.int("free_bytes", s.Space.FreeBytes)
	}
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
	deep := int64(0)
	if s.Deep {
		deep = 1
	}
	single(out, "cgisession_deep", "1 if each session was read, 0 if not.", deep)
	single(out, "cgisession_counted_timestamp_seconds", "When this was counted.", time.Now().Unix())
	metric(out, "cgisession_files", "Session files by state: "+s.By+".")
	for _, state := range s.states() {
		sample(out, "cgisession_files", "state", string(state), s.Files[state])
	}
	metric(out, "cgisession_idle_sessions", "Sessions by the time since their last access.")
	for i, name := range ageNames() {
		sample(out, "cgisession_idle_sessions", "idle", name.label, s.Ages[i])
	}
	single(out, "cgisession_size_bytes", "Size of all session files.", s.Bytes)
	if s.Space != nil {
		single(out, "cgisession_free_inodes", "Inodes left on the file system.", s.Space.FreeInodes)
		single(out, "cgisession_most_inodes", "Inodes that the file system can have; 0: no limit.", s.Space.Inodes)
		single(out, "cgisession_free_bytes", "Space left on the file system.", s.Space.FreeBytes)
		single(out, "cgisession_most_bytes", "Space that the file system has in all.", s.Space.Bytes)
	}
	single(out, "cgisession_last_cleanup_timestamp_seconds", "When the last cleanup ended, 0 if never.",
		unixOrZero(s.last.At))
	single(out, "cgisession_last_cleanup_removed_sessions", "Sessions that the last cleanup removed.", s.last.Removed)
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
