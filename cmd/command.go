package cmd

// This file builds the verbs' commands.

import (
	"github.com/urfave/cli/v2"
)

// An action runs a verb with its arguments.
type action func(args []string) error

// command returns a verb's command. No function that it calls knows the library's
// context.
func command(name, arguments, usage string, flags []cli.Flag, run action) *cli.Command {
	return &cli.Command{
		Name:      name,
		Usage:     usage,
		ArgsUsage: arguments,
		Flags:     flags,
		Action:    func(x *cli.Context) error { return run(x.Args().Slice()) },
	}
}

// sessionCommand returns the command of a verb that works on the request's session.
// The verb runs once the request and the store are prepared.
func (c *call) sessionCommand(name, arguments, usage string, run action, flags ...cli.Flag) *cli.Command {
	return command(name, arguments, usage, append(flags, c.sessionFlags()...), func(args []string) error {
		if err := c.prepare(); err != nil {
			return err
		}
		return run(args)
	})
}

// valueCommand returns the command of a verb that changes the session's data and
// prints a value, with a line feed, once the change is stored.
func (c *call) valueCommand(
	name, arguments, usage string, run func(args []string) (string, error), flags ...cli.Flag,
) *cli.Command {
	return c.sessionCommand(name, arguments, usage, func(args []string) error {
		value, err := run(args)
		if err == nil {
			c.stdout.print(value + "\n")
		}
		return err
	}, flags...)
}

// headerCommand returns the command of a verb that prints a result: header lines, or
// with --sh or --json what tells the script of its session too.
func (c *call) headerCommand(
	name, arguments, usage string, run func(args []string) (*result, error), flags ...cli.Flag,
) *cli.Command {
	return c.sessionCommand(name, arguments, usage, func(args []string) error {
		if c.answer.sh && c.answer.json {
			return usagef("--sh and --json exclude each other")
		}
		c.untold = !c.useCookies && c.answer == answer{}
		r, err := run(args)
		if err == nil {
			c.printResult(r)
		}
		return err
	}, append(flags,
		switchFlag("sh", "print shell code for eval, which prints the header lines and exports the session",
			&c.answer.sh),
		switchFlag("json", "print the header lines, the session, its data and the variables to export "+
			"as one JSON object", &c.answer.json))...)
}

// switchFlag returns a flag without a value, which sets *on.
func switchFlag(name, usage string, on *bool) cli.Flag {
	return &cli.BoolFlag{Name: name, Usage: usage, Destination: on}
}

// valueFlag returns a flag whose value sets v.
func valueFlag(name, usage string, v *value) cli.Flag {
	return &cli.GenericFlag{Name: name, Usage: usage, Value: v}
}

// ifExistsFlag returns the option of the verbs that change a session.
func ifExistsFlag(on *bool) cli.Flag {
	return switchFlag("if-exists", "change the session only if it is there, else exit 1", on)
}

// operatorCommand returns the command of a verb for operators and cron. Called by
// root, it first becomes the owner of the data directory. A walk through all sessions
// shows its progress on a terminal.
func (c *call) operatorCommand(name, arguments, usage string, run action, flags ...cli.Flag) *cli.Command {
	return command(name, arguments, usage, append(flags, c.storeFlags()...), func(args []string) error {
		return c.operate(func() error { return run(args) })
	})
}

// noArguments returns an error if there are arguments. Its message does not repeat
// them: they may be ids.
func noArguments(args []string) error {
	if len(args) > 0 {
		return usagef("unexpected argument: this verb takes none")
	}
	return nil
}

// someArguments returns an error if there are no arguments. what is the name of the
// missing one.
func someArguments(args []string, what string) error {
	if len(args) == 0 {
		return usagef("%s missing", what)
	}
	return nil
}

func oneKey(args []string) (string, error) {
	if len(args) != 1 {
		return "", usagef("%d arguments; one KEY is wanted", len(args))
	}
	return args[0], nil
}
