package cmd_test

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

// slowly is a command that runs another one, whose walk it makes take some seconds:
// each look at a session's file takes 5 ms more (strace(1)).
const slowly = "strace -f -qq -o /dev/null -e trace=newfstatat,openat -e inject=newfstatat,openat:delay_enter=5000 "

// watchable is how many sessions a slow walk is long enough for that several lines are due.
const watchable = 200

// onTerminal runs a shell command on a terminal, and returns what comes to the terminal.
func (r request) onTerminal(t *testing.T, command string) string {
	t.Helper()
	got := cmdtest.Finish(t, r.Command("script", "--quiet", "--return", "--command", command, "/dev/null"))
	if got.Code != 0 {
		t.Fatalf("%q on a terminal: %+v", command, got)
	}
	return got.Stdout
}

// drawn is the progress as a terminal receives it: lines that overwrite each other, and
// at the end none.
var drawn = regexp.MustCompile(`\A((\r[^\r\n\x1b]*\x1b\[K)+)\r\x1b\[K`)

// barred is a line with all there is to say.
var barred = regexp.MustCompile(`\r *\d+ % \[=* *\] seen \d+(, would remove \d+)?, \d+m?\d*s left, \d+/s\x1b\[K`)

// The progress is shown on stderr if that is a terminal, and only then.
func TestProgress(t *testing.T) {
	needs(t, "script")
	needStrace(t)
	t.Parallel()
	r := plant(t, watchable, all)
	verbs := []string{"list", "cleanup --timeout 1h --dry-run", "stats", "doctor --deep", "list --json", "stats --deep"}
	for _, verb := range verbs[:cmdtest.Full(1, len(verbs))] {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			file := "stdout-" + strings.ReplaceAll(verb, " ", "-")
			command := slowly + "cgisession " + verb
			text := r.onTerminal(t, command+" >"+file)
			if !drawn.MatchString(text) || drawn.FindString(text) != text || !barred.MatchString(text) {
				t.Errorf("stderr is a terminal, stdout is not: %q", text)
			}
			out, err := os.ReadFile(r.Dir + "/" + file)
			if err != nil || len(out) == 0 || strings.Contains(string(out), "\x1b") {
				t.Errorf("a file on stdout has %q, %v", out, err)
			}
			text = r.onTerminal(t, command+" 2>"+file)
			if strings.Contains(text, "\x1b") || !strings.Contains(text, "\n") {
				t.Errorf("stdout is a terminal, stderr is not: %q", text)
			}
			if out, err := os.ReadFile(r.Dir + "/" + file); err != nil || len(out) > 0 {
				t.Errorf("a file on stderr has %q, %v", out, err)
			}
			text = r.onTerminal(t, command)
			after := drawn.ReplaceAllString(text, "")
			if isList := strings.HasPrefix(verb, "list"); drawn.MatchString(text) == isList {
				t.Errorf("both are a terminal: %q", text)
			}
			if strings.ContainsAny(after, "\x1b") || !strings.Contains(after, "\n") {
				t.Errorf("the line is not cleared before the output: %q", text)
			}
		})
	}
}

// The line fits the terminal, also a narrow one. A terminal that cannot overwrite a line
// gets none.
func TestProgressTerminals(t *testing.T) {
	cmdtest.Long(t)
	needs(t, "script")
	needStrace(t)
	t.Parallel()
	r := plant(t, watchable, all)
	const stats = slowly + "cgisession stats >/dev/null"
	for _, columns := range []int{20, 80} {
		text := r.onTerminal(t, "stty columns "+strconv.Itoa(columns)+"; "+stats)
		if !strings.Contains(text, " % ") {
			t.Errorf("no share of the walk on %d columns: %q", columns, text)
		}
		for line := range strings.SplitSeq(text, "\r") {
			if line = strings.TrimSuffix(line, "\x1b[K"); len(line) >= columns {
				t.Errorf("%d columns are too few for %q", columns, line)
			}
		}
	}
	for _, quiet := range []string{
		"export TERM=dumb; " + stats,
		"cgisession stats >/dev/null", // it is over before it needs a line
		"set -m; " + stats + " & wait",
	} {
		if text := r.onTerminal(t, quiet); text != "" {
			t.Errorf("%s: %q", quiet, text)
		}
	}
}

// A line of the log on the terminal stands alone.
func TestProgressBesideLog(t *testing.T) {
	needs(t, "script")
	needStrace(t)
	t.Parallel()
	r := plant(t, watchable, all)
	text := r.onTerminal(t, slowly+"cgisession cleanup --timeout 1h --log-file - >/dev/null")
	// What stands before an event on its line is a cleared one.
	for _, line := range regexp.MustCompile(`(?m)^(.+)time=`).FindAllStringSubmatch(text, -1) {
		if !strings.HasSuffix(line[1], "\r\x1b[K") {
			t.Errorf("after a line of progress: %q", line[0])
		}
	}
	if n := strings.Count(text, `event="removed"`); n != watchable || !strings.Contains(text, " % ") {
		t.Errorf("%d events: %q", n, text)
	}
}

// Without a terminal nothing is asked of the system but once in a long walk, and nothing
// in a short one.
func TestProgressCost(t *testing.T) {
	needStrace(t)
	t.Parallel()
	r := plant(t, watchable, all)
	ioctls := func(how ...string) int {
		t.Helper()
		trace := r.Dir + "/trace"
		args := append([]string{"-f", "-qq", "-o", trace, "-e", "trace=ioctl,newfstatat,openat"}, how...)
		got := cmdtest.Finish(t, r.Command("strace", append(args, cmdtest.Program, "stats")...))
		text, err := os.ReadFile(trace)
		if err != nil || got.Code != 0 || got.Stderr != "" {
			t.Fatalf("%+v, %v", got, err)
		}
		return strings.Count(string(text), "ioctl(")
	}
	if n := ioctls(); n != 0 {
		t.Errorf("%d more system calls in a short walk", n)
	}
	if n := ioctls("-e", "inject=newfstatat:delay_enter=5000"); n != 1 {
		t.Errorf("%d more system calls in a long walk, want 1", n)
	}
}
