package cmd

import (
	"strings"
	"testing"
	"time"

	"cgisession/store"
)

// The line fits every terminal, and leaves out what matters least.
func TestProgressLine(t *testing.T) {
	const took = 10 * time.Second
	some := store.Progress{Seen: 80_000, Removed: 1_234, Share: 0.25}
	for _, row := range []struct {
		removals string
		at       store.Progress
		columns  int
		want     string
	}{
		{"", store.Progress{Seen: 80_000}, 79, "seen 80000, 8000/s"},
		{"", some, 79, " 25 % [=======                       ] seen 80000, 30s left, 8000/s"},
		{"removed", some, 79, " 25 % [=======                     ] seen 80000, removed 1234, 30s left, 8000/s"},
		{"would remove", some, 40, " 25 % seen 80000, would remove 1234"},
		{"removed", some, 34, " 25 % seen 80000, removed 1234"},
		{"", some, 19, " 25 % seen 80000"},
		{"", some, 30, " 25 % seen 80000, 30s left"},
		{"", store.Progress{Seen: 3, Share: 1}, 79, "100 % [==============================] seen 3, 0s left, 0/s"},
		{"", some, 4, " 25 "},
		{"", some, 0, ""},
		{"", some, -1, ""},
	} {
		p := progress{removals: row.removals}
		if got := p.line(row.at, took, row.columns); got != row.want {
			t.Errorf("%+v on %d columns: %q, want %q", row.at, row.columns, got, row.want)
		}
	}
	for columns := range 200 {
		p := progress{removals: "would remove"}
		if line := p.line(some, took, columns); len(line) > columns || strings.ContainsAny(line, "\r\n\t\x1b") {
			t.Errorf("%q on %d columns", line, columns)
		}
	}
}
