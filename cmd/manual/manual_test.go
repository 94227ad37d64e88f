package manual

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// The pages are the files of this directory, each under its own names.
func TestPages(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".md") {
			files = append(files, e.Name())
		}
	}
	for _, p := range Pages() {
		name := p.Name + "." + p.Section + ".md"
		if !slices.Contains(files, name) {
			t.Errorf("no file %s", name)
		}
		for _, topic := range []string{p.Topic(), p.Name, p.Title()} {
			if found, ok := Find(topic); !ok || found != p {
				t.Errorf("%s finds %s", topic, found.Title())
			}
		}
		if (p.Topic() == program) != (p.Name == program) || p.Topic() == "manual" {
			t.Errorf("%s has the topic %s", p.Title(), p.Topic())
		}
	}
	if len(Pages()) != len(files) {
		t.Errorf("%d pages in %d files: %q", len(Pages()), len(files), files)
	}
	for _, topic := range []string{"", "1", "nosuch", "cgisession-", "recipes(1)", "recipes.7.md"} {
		if p, ok := Find(topic); ok {
			t.Errorf("%q finds %s", topic, p.Title())
		}
	}
}

var (
	fence    = regexp.MustCompile("^```([a-z]*)$")
	html     = regexp.MustCompile(`<[a-zA-Z/!]|&[a-z]+;`)
	span     = regexp.MustCompile("`[^`]*`")
	badge    = regexp.MustCompile(`!\[`)
	link     = regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)
	pageName = regexp.MustCompile(`\bcgisession[\w.-]*\(\d\)`)
	seeAlso  = regexp.MustCompile(`(?s)\n## SEE ALSO\n\n([^#]+)$`)
)

// Each page reads well in a terminal, as a man page and on the web.
func TestForm(t *testing.T) {
	for _, p := range Pages() {
		t.Run(p.Title(), func(t *testing.T) {
			if !strings.HasPrefix(p.Source, "# "+p.Title()+"\n\n## NAME\n\n"+p.Name+" - ") {
				t.Errorf("it begins %.80q", p.Source)
			}
			if strings.Count(p.Source, "\n# ") != strings.Count(codeIn(p.Source), "\n# ") {
				t.Error("a second title")
			}
			if about := p.About(); about == "" || len(about) > 60 || strings.HasSuffix(about, ".") {
				t.Errorf("it is about %q", about)
			}
			checkLines(t, p.Source)
		})
	}
}

// codeIn returns the fenced blocks of a page.
func codeIn(source string) (code string) {
	for i, text := range strings.Split(source, "\n```") {
		if i%2 == 1 {
			code += text + "\n"
		}
	}
	return code
}

// checkLines checks each line of a page: its width in columns, and what it holds.
func checkLines(t *testing.T, source string) {
	t.Helper()
	inCode := false
	for line := range strings.SplitSeq(strings.TrimSuffix(source, "\n"), "\n") {
		width, most := utf8.RuneCountInString(line), 80
		prose := span.ReplaceAllString(line, "")
		switch isFence := strings.HasPrefix(line, "```"); {
		case isFence && !inCode && (!fence.MatchString(line) || line == "```"):
			t.Errorf("a block without its language: %q", line)
		case isFence && inCode && line != "```":
			t.Errorf("a block that ends with %q", line)
		case isFence:
			inCode = !inCode
		case inCode:
			most = 100
		case strings.TrimRight(line, " \t") != line, strings.Contains(line, "\t"):
			t.Errorf("a tab, or a blank at the end: %q", line)
		case html.MatchString(prose), badge.MatchString(line):
			t.Errorf("HTML, or a picture: %q", line)
		}
		if width > most {
			t.Errorf("%d columns, over %d: %q", width, most, line)
		}
	}
	if inCode {
		t.Error("a block without an end")
	}
}

// Each page that is named exists; each page names others under SEE ALSO, and the main
// one names all. Links lead to files.
func TestLinks(t *testing.T) {
	for _, p := range Pages() {
		for _, title := range pageName.FindAllString(p.Source, -1) {
			if _, ok := Find(title); !ok {
				t.Errorf("%s names %s, which does not exist", p.Title(), title)
			}
		}
		for _, found := range link.FindAllStringSubmatch(p.Source, -1) {
			if _, err := os.Stat(found[1]); err != nil && !strings.HasPrefix(found[1], "https://") {
				t.Errorf("%s has a link to %s: %v", p.Title(), found[1], err)
			}
		}
		last := seeAlso.FindStringSubmatch(p.Source)
		if last == nil || !pageName.MatchString(last[1]) || strings.Contains(last[1], p.Title()) {
			t.Errorf("%s does not end with SEE ALSO and the names of other pages", p.Title())
			continue
		}
		for _, other := range Pages() {
			if p.Name == program && other != p && !strings.Contains(last[1], other.Title()) {
				t.Errorf("%s does not name %s under SEE ALSO", p.Title(), other.Title())
			}
		}
	}
}

// Text has each line of the page, and of Markdown's marks only those of inline code.
func TestText(t *testing.T) {
	p := Page{Name: program, Section: "1", Source: "# A(1)\n\n## NAME\n\n- **--b**: `c`\n\n" +
		"```sh\n# d **\n\ne\n```\n\n    f\n"}
	const want = "A(1)\n\nNAME\n\n- --b: `c`\n\n    # d **\n\n    e\n\n    f\n"
	if got := p.Text(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for _, p := range Pages() {
		if text := p.Text(); strings.Contains(text, "```") || strings.Contains(text, "\n#") ||
			strings.Count(text, "\n") != strings.Count(p.Source, "\n")-strings.Count(p.Source, "\n```") {
			t.Errorf("%s is printed as\n%s", p.Title(), text)
		}
	}
}

// What is indented is an example, and begins after an empty line: in the text of a
// paragraph it would stand as it is in a man page.
func TestIndented(t *testing.T) {
	wrong := regexp.MustCompile(`(?m)^[^\s\d-].*\n    .*$`)
	blocks := regexp.MustCompile("(?ms)^```.*?^```$")
	for _, p := range Pages() {
		if found := wrong.FindString(blocks.ReplaceAllString(p.Text(), "")); found != "" {
			t.Errorf("%s: an example in a paragraph:\n%s", p.Title(), found)
		}
	}
}
