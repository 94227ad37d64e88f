package cmd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"cgisession/store"
)

// maxVariable bounds what one variable may hold, in bytes: Linux refuses to run a
// command with one over 128 KiB, its name counted (execve(2)).
const maxVariable = 120 << 10

func runCommand(c *call) *cli.Command {
	var prefix string
	var data, locked bool
	p := policy{create: true, replace: true, slide: true}
	return c.sessionCommand("run", "COMMAND...", "load the session, print the header lines and run a script with the session in its environment", func(args []string) error {
		if err := someArguments(args, "COMMAND"); err != nil {
			return err
		}
		path, err := lookCommand(args)
		if err != nil {
			return err
		}
		outer, err := c.outerVariables(prefix)
		if err != nil {
			return err
		}
		r, err := c.load(p)
		if err != nil {
			return err
		}
		// exec keeps the process, and where this program stays it is the parent.
		settings := append(r.exports(), c.requestSetting(os.Getpid()))
		var held store.Lock
		if locked {
			if held, err = c.holdLoaded(r); err != nil {
				return err
			}
			settings = append(settings, lockSetting(held))
		}
		if data {
			settings = append(settings, setting{"CGISESSION_DATA", string(r.session.Data)})
		}
		if prefix != "" {
			settings = append(settings, c.dataVariables(prefix, r.session.Data, outer)...)
		}
		c.printHeaders(r, false)
		return c.exec(path, args, settings, outer, held)
	},
		&cli.BoolFlag{Name: "lock", Usage: "keep the session locked until the command ends", Destination: &locked},
		&cli.BoolFlag{Name: "data", Usage: "give the command the data as CGISESSION_DATA", Destination: &data},
		&cli.GenericFlag{Name: "env", Usage: "give the command a variable, named with `PREFIX`, for each string, number or boolean", Value: parsed(&prefix, parsePrefix)})
}

// holdLoaded takes the lock of the session that was loaded, and brings the
// session up to what it is under the lock.
func (c *call) holdLoaded(r *result) (store.Lock, error) {
	held, err := c.store.Hold(r.session.Handle, false)
	if err == nil {
		if r.session, err = c.store.Read(r.session.Handle, store.Peek); err != nil {
			release(held)
		}
	}
	if absent(err) {
		err = errGone
	}
	return held, err
}

// exec prints what there is to print and becomes the command, or, where a lock
// has to be renewed, its parent. The command gets the settings, and not the
// variables that are named in without.
func (c *call) exec(path string, args []string, settings []setting, without []string, held store.Lock) error {
	env := c.environment(settings, without)
	err := checkSizes(settings, args, env)
	if err == nil {
		err = c.stdout.flush()
	}
	switch {
	case err != nil:
		release(held)
		return err
	case held.Lease != nil:
		return c.runLeased(path, args, env, held.Lease)
	}
	err = unix.Exec(path, args, env)
	if err == unix.ENOEXEC && isText(path) {
		err = unix.Exec(shell, shellArgs(path, args), env)
	}
	return commandError{args[0], err}
}

// checkSizes reports what execve(2) would refuse once the header lines are out:
// too long a variable, or too much in all, which Linux bounds by a quarter of the
// stack's limit, between 128 KiB and 6 MiB.
func checkSizes(settings []setting, args, env []string) error {
	for _, s := range settings {
		if len(s.value) > maxVariable {
			return fmt.Errorf("variable %s of %d bytes: %w: at most %d in one; use get instead", s.name, len(s.value), errVariable, maxVariable)
		}
	}
	const pointer = 8
	total := page // for what else is there
	for _, text := range slices.Concat(args, env) {
		total += len(text) + 1 + pointer
	}
	if most := mostArguments(); total > most {
		return fmt.Errorf("arguments and variables of %d bytes: %w: at most %d in all; use get instead", total, errVariable, most)
	}
	return nil
}

const page = 4096

func mostArguments() int {
	var stack unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_STACK, &stack) != nil {
		return 128 << 10
	}
	return int(max(128<<10, min(uint64(stack.Cur)/4, 6<<20)))
}

// environment returns the program's own without what another request exported and
// the variables that are named in without, and with the settings in place of what it
// had under their names.
func (c *call) environment(settings []setting, without []string) []string {
	var env []string
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		gone := slices.Contains(c.inherited, name) || slices.Contains(without, name)
		if !gone && !slices.ContainsFunc(settings, func(s setting) bool { return s.name == name }) {
			env = append(env, variable)
		}
	}
	for _, s := range settings {
		env = append(env, s.name+"="+s.value)
	}
	return env
}

// commandError says that COMMAND cannot be run.
type commandError struct {
	name string
	err  error
}

func (e commandError) Error() string { return "command " + e.name + ": " + e.err.Error() }
func (e commandError) Unwrap() error { return e.err }

// code returns what a shell would exit with.
func (e commandError) code() int {
	if errors.Is(e.err, exec.ErrNotFound) || errors.Is(e.err, unix.ENOENT) {
		return exitNotFound
	}
	return exitNotExecutable
}
