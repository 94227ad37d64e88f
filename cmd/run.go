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

	"cgisession/cgi"
	"cgisession/store"
)

// What variables may hold, in bytes: Linux refuses to run a command with one over
// 128 KiB, or as a rule with 2 MiB of them and arguments (execve(2)).
const (
	maxVariable  = 120 << 10
	maxVariables = 3 << 19 // 1.5 MiB
)

func runCommand(c *call) *cli.Command {
	var prefix string
	var data, locked bool
	p := policy{create: true, replace: true, slide: true}
	return c.sessionCommand("run", "COMMAND...", "load the session, print the header lines and run a script with the session in its environment", func(args []string) error {
		if err := someArguments(args, "COMMAND"); err != nil {
			return err
		}
		path, err := lookCommand(args[0])
		if err != nil {
			return err
		}
		r, err := c.load(p)
		if err != nil {
			return err
		}
		settings := r.exports()
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
			settings = append(settings, scalars(prefix, r.session.Data)...)
		}
		total := 0
		for _, s := range settings {
			if total += len(s.value); len(s.value) > maxVariable || total > maxVariables {
				release(held)
				return fmt.Errorf("variable %s of %d bytes, %d in all: %w: at most %d in one, %d in all; use get instead", s.name, len(s.value), total, errVariable, maxVariable, maxVariables)
			}
		}
		c.stdout.printHeaders(r, false)
		return c.exec(path, args, settings, held)
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
		r.session, err = c.store.Read(r.session.Handle, store.Peek)
	}
	if absent(err) {
		err = errGone
	}
	return held, err
}

// parsePrefix reads the beginning of variables' names.
func parsePrefix(text string) (string, error) {
	if !cgi.IsShellName(text) || cgi.IsReserved(text) {
		return "", errors.New("must be a shell name of its own, such as APP_")
	}
	return text, nil
}

// scalars returns a variable for each top-level scalar whose key can name one.
func scalars(prefix string, data store.Data) []setting {
	var settings []setting
	for key, v := range data.Members() {
		variable := prefix + key
		if isScalar(v) && cgi.IsShellName(variable) && !cgi.IsReserved(variable) {
			settings = append(settings, setting{variable, withoutNUL(v.Text())})
		}
	}
	return settings
}

// isScalar reports whether v is a string, a number or a boolean.
func isScalar(v store.Value) bool { return !strings.ContainsRune("{[n", rune(v[0])) }

// withoutNUL leaves out what no variable can hold.
func withoutNUL(text string) string { return strings.ReplaceAll(text, "\x00", "") }

// exec prints what there is to print and becomes the command, or, where a lock
// has to be renewed, its parent.
func (c *call) exec(path string, args []string, settings []setting, held store.Lock) error {
	if err := c.stdout.flush(); err != nil {
		return err
	}
	env := environment(settings)
	if held.Lease != nil {
		return c.runLeased(path, args, env, held.Lease)
	}
	err := unix.Exec(path, args, env)
	if err == unix.ENOEXEC { // a script without "#!", as execvp(3) has it
		err = unix.Exec("/bin/sh", append([]string{"sh", path}, args[1:]...), env)
	}
	return commandError{args[0], err}
}

// environment returns the program's own with the settings in place of what it
// had under their names.
func environment(settings []setting) []string {
	var env []string
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if !slices.ContainsFunc(settings, func(s setting) bool { return s.name == name }) {
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

// lookCommand finds the command's program as a shell would.
func lookCommand(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		if found, ok := errors.AsType[*exec.Error](err); ok {
			err = plain(found.Err)
		}
		return "", commandError{name, err}
	}
	if err := checkInterpreter(path); err != nil {
		return "", commandError{name, fmt.Errorf("its interpreter: %w", err)}
	}
	return path, nil
}

// checkInterpreter reports that the interpreter which a script names after "#!"
// cannot be run. execve(2) would say so too, but only once the session is loaded
// and its header lines are out.
func checkInterpreter(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil // a program that may be run but not read
	}
	defer unix.Close(fd)
	var head [256]byte
	n, _ := unix.Read(fd, head[:])
	line, _, _ := strings.Cut(string(head[:max(n, 0)]), "\n")
	rest, script := strings.CutPrefix(line, "#!")
	words := strings.Fields(rest)
	if !script || len(words) == 0 {
		return nil
	}
	return unix.Access(words[0], unix.X_OK)
}
