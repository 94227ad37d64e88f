package cmd

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"cgisession/cgi"
	"cgisession/cmd/manual"
)

// mainPage returns cgisession(1), split at its headings. What stands under the headings
// within a section is part of the section too.
func mainPage(t *testing.T) (sections map[string]string) {
	t.Helper()
	page, ok := manual.Find("manual")
	if !ok {
		t.Fatal("no main page")
	}
	sections = make(map[string]string)
	var open [5]string // the heading at each level
	fenced := false
	for line := range strings.Lines(page.Source) {
		fenced = fenced != strings.HasPrefix(line, "```")
		if level := strings.Index(line, "# ") + 1; !fenced && level > 0 && strings.Trim(line[:level], "#") == "" {
			clear(open[level:])
			open[level] = strings.TrimSpace(line[level:])
		}
		for _, heading := range open {
			if heading != "" {
				sections[heading] += line
			}
		}
	}
	return sections
}

// Each verb has a section in cgisession(1) that describes each option of its own, and
// each common option stands under OPTIONS.
func TestManualHasEachVerbAndOption(t *testing.T) {
	sections := mainPage(t)
	verbSections := make(map[string]string)
	for heading, text := range sections {
		for name := range strings.SplitSeq(heading, ", ") {
			if strings.Contains(text, "\n`cgisession "+name+"`") {
				verbSections[name] = text
			}
		}
	}
	for _, command := range commands(&call{stdout: new(output)}) {
		section := verbSections[command.Name]
		if section == "" {
			t.Errorf("verb %s has no section with its synopsis", command.Name)
			continue
		}
		common := sections["OPTIONS"]
		for _, f := range shownFlags(command.Flags) {
			shared := groupOf(f.Names()[0]) != groupOwn || len(variablesOf(f)) > 0
			for _, name := range f.Names() {
				if !shared && !describes(section, name) {
					t.Errorf("--%s is not described under %s", name, command.Name)
				}
				if shared && !describes(common, name) || !regexp.MustCompile(`[\x60*]--`+name+`[\x60*]`).MatchString(common) {
					t.Errorf("--%s is not under OPTIONS", name)
				}
			}
		}
	}
}

// A verb's section has no options in bold but those that the verb takes. One section is
// about three verbs.
func TestManualGivesNoVerbAnOptionOfAnother(t *testing.T) {
	bold := regexp.MustCompile(`\*\*--([a-z][a-z-]*)\*\*`)
	taken := make(map[string][]string)
	for _, command := range commands(&call{stdout: new(output)}) {
		taken[command.Name] = flagNames(command.Flags)
	}
	for heading, text := range mainPage(t) {
		var known []string
		for name := range strings.SplitSeq(heading, ", ") {
			known = append(known, taken[name]...)
		}
		for _, found := range bold.FindAllStringSubmatch(text, -1) {
			if known != nil && !slices.Contains(known, found[1]) {
				t.Errorf("%s has no --%s", heading, found[1])
			}
		}
	}
}

// describes reports whether an item of a list in the section has the option in bold.
func describes(section, option string) bool {
	for item := range strings.SplitSeq(section, "\n- ") {
		item, _, _ = strings.Cut(item, "\n\n")
		if strings.HasPrefix(item, "**--") && strings.Contains(item, "**--"+option+"**") {
			return true
		}
	}
	return false
}

// Each variable that is read or exported stands under ENVIRONMENT.
func TestManualHasEachVariable(t *testing.T) {
	text := mainPage(t)["ENVIRONMENT"]
	for _, name := range variableNames() {
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("%s is not under ENVIRONMENT", name)
		}
	}
}

// variableNames returns the variables of all options, and those that calls export.
func variableNames() (names []string) {
	for _, f := range allFlags() {
		names = append(names, variablesOf(f)...)
	}
	names = append(append(names, secretVariable), cgi.Exported()...)
	slices.Sort(names)
	return slices.Compact(names)
}

// Each exit code stands under EXIT STATUS, with the text of the help and in its order.
func TestManualHasEachExitCode(t *testing.T) {
	text := strings.Join(strings.Fields(mainPage(t)["EXIT STATUS"]), " ")
	for code, meaning := range codeTexts() {
		if !regexp.MustCompile(fmt.Sprintf(`- \*\*%d\*\*: %s\.`, code, regexp.QuoteMeta(meaning))).MatchString(text) {
			t.Errorf("not under EXIT STATUS: %d: %s.", code, meaning)
		}
	}
	var listed []int
	for _, found := range regexp.MustCompile(`- \*\*(\d+)\*\*:`).FindAllStringSubmatch(text, -1) {
		var code int
		fmt.Sscan(found[1], &code)
		listed = append(listed, code)
	}
	if want := slices.Sorted(maps.Keys(codeTexts())); !slices.Equal(listed, want) {
		t.Errorf("EXIT STATUS lists %d, want %d", listed, want)
	}
}

// othersOptions are options of other programs that the manual names.
var othersOptions = []string{"now", "redis"}

// othersCodes are exit codes that are not the program's: 2 is the Go runtime's.
var othersCodes = []string{"2"}

// No page names a verb, topic, option, variable or exit code that does not exist.
func TestManualNamesNoOther(t *testing.T) {
	options := append(flagNames(allFlags()), othersOptions...)
	var verbNames, codes []string
	for _, v := range verbs() {
		verbNames = append(verbNames, v.name)
	}
	for code := range codeTexts() {
		codes = append(codes, fmt.Sprint(code))
	}
	topics := append(append(pageNames(), "manual"), verbNames...)
	for _, row := range []struct {
		kind, pattern string
		inCode        bool // prose has the program's name before other words
		known         []string
	}{
		{"option", `(?:^|[^\w-])--([A-Za-z][\w-]*)`, false, append(options, "option")},
		{"variable", `\b(CGISESSION_[A-Z][A-Z_]*[A-Z])\b`, false, variableNames()},
		{"exit code", `\b(?i:exit|exits|exited)(?: code| status)?,? (?:with )?(\d+)\b`, false, append(codes, othersCodes...)},
		{"verb", `\bcgisession['"]?,? ['"]?([a-z][a-z-]*)\b`, true, verbNames},
		{"topic", `\bcgisession help ([a-z][\w.-]*)`, true, topics},
	} {
		for _, p := range manual.Pages() {
			text := p.Source
			if row.inCode {
				text = codeOf(p.Source)
			}
			for _, found := range regexp.MustCompile(row.pattern).FindAllStringSubmatch(text, -1) {
				if !slices.Contains(row.known, found[1]) {
					t.Errorf("%s: there is no %s %s", p.Title(), row.kind, found[1])
				}
			}
		}
	}
}

func flagNames(flags []cli.Flag) (names []string) {
	for _, f := range append(flags, cli.HelpFlag) {
		names = append(names, f.Names()...)
	}
	return names
}

// codeOf returns what is code in a page: blocks, fenced or indented, and spans. To Redis
// the program's name is that of a user.
func codeOf(source string) string {
	var code strings.Builder
	fenced, redis := false, false
	for line := range strings.Lines(source) {
		switch {
		case strings.HasPrefix(line, "```"):
			fenced, redis = !fenced, strings.HasPrefix(line, "```redis")
		case redis:
		case fenced || strings.HasPrefix(line, "    "):
			code.WriteString(line)
		default:
			for _, span := range regexp.MustCompile("`[^`]+`").FindAllString(line, -1) {
				code.WriteString(strings.Trim(span, "`") + "\n")
			}
		}
	}
	return code.String()
}
