// Package cmd is the command line of cgisession. Its rules:
//
//   - stdout belongs to the HTTP response. A verb prints header lines or values,
//     never both, once the change is stored; on an exit code other than 0 it
//     prints nothing. Messages go to stderr, one line each.
//   - What a client sent is data, never an error. What an operator or a script
//     got wrong is an error, with a message that says what to change.
//   - No message holds an id or a token.
//
// One file a verb; session.go has what they share: one request, from the cookie
// to the answer, and claim.go which session the request means.
package cmd

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"cgisession/store"
	"cgisession/store/file"
)

// Version is set by the linker.
var Version = "devel"

// A verb is one of the program's commands. It is made only when it is called
// for, or to be listed in the help.
type verb struct {
	name    string
	command func(*call) *cli.Command
	// wraps: the first argument begins another command, with flags of its own.
	wraps bool
}

func verbs() []verb {
	return []verb{
		{name: "load", command: loadCommand},
		{name: "get", command: getCommand},
		{name: "set", command: setCommand},
		{name: "unset", command: unsetCommand},
		{name: "pop", command: popCommand},
		{name: "incr", command: incrCommand},
		{name: "append", command: appendCommand},
		{name: "edit", command: editCommand, wraps: true},
		{name: "save", command: saveCommand},
		{name: "delete", command: deleteCommand},
		{name: "invalidate", command: invalidateCommand},
		{name: "regenerate", command: regenerateCommand},
		{name: "info", command: infoCommand},
		{name: "cookie", command: cookieCommand},
		{name: "lock", command: lockCommand, wraps: true},
		{name: "unlock", command: unlockCommand},
		{name: "lock-path", command: lockPathCommand},
		{name: "run", command: runCommand, wraps: true},
		{name: "csrf", command: csrfCommand},
		{name: "cleanup", command: cleanupCommand},
		{name: "list", command: listCommand},
		{name: "show", command: showCommand},
		{name: "destroy", command: destroyCommand},
		{name: "stats", command: statsCommand},
		{name: "doctor", command: doctorCommand},
		{name: "secret", command: secretCommand},
	}
}

// run finds the verb and runs it, and returns its name for messages.
func (c *call) run(args []string) (string, error) {
	args, rest := splitLine(args)
	leading, err := leadingFlags(args)
	if err != nil {
		return "", err
	}
	if len(leading.others) == 0 {
		return "", c.runNone(leading)
	}
	v, ok := findVerb(leading.others[0])
	if !ok {
		return "", usagef("no verb %q; cgisession --help lists them", leading.others[0])
	}
	command := v.command(c)
	p, err := split(append(leading.words, leading.others[1:]...), command.Flags, v.wraps)
	switch {
	case err != nil:
		return v.name, err
	case p.help:
		return v.name, c.app(command).Run([]string{args[0], v.name, "--help"})
	case len(p.others) <= rest:
		return v.name, errNoCommandInLine
	}
	return v.name, p.run(command)
}

// leadingFlags parts the flags before the verb from the rest.
func leadingFlags(args []string) (parsedArgs, error) {
	var known []cli.Flag
	if len(args) > 1 && strings.HasPrefix(args[1], "-") {
		known = allFlags()
	}
	return split(args[1:], known, true)
}

func findVerb(name string) (verb, bool) {
	for _, v := range verbs() {
		if v.name == name {
			return v, true
		}
	}
	return verb{}, false
}

// runNone prints the help or the version; without a verb all else is an error.
func (c *call) runNone(p parsedArgs) error {
	switch {
	case p.help:
		return c.app(c.commands()...).Run([]string{"cgisession", "--help"})
	case p.has(cli.VersionFlag):
		return c.app().Run([]string{"cgisession", "--version"})
	}
	return usagef("no verb; cgisession --help lists them")
}

// allFlags returns those of every verb, to tell which of them take a value.
func allFlags() []cli.Flag {
	flags := []cli.Flag{cli.VersionFlag}
	for _, command := range (&call{stdout: new(output)}).commands() {
		flags = append(flags, command.Flags...)
	}
	return flags
}

// app makes the program as the command-line library has it, to print the help or
// the version.
func (c *call) app(commands ...*cli.Command) *cli.App {
	return &cli.App{
		Name:            "cgisession",
		Usage:           "sessions for CGI scripts",
		UsageText:       "cgisession VERB [OPTION...] [ARGUMENT...]",
		Version:         Version,
		Compiled:        time.Unix(1, 0), // else the library looks at the program's file
		Commands:        commands,
		HideHelpCommand: true,
		Writer:          c.stdout,
		ErrWriter:       c.stderr,
		ExitErrHandler:  func(*cli.Context, error) {}, // else it ends the program
	}
}

// commands makes every command, to be listed.
func (c *call) commands() []*cli.Command {
	var all []*cli.Command
	for _, v := range verbs() {
		all = append(all, v.command(c))
	}
	return all
}

// command makes a verb's command: the library's types end here.
func command(name, arguments, usage string, flags []cli.Flag, run func(args []string) error) *cli.Command {
	return &cli.Command{
		Name:            name,
		Usage:           usage,
		ArgsUsage:       arguments,
		Flags:           flags,
		HideHelpCommand: true,
		Action:          func(x *cli.Context) error { return run(x.Args().Slice()) },
	}
}

// sessionCommand makes the command of a verb that works on the request's session.
func (c *call) sessionCommand(name, arguments, usage string, run func(args []string) error, flags ...cli.Flag) *cli.Command {
	return command(name, arguments, usage, append(flags, c.sessionFlags()...), func(args []string) error {
		if err := c.prepare(); err != nil {
			return err
		}
		return run(args)
	})
}

// headerCommand makes the command of a verb that prints header lines.
func (c *call) headerCommand(name, arguments, usage string, run func(args []string) (*result, error), flags ...cli.Flag) *cli.Command {
	var sh bool
	return c.sessionCommand(name, arguments, usage, func(args []string) error {
		r, err := run(args)
		if err == nil && r != nil {
			c.printHeaders(r, sh)
		}
		return err
	}, append(flags, shFlag(&sh))...)
}

func shFlag(on *bool) cli.Flag {
	return &cli.BoolFlag{Name: "sh", Usage: "print shell code for eval, which prints the header lines and exports the session", Destination: on}
}

// prepare reads the environment, finds the store and reads the request.
func (c *call) prepare() (err error) {
	if err = file.CheckDescriptors(); err != nil {
		return fmt.Errorf("descriptors: %w", err)
	}
	if err = c.findStore(); err != nil {
		return err
	}
	if err = c.readRequest(); err != nil {
		return err
	}
	return c.store.CheckLock()
}

// readRequest reads what the request names its session by, and the keys, and checks
// them.
func (c *call) readRequest() (err error) {
	if err = c.id.check("id"); err != nil {
		return err
	}
	if c.adoptID != "" && !store.ValidID(c.adoptID) {
		return usagef("--adopt-id must be %d to %d characters A-Z a-z 0-9 _ -", store.MinID, store.MaxID)
	}
	if c.keys, err = readKeys(c.secretFile, os.LookupEnv); err != nil {
		return err
	}
	if err = c.checkCookie(); err != nil {
		return err
	}
	c.logInherited()
	return nil
}

// findStore reads the environment and finds the store, for an operator's verb as
// the owner of the data directory.
func (c *call) findStore() (err error) {
	if c.badVariable != nil {
		return c.badVariable
	}
	if err = c.readEnvironment(); err != nil {
		return err
	}
	if err = c.becomeOwner(); err == nil {
		c.store, err = c.open(c.env, c.log)
	}
	return err
}

// checkCookie refuses a cookie that no browser would keep, before anything is
// changed.
func (c *call) checkCookie() error {
	sample := &result{token: c.token(strings.Repeat("a", store.MaxID))}
	return c.addCookie(sample, true)
}

// noArguments refuses arguments where a verb has none. They are not repeated,
// for they may be ids.
func noArguments(args []string) error {
	if len(args) > 0 {
		return usagef("unexpected argument: this verb takes none")
	}
	return nil
}

// someArguments wants at least one argument.
func someArguments(args []string, what string) error {
	if len(args) == 0 {
		return usagef("%s missing", what)
	}
	return nil
}
