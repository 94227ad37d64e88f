package cmd

// This file prints the help, from what the verbs' commands and guide.go say.
//
// The library could print it, by templates. They use reflection, so that the linker
// keeps code that nothing calls: the program would be a quarter larger, and each call
// take a few per cent longer (4 % on two idle cores, medians of 400 turns of get).

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"cgisession/cmd/manual"
)

// helpWidth is the length of a line, in columns: that of the narrowest usual terminal.
const helpWidth = 80

// maxLabel is the width of the left column. The text of a longer label begins on the
// next line.
const maxLabel = 26

func helpCommand(c *call) *cli.Command {
	return command("help", "[VERB] | TOPIC", "print this help, that of a verb, or a page of the manual", nil,
		func(args []string) error {
			switch len(args) {
			case 0:
				c.stdout.print(programHelp(c))
				return nil
			case 1:
				return c.helpOn(args[0])
			}
			return usagef("%d arguments; one VERB or TOPIC is wanted", len(args))
		})
}

// helpOn prints the help of a verb or, if no verb has the name, a page of the manual.
func (c *call) helpOn(name string) error {
	if v, ok := findVerb(name); ok {
		c.stdout.print(verbHelp(v.command(c)))
		return nil
	}
	page, ok := manual.Find(name)
	if !ok {
		return errNoSuch("verb or topic", name, pageNames()...)
	}
	c.stdout.print(page.Text())
	return nil
}

// pageNames returns the names of the manual's pages, the short ones too.
func pageNames() (names []string) {
	for _, p := range manual.Pages() {
		names = append(names, p.Topic(), p.Name)
	}
	return names
}

func versionCommand(c *call) *cli.Command {
	return command("version", "", "print the version", nil, func(args []string) error {
		if err := noArguments(args); err != nil {
			return err
		}
		c.stdout.print(versionText())
		return nil
	})
}

func versionText() string { return "cgisession version " + Version + "\n" }

// programHelp returns the help of the program: its verbs and exit codes.
func programHelp(c *call) string {
	var h help
	h.section("NAME", "cgisession - sessions for CGI scripts")
	h.section("USAGE", "cgisession VERB [OPTION...] [ARGUMENT...]", "cgisession help VERB", "cgisession help TOPIC")
	h.section("VERSION", Version)
	var verbs table
	for _, command := range commands(c) {
		verbs.add(command.Name, command.Usage)
	}
	h.table("COMMANDS", verbs)
	var topics table
	for _, p := range manual.Pages() {
		topics.add(p.Topic(), p.About())
	}
	h.table("TOPICS", topics)
	texts := codeTexts()
	h.table("EXIT CODES", codesTable(slices.Collect(maps.Keys(texts)), texts))
	var options table
	options.addFlag(cli.HelpFlag)
	options.addFlag(cli.VersionFlag)
	h.table("GLOBAL OPTIONS", options)
	return h.String()
}

// verbHelp returns the help of a verb. Its own options come first; of the common ones
// it has those that the verb uses.
func verbHelp(command *cli.Command) string {
	guide := guides()[command.Name]
	var own, common table
	ownFlags, commonFlags := shownOptions(command)
	for _, f := range ownFlags {
		own.addFlag(f)
	}
	for _, f := range commonFlags {
		common.addFlag(f)
	}

	var h help
	h.section("NAME", wrap("cgisession "+command.Name+" - "+command.Usage, helpWidth-len("   "))...)
	var usage []string
	for form := range strings.SplitSeq(command.ArgsUsage, " | ") {
		usage = append(usage, strings.TrimSuffix("cgisession "+command.Name+" [OPTION...] "+form, " "))
	}
	h.section("USAGE", usage...)
	h.table("OPTIONS", own)
	h.table("COMMON OPTIONS", common)
	codes, texts := append(guide.codes, exitOK), codeTexts()
	if guide.no != "" {
		codes, texts[exitNo] = append(codes, exitNo), guide.no
	}
	h.table("EXIT CODES", codesTable(codes, texts))
	h.WriteString("   The others are in cgisession help.\n")
	h.section("EXAMPLE", strings.Split(guide.example, "\n")...)
	return h.String()
}

// shownOptions returns the options that the help of a verb shows: its own ones, --help
// among them, and those of the common ones that it uses.
func shownOptions(command *cli.Command) (own, common []cli.Flag) {
	uses := guides()[command.Name].uses
	for _, f := range shownFlags(command.Flags) {
		switch group := groupOf(f.Names()[0]); {
		case group == groupOwn:
			own = append(own, f)
		case group&uses != 0:
			common = append(common, f)
		}
	}
	return append(own, cli.HelpFlag), common
}

// shownFlags returns the flags that the help can show.
func shownFlags(flags []cli.Flag) (shown []cli.Flag) {
	for _, f := range flags {
		if visible, ok := f.(cli.VisibleFlag); !ok || visible.IsVisible() {
			shown = append(shown, f)
		}
	}
	return shown
}

// codesTable returns a table of exit codes and what they mean.
func codesTable(codes []int, texts map[int]string) (t table) {
	for _, code := range slices.Sorted(slices.Values(codes)) {
		t.add(fmt.Sprintf("%-4d", code), texts[code])
	}
	return t
}

// help is text that is being written.
type help struct{ strings.Builder }

// section adds lines under a heading.
func (h *help) section(heading string, lines ...string) {
	if h.Len() > 0 {
		h.WriteString("\n")
	}
	h.WriteString(heading + ":\n")
	for _, line := range lines {
		h.WriteString("   " + line + "\n")
	}
}

// table adds a table under a heading, unless it is empty.
func (h *help) table(heading string, t table) {
	if len(t) > 0 {
		h.section(heading, t.lines()...)
	}
}

// A table has rows of a label and a text.
type table [][2]string

func (t *table) add(label, text string) { *t = append(*t, [2]string{label, text}) }

// addFlag adds a flag: its names with the value's placeholder, and its usage, default
// and variable. A default that was configured is not shown: it may be an id.
func (t *table) addFlag(f cli.Flag) {
	usage, placeholder := usageOf(f)
	label := strings.Join(writtenNames(f), ", ")
	if placeholder != "" {
		label += " " + placeholder
	}
	if g, ok := f.(*cli.GenericFlag); ok && g.DefaultText != "" {
		usage += " (default: " + g.DefaultText + ")"
	}
	for _, variable := range variablesOf(f) {
		usage += " [$" + variable + "]"
	}
	t.add(label, usage)
}

// usageOf returns the usage of a flag, and the placeholder of its value in it; empty: it
// takes none.
func usageOf(f cli.Flag) (usage, placeholder string) {
	usage = f.(cli.DocGenerationFlag).GetUsage()
	before, rest, ok := strings.Cut(usage, "`")
	if !ok {
		return usage, ""
	}
	placeholder, after, _ := strings.Cut(rest, "`")
	return before + placeholder + after, placeholder
}

// writtenNames returns the names of a flag as they are written.
func writtenNames(f cli.Flag) (names []string) {
	for _, name := range f.Names() {
		names = append(names, dashed(name))
	}
	return names
}

// lines returns the table in columns.
func (t table) lines() (lines []string) {
	width := 0
	for _, row := range t {
		if len(row[0]) <= maxLabel {
			width = max(width, len(row[0]))
		}
	}
	for _, row := range t {
		label := row[0]
		if len(label) > width {
			lines, label = append(lines, label), ""
		}
		for _, text := range wrap(row[1], helpWidth-len("   ")-width-len("  ")) {
			lines = append(lines, fmt.Sprintf("%-*s  %s", width, label, text))
			label = ""
		}
	}
	return lines
}

// wrap breaks a text into lines of at most width bytes. A longer word has a line of
// its own.
func wrap(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	return append(lines, line)
}
