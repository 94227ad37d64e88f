package cmd

// This file prints completions for shells: what a press of the tab key offers. They come
// from the tables that the help comes from, and are text alone: while it completes, a
// shell does not call the program.

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"cgisession/cmd/manual"
)

func completionCommand(c *call) *cli.Command {
	return command("completion", "SHELL", "print the completions for bash, zsh or fish", nil,
		func(args []string) error {
			if len(args) != 1 {
				return usagef("%d arguments; one SHELL is wanted: bash, zsh or fish", len(args))
			}
			print, known := map[string]func(completions) string{"bash": bash, "zsh": zsh, "fish": fish}[args[0]]
			if !known {
				return usagef("no such SHELL; it must be bash, zsh or fish")
			}
			c.stdout.print(print(completionsOf(c)))
			return nil
		})
}

// completions are what shells offer.
type completions []completedVerb

// A completedVerb is a verb with the options that its help shows.
type completedVerb struct {
	name, about string
	wraps       bool     // the first argument begins another command
	words       []string // the first argument is one of these
	options     []completedOption
}

// A completedOption is an option of one verb or more.
type completedOption struct {
	names []string // as they are written: --help, -h
	about string
	last  bool // all that follows it is arguments

	takes string   // the placeholder of its value; empty: it takes none
	words []string // what the value may be; nil: anything
}

// isFile and isDirectory report whether the value is a path.
func (o completedOption) isFile() bool      { return o.takes == "FILE" }
func (o completedOption) isDirectory() bool { return o.takes == "DIR" }

func completionsOf(c *call) (all completions) {
	arguments := map[string][]string{"completion": {"bash", "zsh", "fish"}, "help": helpTopics()}
	for _, v := range verbs() {
		command := v.command(c)
		own, common := shownOptions(command)
		one := completedVerb{name: v.name, about: command.Usage, wraps: v.wraps, words: arguments[v.name]}
		for _, f := range slices.Concat(own, common) {
			one.options = append(one.options, completedOptionOf(f))
		}
		all = append(all, one)
	}
	return all
}

// helpTopics returns what help has a text on.
func helpTopics() (topics []string) {
	for _, v := range verbs() {
		topics = append(topics, v.name)
	}
	for _, p := range manual.Pages() {
		topics = append(topics, p.Topic())
	}
	return topics
}

func completedOptionOf(f cli.Flag) completedOption {
	o := completedOption{names: writtenNames(f)}
	o.about, o.takes = usageOf(f)
	_, o.last = f.(lastFlag)
	if g, ok := f.(*cli.GenericFlag); ok {
		if v, ok := g.Value.(*value); ok {
			o.words = v.words
		}
	}
	return o
}

// programOptions returns the options that need no verb.
func programOptions() []completedOption {
	return []completedOption{completedOptionOf(cli.HelpFlag), completedOptionOf(cli.VersionFlag)}
}

// namesOf returns the names of options, as words on a line.
func namesOf(options []completedOption) string {
	var names []string
	for _, o := range options {
		names = append(names, o.names...)
	}
	return strings.Join(names, " ")
}

// optionNames returns the names, each once, of the options that are as wanted.
func (all completions) optionNames(wanted func(completedOption) bool) (names []string) {
	for _, v := range all {
		for _, o := range v.options {
			if wanted(o) {
				names = append(names, o.names...)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// withValue returns the names of the options that take a value, and last those of the
// options after which all is arguments.
func (all completions) withValue() []string {
	return all.optionNames(func(o completedOption) bool { return o.takes != "" })
}

func (all completions) last() []string {
	return all.optionNames(func(o completedOption) bool { return o.last })
}

// verbNames returns the names of the verbs that are as wanted.
func (all completions) verbNames(wanted func(completedVerb) bool) (names []string) {
	for _, v := range all {
		if wanted(v) {
			names = append(names, v.name)
		}
	}
	return names
}

func (all completions) wrapping() []string {
	return all.verbNames(func(v completedVerb) bool { return v.wraps })
}

// commonOption is an option, and the verbs that have exactly it.
type commonOption struct {
	completedOption
	verbs []string
}

// byOption returns each option once, with its verbs.
func (all completions) byOption() (options []commonOption) {
	at := make(map[string]int)
	for _, v := range all {
		for _, o := range v.options {
			key := strings.Join(append(o.names, o.about, o.takes), "\n")
			i, seen := at[key]
			if !seen {
				i = len(options)
				at[key] = i
				options = append(options, commonOption{completedOption: o})
			}
			options[i].verbs = append(options[i].verbs, v.name)
		}
	}
	return options
}
