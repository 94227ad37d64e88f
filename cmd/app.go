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
// to the answer.
package cmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/urfave/cli/v2"

	"cgisession/cgi"
	"cgisession/store"
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

// Run runs the program with its arguments, its own name first, and returns what
// it exits with.
func Run(args []string) (code int) {
	defer func() {
		if p := recover(); p != nil {
			code = report("", fmt.Errorf("%w: %v", errInternal, p))
		}
	}()
	if servedAsScript(args[0], os.Getenv("SCRIPT_FILENAME")) {
		io.WriteString(os.Stdout, "Status: 500 Internal Server Error\nContent-Type: text/plain\n\nThis program is no CGI script.\n")
		return report("", fmt.Errorf("called by the web server as a CGI script: %w: move it out of the script directory", store.ErrConfig))
	}
	var out output
	c := &call{options: defaults(), stdin: os.Stdin, stdout: &out, stderr: os.Stderr}
	name, err := c.run(args)
	if err == nil {
		err = out.flush()
	}
	return report(name, err)
}

// servedAsScript reports whether the web server took the program itself for the
// script, which would make arguments of the query string (RFC 3875, section 4.4).
func servedAsScript(program, script string) bool {
	return script != "" && filepath.Base(script) == filepath.Base(program)
}

// report says on stderr what went wrong, in one line, and returns the exit code.
func report(verb string, err error) int {
	code := exitCode(err)
	if err != nil && !silent(err) {
		if verb != "" {
			verb += ": "
		}
		fmt.Fprintf(os.Stderr, "cgisession: %s%s\n", verb, printable(err.Error()))
	}
	return code
}

// printable escapes what would end the line or steer a terminal.
func printable(message string) string {
	var line strings.Builder
	for _, r := range message {
		if quoted := strconv.QuoteRune(r); unicode.IsPrint(r) {
			line.WriteRune(r)
		} else {
			line.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return line.String()
}

// silent reports whether err is an answer that only the exit code gives.
func silent(err error) bool {
	child := childExit{}
	return errors.Is(err, errNo) || errors.As(err, &child)
}

// run finds the verb, hands the arguments to the command-line library in the
// order that it wants, and returns the verb's name for messages.
func (c *call) run(args []string) (string, error) {
	leading, rest, err := split(args[1:], c.sessionFlags(), true)
	if err != nil {
		return "", err
	}
	app := &cli.App{
		Name:            "cgisession",
		Usage:           "sessions for CGI scripts",
		UsageText:       "cgisession VERB [OPTION...] [ARGUMENT...]",
		Version:         Version,
		Compiled:        time.Unix(1, 0), // else the library looks at the program's file
		HideHelpCommand: true,
		Writer:          c.stdout,
		ErrWriter:       c.stderr,
		ExitErrHandler:  func(*cli.Context, error) {},
		OnUsageError:    usageFailed,
		Action: func(*cli.Context) error {
			return usagef("no verb; cgisession --help lists them")
		},
	}
	if len(rest) == 0 {
		app.Commands = c.commands()
		return "", app.Run(append(args[:1:1], leading...))
	}
	for _, v := range verbs() {
		if v.name == rest[0] {
			command := v.command(c)
			app.Commands = []*cli.Command{command}
			flags, arguments, err := split(append(leading, rest[1:]...), command.Flags, v.wraps)
			if err != nil {
				return v.name, err
			}
			line := append([]string{args[0], v.name}, flags...)
			return v.name, app.Run(append(append(line, "--"), arguments...))
		}
	}
	return "", usagef("no verb %q; cgisession --help lists them", rest[0])
}

// split parts arguments into flags with their values and the others. It ends at
// "--", which it drops, and, if leading is set, before the first argument that
// is neither. A word that begins with a dash and is no known flag stays among
// the flags, where it is an error. A flag without its value is one here. Where
// help is asked for, that is all that counts.
func split(args []string, known []cli.Flag, leading bool) (flags, others []string, err error) {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			return flags, append(others, args[i+1:]...), nil
		case len(arg) > 1 && arg[0] == '-':
			flags = append(flags, arg)
			name := strings.TrimLeft(arg, "-")
			if slices.Contains(cli.HelpFlag.Names(), name) {
				return []string{arg}, nil, nil
			}
			if takesValue(known, name) {
				if i++; i == len(args) {
					return nil, nil, usagef("flag %s: its value is missing", arg)
				}
				flags = append(flags, args[i])
			}
		case leading:
			return flags, args[i:], nil
		default:
			others = append(others, arg)
		}
	}
	return flags, others, nil
}

// takesValue reports whether the flag of this name is followed by its value.
func takesValue(flags []cli.Flag, name string) bool {
	for _, f := range flags {
		for _, own := range f.Names() {
			if own == name {
				takes, ok := f.(interface{ TakesValue() bool })
				return ok && takes.TakesValue()
			}
		}
	}
	return false
}

func usageFailed(_ *cli.Context, err error, _ bool) error { return usageError{err} }

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
		OnUsageError:    usageFailed,
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
			printHeaders(c.stdout, r, sh)
		}
		return err
	}, append(flags, shFlag(&sh))...)
}

func shFlag(on *bool) cli.Flag {
	return &cli.BoolFlag{Name: "sh", Usage: "print shell code for eval, which prints the header lines and exports the session", Destination: on}
}

// prepare reads the environment and the keys and finds the store.
func (c *call) prepare() (err error) {
	if err = c.findStore(); err != nil {
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
	return c.file.CheckLockFD()
}

// findStore reads the environment and finds the store.
func (c *call) findStore() (err error) {
	if c.env, err = cgi.Read(os.LookupEnv); err != nil {
		return usageError{err}
	}
	if c.file, err = c.open(c.env, c.log); err != nil {
		return err
	}
	c.store = c.file
	return nil
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
