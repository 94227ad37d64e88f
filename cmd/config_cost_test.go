package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// twentyLines returns the path of a configuration file with 20 options and a section.
func twentyLines(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("testdata/twenty.conf")
	path := filepath.Join(t.TempDir(), "conf")
	if err == nil {
		err = os.WriteFile(path, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// settled returns the options that a command line sets.
func settled(t testing.TB, line string) options {
	t.Helper()
	o := defaults()
	p, err := split(strings.Fields(line), o.sessionFlags(), false)
	if err == nil {
		err = o.settle(p.flags)
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// A file of 20 lines and a section costs a bounded number of allocations, and no
// system calls but those of readConfig (TestConfigSystemCalls). Both are of what a call takes
// that does not depend on the machine: the whole is at most 1.02 times a call's time.
func TestConfigAllocations(t *testing.T) {
	file := twentyLines(t)
	count := func(line string) int { return int(testing.AllocsPerRun(20, func() { settled(t, line) })) }
	without, with := count("--config none"), count("--config "+file)
	t.Setenv("CGISESSION_SITE", "shop")
	site := count("--config " + file)
	t.Logf("%d allocations without a file, %d with one, %d with its section", without, with, site)
	if with > without+30 || site > without+30 {
		t.Errorf("%d allocations, or %d with a section, without a file %d", with, site, without)
	}
}

// BenchmarkSettle is the cost of setting the options of a call, without a file, with
// one, and with its section chosen.
func BenchmarkSettle(b *testing.B) {
	file := twentyLines(b)
	for _, args := range []string{"--config none", "--config " + file, "--site shop --config " + file} {
		b.Run(strings.Fields(args)[0]+strings.Fields(args)[1][:4], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				settled(b, args)
			}
		})
	}
}
