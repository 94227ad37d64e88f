// Package cmd is the command line of cgisession. Its rules:
//
//   - stdout belongs to the HTTP response. A verb prints header lines or values,
//     never both, once the change is stored; on an exit code other than 0 it
//     prints nothing. The exceptions print all the same: a COMMAND; doctor, whose
//     findings are the reason for its exit code; and list, which prints as it
//     reads: if it fails midway, the lines before that stay, and its message says
//     how many they are. Messages go to stderr, one line each.
//   - What a client sent is data, never an error. What an operator or a script
//     got wrong is an error, with a message that says what to change.
//   - No message holds an id or a token.
//
// Each verb has a file of its own. What the verbs share:
//
//   - the command line and other input: line.go, command.go, options.go, binding.go,
//     config_file.go, config_parse.go, variables.go, suggest.go, token.go, keys.go, input.go, safefile.go;
//   - the help: help.go prints it, and has the verbs help and version; guide.go has its
//     texts, and package manual the pages of the manual; completion.go and
//     completion_*.go print what shells complete;
//   - the request: opening.go, request.go, served.go, claim.go, and session.go,
//     which has the whole of it, from the cookie to the answer;
//   - commands that are run: child.go, interpreter.go, run_env.go, descriptor.go;
//   - the id that a session gets next: newid.go;
//   - what is printed: output.go, export.go, shell.go, json.go, message.go, log.go,
//     progress.go, exit.go;
//   - the stores: redis.go, or in a build without it noredis.go, which executes the
//     program that has it; larger.go ties the two together;
//   - operators: config.go, advice.go, owner.go, cleanup_all.go, place.go, user.go, and
//     ended.go, which ends sessions, also for invalidate --everywhere;
//   - what differs between Linux and other systems: kin.go, kin_*.go, sys_*.go.
//
// The library urfave/cli describes the verbs and their flags. help.go prints the help,
// and line.go parses the command line, because the library
//
//   - treats every flag after the first argument as an argument;
//   - repeats a bad value in its message, and the value may be an id;
//   - prints the help by templates, which make every call slower (help.go);
//   - costs 6 µs for each registered flag: 0.2 ms for the 30 of load, where line.go
//     takes 2 µs in all and a whole call 1.3 ms (App.Run in fresh processes, median
//     of 25, on two cores of a virtual machine; BenchmarkLine repeats it, warm).
package cmd

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"cgisession/cgi"
	"cgisession/store"
)

// Version is set by the linker.
var Version = "devel"

// Run runs the program and returns its exit code. args are its arguments, its own
// name first.
func Run(args []string) (code int) {
	var out output
	c := &call{options: defaults(), stdout: &out, messages: messages{stderr: stderr()}}
	defer func() {
		if p := recover(); p != nil {
			code = c.report("", fmt.Errorf("%w: %v", errInternal, p))
		}
	}()
	if err := checkUsual(args[0]); err != nil {
		return c.report("", err)
	}
	if served(cgi.ReadScript(os.LookupEnv), args[0], args[1:]) {
		io.WriteString(os.Stdout, "Status: 500 Internal Server Error\nContent-Type: text/plain\n\n"+
			"This program is no CGI script.\n")
		return c.report("", fmt.Errorf("called by a web server as a CGI script, "+
			"or with the query string as arguments: %w: move it out of the script directory", store.ErrConfig))
	}
	name, err := run(c, args)
	if err == nil {
		err = out.flush()
	}
	return c.report(name, err)
}

// A verb is one of the program's commands. Its cli.Command is built only to run the
// verb or to print the help.
type verb struct {
	name    string
	command func(*call) *cli.Command
	wraps   bool // the first argument begins another command, with flags of its own
	lenient bool // it works with unknown variables too
	hint    hint // when it says that the request has no session
}

func verbs() []verb {
	return []verb{
		{name: "load", command: loadCommand},
		{name: "get", command: getCommand, hint: onTerminal},
		{name: "set", command: setCommand},
		{name: "unset", command: unsetCommand},
		{name: "pop", command: popCommand, hint: always},
		{name: "incr", command: incrCommand, hint: always},
		{name: "append", command: appendCommand, hint: always},
		{name: "edit", command: editCommand, wraps: true, hint: always},
		{name: "save", command: saveCommand},
		{name: "delete", command: deleteCommand},
		{name: "invalidate", command: invalidateCommand},
		{name: "regenerate", command: regenerateCommand},
		{name: "info", command: infoCommand, hint: onTerminal},
		{name: "cookie", command: cookieCommand, hint: onTerminal},
		{name: "lock", command: lockCommand, wraps: true, hint: always},
		{name: "unlock", command: unlockCommand},
		{name: "lock-path", command: lockPathCommand, hint: always},
		{name: "run", command: runCommand, wraps: true},
		{name: "csrf", command: csrfCommand, hint: always},
		{name: "cleanup", command: cleanupCommand},
		{name: "list", command: listCommand},
		{name: "show", command: showCommand},
		{name: "destroy", command: destroyCommand, hint: always},
		{name: "stats", command: statsCommand},
		{name: "doctor", command: doctorCommand, lenient: true},
		{name: "config", command: configCommand},
		{name: "secret", command: secretCommand, lenient: true},
		{name: "completion", command: completionCommand, lenient: true},
		{name: "help", command: helpCommand, lenient: true},
		{name: "version", command: versionCommand, lenient: true},
	}
}

// run finds the verb, runs it, and returns its name for messages.
func run(c *call, args []string) (string, error) {
	args, rest := splitLine(args)
	leading, err := leadingFlags(args)
	if err != nil {
		return "", err
	}
	if len(leading.others) == 0 {
		return "", runNone(c, leading)
	}
	v, ok := findVerb(leading.others[0])
	if !ok {
		return "", errNoSuch("verb", leading.others[0])
	}
	command := v.command(c)
	p, err := split(append(leading.words, leading.others[1:]...), command.Flags, v.wraps)
	switch {
	case err != nil:
		return v.name, err
	case p.help:
		c.stdout.print(verbHelp(command))
		return v.name, nil
	case len(p.others) <= rest:
		return v.name, errNoCommandInLine
	}
	if !v.lenient {
		if err := checkVariables(command.Flags); err != nil {
			return v.name, err
		}
	}
	c.dashes = p.dashes
	if err := c.settle(p.flags); err != nil {
		return v.name, err
	}
	return v.name, v.hint.apply(p.run(command))
}

// leadingFlags splits the flags before the verb from the rest.
func leadingFlags(args []string) (parsedArgs, error) {
	var known []cli.Flag
	if len(args) > 1 && strings.HasPrefix(args[1], "-") {
		known = allFlags()
	}
	return split(args[1:], known, true)
}

// findVerb returns the verb of that name.
func findVerb(name string) (v verb, ok bool) {
	all := verbs()
	i := slices.IndexFunc(all, func(v verb) bool { return v.name == name })
	if i < 0 {
		return verb{}, false
	}
	return all[i], true
}

// errNoSuch returns the error for an unknown name of a verb or of something else, whose
// names are others. It suggests the one that is close.
func errNoSuch(kind, name string, others ...string) error {
	names := others
	for _, v := range verbs() {
		names = append(names, v.name)
	}
	if near := nearest(name, names); near != "" {
		return usagef("no such %s; did you mean %s?", kind, near)
	}
	return usagef("no %s %q; cgisession --help lists them", kind, name)
}

// runNone runs a call without a verb: it prints the help or the version, or fails.
func runNone(c *call, p parsedArgs) error {
	switch {
	case p.help:
		c.stdout.print(programHelp(c))
	case p.has(cli.VersionFlag):
		c.stdout.print(versionText())
	case len(p.flags) > 0:
		return usagef("the verb is missing; cgisession --help lists them")
	default:
		return usagef("no verb; cgisession --help lists them")
	}
	return nil
}

// allFlags returns the flags of all verbs. Each says whether it takes a value.
func allFlags() []cli.Flag {
	flags := []cli.Flag{cli.VersionFlag}
	for _, command := range commands(&call{stdout: new(output)}) {
		flags = append(flags, command.Flags...)
	}
	return flags
}

// commands returns the commands of all verbs, for the help.
func commands(c *call) []*cli.Command {
	var all []*cli.Command
	for _, v := range verbs() {
		all = append(all, v.command(c))
	}
	return all
}
