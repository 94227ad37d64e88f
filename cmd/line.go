package cmd

import (
	goflag "flag"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// parsedArgs is a command line split into flags and arguments.
type parsedArgs struct {
	flags  []givenFlag // in order, the same one perhaps several times
	words  []string    // the flags with their values, as they were given
	others []string
	help   bool // --help was given; then nothing else counts
}

// givenFlag is a known flag as the command line has it.
type givenFlag struct {
	cli.Flag
	name, value string // the spelling used; "" also for a switch alone
	hasValue    bool   // after "=" or, for a flag that takes one, as the next word
}

// A lastFlag is a switch after which nothing is a flag any more: what follows is
// text that a client sent. What stands before it is not meant as such.
type lastFlag struct {
	*cli.BoolFlag
	before int // most arguments that may stand before it
}

// split splits arguments into flags with their values and the others. It ends at
// "--", which it drops, after a lastFlag, and, if leading is set, before the first
// argument that is no flag. What begins with a dash and is no known flag is an
// error. So is a flag without its value.
func split(args []string, known []cli.Flag, leading bool) (p parsedArgs, err error) {
	for len(args) > 0 {
		switch arg := args[0]; {
		case arg == "--":
			return p.end(args[1:]), nil
		case len(arg) > 1 && arg[0] == '-':
			g, n, err := parseFlag(args, known)
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
				return p.end(withoutDashes(args)), nil
			}
		case leading:
			return p.end(args), nil
		default:
			p.others = append(p.others, arg)
			args = args[1:]
		}
	}
	return p, nil
}

// end takes what is left for arguments, whatever it looks like.
func (p parsedArgs) end(args []string) parsedArgs {
	p.others = append(p.others, args...)
	return p
}

func withoutDashes(args []string) []string {
	if len(args) > 0 && args[0] == "--" {
		return args[1:]
	}
	return args
}

// parseFlag reads the flag that args begin with, and returns how many of them
// are its own: two where its value is the next word, whatever that begins with.
func parseFlag(args []string, known []cli.Flag) (g givenFlag, n int, err error) {
	name, value, hasValue := strings.Cut(strings.TrimPrefix(args[0][1:], "-"), "=")
	if slices.Contains(cli.HelpFlag.Names(), name) {
		return givenFlag{Flag: cli.HelpFlag, name: name}, 1, nil
	}
	if name == "" || name[0] == '-' {
		return g, 0, usagef("bad flag syntax: write -name or --name, and =VALUE or VALUE after it")
	}
	i := slices.IndexFunc(known, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
	if i < 0 {
		return g, 0, usagef("flag provided but not defined: -%s", name)
	}
	g = givenFlag{known[i], name, value, hasValue}
	switch takes := takesValue(g.Flag); {
	case takes && !hasValue && len(args) > 1:
		g.value, g.hasValue = args[1], true
		return g, 2, nil
	case takes && !hasValue, !takes && hasValue && value == "":
		return g, 0, usagef("flag --%s: its value is missing", name)
	}
	return g, 1, nil
}

func takesValue(f cli.Flag) bool {
	takes, ok := f.(interface{ TakesValue() bool })
	return ok && takes.TakesValue()
}

// add notes a flag and the words that it was given in.
func (p *parsedArgs) add(g givenFlag, words []string) error {
	for _, before := range p.flags {
		if before.Flag == g.Flag && before.name != g.name {
			return usagef("two forms of the same flag: %s and %s; leave one out", before.name, g.name)
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

// run runs the command with these flags and arguments. The library, which reads
// the variables once more and repeats a bad value in its message, is not asked.
func (p parsedArgs) run(command *cli.Command) error {
	for _, g := range p.flags {
		if err := g.set(); err != nil {
			return usagef("flag --%s: %w", g.name, err)
		}
	}
	set := goflag.NewFlagSet(command.Name, goflag.ContinueOnError)
	if err := set.Parse(append([]string{"--"}, p.others...)); err != nil {
		return err
	}
	return command.Action(cli.NewContext(nil, set, nil))
}

// set gives the flag's value to what it is bound to.
func (g givenFlag) set() error {
	switch f := g.Flag.(type) {
	case *cli.GenericFlag:
		return f.Value.Set(g.value)
	case *cli.BoolFlag:
		return g.turn(f)
	case lastFlag:
		return g.turn(f.BoolFlag)
	}
	return errInternal
}

// turn turns a switch on, or to what follows "=".
func (g givenFlag) turn(f *cli.BoolFlag) error {
	if !g.hasValue {
		*f.Destination = true
		return nil
	}
	return boolean(f.Destination).Set(g.value)
}

// textFlag is the switch after which nothing is a flag any more. before is how many
// arguments may stand before it.
func textFlag(on *bool, before int, usage string) cli.Flag {
	return lastFlag{&cli.BoolFlag{Name: "text", Usage: usage, Destination: on}, before}
}
