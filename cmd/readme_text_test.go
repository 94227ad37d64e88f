package cmd_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"cgisession/cmd/cmdtest"
)

// The README is short, its sections stand in their order, and its lines fit.
func TestREADMEShape(t *testing.T) {
	text := readme(t)
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) > 250 {
		t.Errorf("%d lines", len(lines))
	}
	var sections []string
	for i, line := range lines {
		if n := utf8.RuneCountInString(line); n > 120 {
			t.Errorf("line %d has %d columns", i+1, n)
		}
		if name, ok := strings.CutPrefix(line, "## "); ok {
			sections = append(sections, name)
		}
	}
	want := []string{
		"Try it", "A first script", "The same in Perl and Python", "Recipes", "Why trust it", "Verbs", "How it compares",
		"Install", "Where to read on", "Limits", "What will stay stable", "Licence",
	}
	if !slices.Equal(sections, want) {
		t.Errorf("the sections are %q", sections)
	}
	first, _, _ := strings.Cut(text, "\n## ")
	if !strings.Contains(first, "](scripts/examples/tour.png)") {
		t.Error("no picture before the first section")
	}
	if _, trust, _ := strings.Cut(text, "\n## Why trust it\n"); strings.Count(trust[:strings.Index(trust, "\n## ")], "\n- ") != 5 {
		t.Error("not five reasons to trust it")
	}
	// What newcomers looked for.
	for _, sought := range []string{
		"Go 1.26", "Debian 12", "Python", "**Log out everywhere.**", "**Remember me.**", "**TLS behind a proxy?**",
		"**Why is `get` empty?**", "**Caching?**", "`load --json` prints", "[MIT](LICENSE)",
	} {
		if !strings.Contains(text, sought) {
			t.Errorf("there is no %q", sought)
		}
	}
	for _, banned := range []string{"<br", "<img", "badge", "://"} {
		if strings.Contains(text, banned) {
			t.Errorf("there is %q", banned)
		}
	}
}

var (
	inlineLink    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	referenceUse  = regexp.MustCompile(`[(\s]\[([a-z]+)\][).,\s]`)
	referenceTo   = regexp.MustCompile(`(?m)^\[([^\]]+)\]: (\S+)$`)
	projectScript = regexp.MustCompile("[` ](scripts/[a-z]+)")
	notInAnchor   = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// Each link leads to a file of the project, and to a heading in it.
func TestREADMELinks(t *testing.T) {
	text := readme(t)
	references := make(map[string]string)
	var targets []string
	for _, m := range referenceTo.FindAllStringSubmatch(text, -1) {
		references[m[1]] = m[2]
		targets = append(targets, m[2])
	}
	for _, m := range referenceUse.FindAllStringSubmatch(text, -1) {
		if references[m[1]] == "" {
			t.Errorf("[%s] leads nowhere", m[1])
		}
	}
	for _, m := range append(inlineLink.FindAllStringSubmatch(text, -1), projectScript.FindAllStringSubmatch(text, -1)...) {
		targets = append(targets, m[1])
	}
	if len(targets) < 30 {
		t.Errorf("only %d links", len(targets))
	}
	for _, target := range targets {
		file, anchor, _ := strings.Cut(target, "#")
		if file == "" {
			file = "README.md"
		}
		info, err := os.Stat("../" + file)
		if err != nil {
			t.Errorf("%s: %v", target, err)
			continue
		}
		if anchor != "" && (info.IsDir() || !slices.Contains(anchors(t, "../"+file), anchor)) {
			t.Errorf("%s: no such heading", target)
		}
	}
}

// anchors returns the names under which repositories' web pages link headings.
func anchors(t *testing.T, file string) (all []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	inside := false
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "```") {
			inside = !inside
		}
		if heading, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && !inside && line[0] == '#' {
			name := notInAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), "")
			all = append(all, strings.ReplaceAll(name, " ", "-"))
		}
	}
	return all
}

// tables returns the cells of the rows under a heading, without the rule.
func tables(t *testing.T, text, heading string) (rows [][]string) {
	t.Helper()
	_, section, ok := strings.Cut(text, "\n"+heading+"\n")
	if !ok {
		t.Fatalf("no %s", heading)
	}
	if i := strings.Index(section, "\n## "); i >= 0 {
		section = section[:i]
	}
	for line := range strings.Lines(section) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	return rows
}

var verbInHelp = regexp.MustCompile(`(?m)^   ([a-z-]+)  `)

// Each verb has one line in the table, and no other has.
func TestREADMEVerbs(t *testing.T) {
	_, commands, _ := strings.Cut(in(t.TempDir()).Must(t, "help"), "\nCOMMANDS:\n")
	commands, _, _ = strings.Cut(commands, "\n\n")
	var verbs, shown []string
	for _, m := range verbInHelp.FindAllStringSubmatch(commands+"\n", -1) {
		verbs = append(verbs, m[1])
	}
	for _, row := range tables(t, readme(t), "## Verbs")[1:] {
		shown = append(shown, strings.Trim(row[0], "`"))
		if row[1] == "" || len(row) != 2 {
			t.Errorf("%s: no line", row[0])
		}
	}
	slices.Sort(verbs)
	slices.Sort(shown)
	if len(verbs) < 25 || !slices.Equal(verbs, shown) {
		t.Errorf("the verbs are %q,\nin the table %q", verbs, shown)
	}
}

// bench returns the page with the bench's numbers.
func bench(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../scripts/bench.d/README.md")
	must(t, err)
	return string(text)
}

// The comparison says what the bench measured: in each cell up to a comma.
func TestREADMEComparison(t *testing.T) {
	columns := []string{"", "cgisession", "php-cgi", "Perl, CGI::Session", "Python, Beaker", "shell by hand"}
	measured := map[string]struct {
		heading string // in the bench's page
		column  int    // of the table there
	}{
		"lost of 200 increments":     {"## Eight processes on one session", 2},
		"log-out in another request": {"## Ended and old sessions", 1},
		"too old a session":          {"## Ended and old sessions", 2},
		"time of a call":             {"## One call, against others", 1},
	}
	words := map[string]string{"gone": "stays", "back": "undone"}
	checked := 0
	for _, row := range tables(t, readme(t), "## How it compares") {
		source, ok := measured[row[0]]
		if !ok {
			continue
		}
		for _, there := range tables(t, bench(t), source.heading) {
			i := slices.Index(columns, there[0])
			if i < 1 {
				continue
			}
			want, _, _ := strings.Cut(there[source.column], ",")
			if word := words[want]; word != "" {
				want = word
			}
			if got, _, _ := strings.Cut(row[i], ","); got != want {
				t.Errorf("%s, %s: %q, and the bench has %q", row[0], there[0], got, want)
			}
			checked++
		}
	}
	if checked != 4+5+5+4 {
		t.Errorf("%d cells were checked", checked)
	}
}

// The numbers that are a reason for trust are those of the bench.
func TestREADMENumbers(t *testing.T) {
	_, trust, _ := strings.Cut(readme(t), "\n## Why trust it\n")
	trust, _, _ = strings.Cut(trust, "\n## ")
	numbers := regexp.MustCompile(`\d+\.\d+ (?:ms|×)|\d{4,} increments`).FindAllString(trust, -1)
	if len(numbers) < 4 {
		t.Errorf("the numbers are %q", numbers)
	}
	for _, number := range numbers {
		if !strings.Contains(bench(t), strings.TrimSuffix(number, " increments")) {
			t.Errorf("%q is not in the bench", number)
		}
	}
}

// What the bench says of ended and old sessions is so, of each peer that is here.
func TestEndedSessions(t *testing.T) {
	if os.Getenv("CI") != "true" {
		t.Skip("CI=true asks the peers")
	}
	out, err := exec.Command("../scripts/bench.d/ended.sh", cmdtest.Program).Output()
	must(t, err)
	if strings.Count(string(out), "\n") < 3 || !strings.Contains(string(out), "| cgisession | gone | refused |") {
		t.Errorf("it prints %s", out)
	}
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(bench(t), line) {
			t.Errorf("the bench's page has no line %s", line)
		}
	}
}
