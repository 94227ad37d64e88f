package cmd

// This file parses the command line. app.go says why the library does not.

import (
	goflag "flag"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

// parsedArgs is a command line split into flags and arguments.
type parsedArgs struct {
	flags  []givenFlag // in order; a flag may be given several times
	words  []string    // the flags and their values, as they were given
	others []string    // the arguments
	help   bool        // --help was given; what follows it is not parsed
	dashes bool        // "--" was given
}

// givenFlag is a known flag that stands on the command line.
type givenFlag struct {
	cli.Flag
	name, value string // the spelling used; the value is "" for a switch without one
	hasValue    bool   // by "=", or as the next word if the flag takes a value
	after       int    // how many arguments stand before it
}

// A lastFlag is a switch that ends the flags. All that follows is an argument, even
// if it looks like a flag, since a client may have sent it.
type lastFlag struct {
	*cli.BoolFlag
	before int  // at most so many arguments may stand before it
	from   *int // so many do
	after  int  // at least so many must follow it
}

// arguments returns the arguments after the flag, less a "--" right after it. If too few
// follow without the "--", it is one of them: a client may have sent it.
func (f lastFlag) arguments(args []string) []string {
	if len(args) > f.after && args[0] == "--" {
		return args[1:]
	}
	return args
}

// literal says which arguments a verb takes literally: those after --text.
type literal struct {
	on   bool
	from int // how many arguments stand before them
}

// flag returns the lastFlag --text. At most before arguments may stand before it, and at
// least after must follow.
func (l *literal) flag(before, after int, usage string) cli.Flag {
	return lastFlag{&cli.BoolFlag{Name: "text", Usage: usage, Destination: &l.on}, before, &l.from, after}
}

// keyFlag returns --text for a verb whose arguments are all keys.
func (l *literal) keyFlag() cli.Flag {
	return l.flag(0, 1, "all arguments after it are keys, taken literally: no flags, no JSON Pointers")
}

// keys returns the keys that the arguments name. After --text each names a member of
// the data, byte for byte.
func (l *literal) keys(args []string) []string {
	keys := slices.Clone(args)
	for i := l.from; l.on && i < len(keys); i++ {
		keys[i] = store.MemberKey(keys[i])
	}
	return keys
}

// split splits a command line into flags with their values and arguments. Flags may
// stand between arguments. They end at "--", which is dropped, after a lastFlag,
// and, if leading is set, before the first argument. An unknown flag is an error,
// and so is a flag without its value. A dash alone is an argument.
func split(args []string, known []cli.Flag, leading bool) (p parsedArgs, err error) {
	for len(args) > 0 {
		switch arg := args[0]; {
		case arg == "--":
			p.dashes = true
			return p.addRest(args[1:]), nil
		case len(arg) > 1 && arg[0] == '-':
			g, n, err := parseFlag(args, known)
			g.after = len(p.others)
			if err == nil {
				err = p.add(g, args[:n])
			}
			if err != nil || p.help {
				return p, err
			}
			args = args[n:]
			if f, last := g.Flag.(lastFlag); last {
				if len(p.others) > f.before {
					return p, usagef("flag --%s: it changes how arguments are read; write it before them", g.name)
				}
				return p.addRest(f.arguments(args)), nil
			}
		case leading:
			return p.addRest(args), nil
		default:
			p.others = append(p.others, arg)
			args = args[1:]
		}
	}
	return p, nil
}

// addRest adds the rest of the line as arguments, even those that look like flags.
func (p parsedArgs) addRest(args []string) parsedArgs {
	p.others = append(p.others, args...)
	return p
}

// parseFlag parses the flag at the beginning of args. n is how many of them it
// takes: 2 if its value is the next word, whatever that word begins with, else 1.
func parseFlag(args []string, known []cli.Flag) (g givenFlag, n int, err error) {
	name, value, hasValue := strings.Cut(strings.TrimPrefix(args[0][1:], "-"), "=")
	if slices.Contains(cli.HelpFlag.Names(), name) {
		return givenFlag{Flag: cli.HelpFlag, name: name}, 1, nil
	}
	if name == "" || name[0] == '-' {
		return g, 0, usagef("bad flag syntax: write --NAME, and =VALUE or VALUE after it")
	}
	i := slices.IndexFunc(known, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
	if i < 0 {
		return g, 0, unknownFlag(name, known)
	}
	g = givenFlag{Flag: known[i], name: name, value: value, hasValue: hasValue}
	switch takes := takesValue(g.Flag); {
	case takes && !hasValue && len(args) > 1:
		g.value, g.hasValue = args[1], true
		return g, 2, nil
	case takes && !hasValue, !takes && hasValue && value == "":
		return g, 0, usagef("flag --%s: its value is missing", name)
	}
	return g, 1, nil
}

// unknownFlag returns the error for a flag that is not among the known ones.
func unknownFlag(name string, known []cli.Flag) error {
	names := cli.HelpFlag.Names()
	for _, f := range shownFlags(known) {
		names = append(names, f.Names()...)
	}
	if near := nearest(name, names); near != "" {
		return usagef("flag provided but not defined; did you mean %s?", dashed(near))
	}
	return usagef("flag provided but not defined: %s", dashed(name))
}

// dashed returns a flag's name as it is written on a command line.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

func takesValue(f cli.Flag) bool {
	takes, ok := f.(interface{ TakesValue() bool })
	return ok && takes.TakesValue()
}

// add adds a flag and its words. Two spellings of one flag are an error.
func (p *parsedArgs) add(g givenFlag, words []string) error {
	for _, before := range p.flags {
		if before.Flag == g.Flag && before.name != g.name {
			return usagef("two forms of the same flag: %s and %s; leave one out", dashed(before.name), dashed(g.name))
		}
	}
	p.flags = append(p.flags, g)
	p.words = append(p.words, words...)
	p.help = g.Flag == cli.HelpFlag
	return nil
}

func (p parsedArgs) has(f cli.Flag) bool {
	return slices.ContainsFunc(p.flags, func(g givenFlag) bool { return g.Flag == f })
}

// run runs the command's action with the arguments. The library's own Run would parse
// the flags again, read the variables again, and repeat a bad value in its message.
func (p parsedArgs) run(command *cli.Command) error {
	set := goflag.NewFlagSet(command.Name, goflag.ContinueOnError)
	if err := set.Parse(append([]string{"--"}, p.others...)); err != nil {
		return err
	}
	return command.Action(cli.NewContext(nil, set, nil))
}

// set sets the variable that the flag is bound to.
func (g givenFlag) set() error {
	switch f := g.Flag.(type) {
	case *cli.GenericFlag:
		return f.Value.Set(g.value)
	case *cli.BoolFlag:
		return g.turn(f)
	case lastFlag:
		*f.from = g.after
		return g.turn(f.BoolFlag)
	}
	return errInternal
}

// turn sets a switch to the value after "=", or to true without one.
func (g givenFlag) turn(f *cli.BoolFlag) error {
	if !g.hasValue {
		*f.Destination = true
		return nil
	}
	return boolean(f.Destination).Set(g.value)
}

// splitLine splits the first argument at blanks if it begins with run and a blank:
// then it is the rest of a "#!" line, which Linux passes as one argument (execve(2)).
// rest is the number of arguments after it: the script's path and the script's
// arguments, which may come from a client. rest is -1 if the first argument is not
// from such a line.
func splitLine(args []string) (words []string, rest int) {
	if len(args) < 2 || !strings.HasPrefix(args[1], "run ") && !strings.HasPrefix(args[1], "run\t") {
		return args, -1
	}
	line := strings.FieldsFunc(args[1], func(r rune) bool { return strings.ContainsRune(blanks, r) })
	return slices.Concat(args[:1], line, args[2:]), len(args) - 2
}

// errNoCommandInLine is the error for a "#!" line without COMMAND. If such a line
// were allowed, an option without its value would take the script's path as the
// value, and a client's words would become COMMAND.
var errNoCommandInLine = usagef("COMMAND missing in the #! line: write it there, " +
	"as in #!/usr/local/bin/cgisession run sh")
