package cmd

// This file runs commands: in place of this process, as its child, or as a filter of
// the session's data.

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// A child is a command that this program runs: COMMAND of run, lock or edit.
type child struct {
	path  string    // of the executable
	args  []string  // the command's name first
	env   []string  // the whole environment
	added []setting // the variables in env that this program adds
}

// setEnv sets the child's environment; see requestEnv.forChild.
func (k *child) setEnv(e *requestEnv, settings []setting, without []string) {
	k.env, k.added = e.forChild(settings, without), settings
}

// exec prints the answer, and then this process becomes the command. With a lease it
// stays, as the command's parent, and renews the lease. If execve(2) would refuse the
// variables, exec returns an error before it prints anything.
func (k *child) exec(answer *output, lease *store.Lease, warn func(error)) error {
	err := k.checkSizes()
	if err == nil {
		err = answer.flush()
	}
	switch {
	case err != nil:
		release(lease)
		return err
	case lease != nil:
		return k.wait(lease, warn)
	}
	err = unix.Exec(k.path, k.args, k.env)
	if err == unix.ENOEXEC && isText(k.path) {
		sh := k.inShell()
		err = unix.Exec(sh.path, sh.args, sh.env)
	}
	return commandError{k.args[0], err}
}

const (
	// maxVariable bounds the value of one variable, in bytes. Linux runs no command
	// with a variable over 128 KiB, its name included (execve(2)).
	maxVariable = 120 << 10

	page = 4096 // bytes
)

// checkSizes returns an error if one variable, or the arguments and variables
// together, are too long for execve(2).
func (k *child) checkSizes() error {
	for _, s := range k.added {
		if len(s.value) > maxVariable {
			return fmt.Errorf("variable %s of %d bytes: %w: at most %d in one; use get instead",
				s.name, len(s.value), errVariable, maxVariable)
		}
	}
	const pointer = 8
	total := page // room for the rest that execve(2) puts there
	for _, text := range slices.Concat(k.args, k.env) {
		total += len(text) + 1 + pointer
	}
	if most := mostArguments(); total > most {
		return fmt.Errorf("arguments and variables of %d bytes: %w: at most %d in all; use get instead",
			total, errVariable, most)
	}
	return nil
}

// mostArguments returns how many bytes of arguments and variables Linux accepts: a
// quarter of the stack's limit, between 128 KiB and 6 MiB (execve(2)).
func mostArguments() int {
	var stack unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_STACK, &stack) != nil {
		return 128 << 10
	}
	return int(max(128<<10, min(uint64(stack.Cur)/4, 6<<20)))
}

// wait runs the command to its end, and meanwhile renews the lease if there is one.
func (k *child) wait(lease *store.Lease, warn func(error)) error {
	if lease == nil {
		return k.run()
	}
	return renewing(lease, warn, k.run)
}

// runClosed runs the command to its end without passing the lock on to it. This
// program holds the lock meanwhile.
func (k *child) runClosed(held store.Lock, warn func(error)) error {
	if held.Lease == nil {
		unix.CloseOnExec(held.FD)
	}
	return k.wait(held.Lease, warn)
}

// run runs the command, as a shell script if the system does not know its format.
func (k *child) run() error {
	err := k.runOnce()
	if notRun, ok := errors.AsType[commandError](err); ok && errors.Is(notRun.err, unix.ENOEXEC) && isText(k.path) {
		err = k.inShell().runOnce()
	}
	return err
}

// runOnce runs the command, waits for its end, and returns its exit code as an error.
// It passes on the signals that ask this program to end.
func (k *child) runOnce() error {
	command := exec.Cmd{Path: k.path, Args: k.args, Env: k.env, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	signals := make(chan os.Signal, 1)
	for _, s := range []os.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	if err := command.Start(); err != nil {
		return commandError{k.args[0], withoutPath(err)}
	}
	go func() {
		for s := range signals {
			command.Process.Signal(s)
		}
	}()
	command.Wait()
	status := command.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case status.Signaled():
		return childExit{128 + int(status.Signal())}
	case status.ExitStatus() != 0:
		return childExit{status.ExitStatus()}
	}
	return nil
}

// inShell returns the command for a script without "#!", as execvp(3) runs it.
func (k *child) inShell() *child {
	return &child{path: "/bin/sh", args: append([]string{"sh", k.path}, k.args[1:]...), env: k.env}
}

// isText reports whether a program may be a shell script: its first line holds no
// NUL. Call it if the system does not know the program's format.
func isText(path string) bool {
	line, _, _ := strings.Cut(firstBytes(path), "\n")
	return !strings.Contains(line, "\x00")
}

// errFilter means that the filter of edit returned no new data.
var errFilter = errors.New("filter")

const (
	maxQuoted = 4096        // bytes of a filter's stderr that an error quotes
	waitDelay = time.Second // see filter
)

// filter runs the command with the data on its standard input, and returns the JSON
// object that it prints. On stdout it may print twice maxSize bytes and a page, since
// JSON allows whitespace; on stderr maxSize bytes. Processes that the filter leaves
// in the background may print for waitDelay after its end, and so cannot keep the
// session locked for longer.
func (k *child) filter(data store.Data, maxSize int) (store.Data, error) {
	command := exec.Cmd{Path: k.path, Args: k.args, Env: k.env, WaitDelay: waitDelay}
	kill := func() error { return command.Process.Kill() }
	limit := 2*maxSize + page
	stdout := filterOutput{most: limit, allowed: limit, kill: kill}
	stderr := filterOutput{most: maxQuoted, allowed: max(maxSize, maxQuoted), kill: kill}
	command.Stdin = bytes.NewReader(append(data[:len(data):len(data)], '\n'))
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	name, quoted := k.args[0], strings.TrimSuffix(": "+strings.TrimSpace(string(stderr.kept)), ": ")
	notRun, isPath := err.(*os.PathError)
	switch {
	case isPath:
		return nil, commandError{name, withoutPath(notRun)}
	case stdout.killed:
		return nil, fmt.Errorf("filter %s printed over %d bytes: %w allows%s",
			name, stdout.allowed, store.ErrTooLarge, quoted)
	case stderr.killed:
		return nil, fmt.Errorf("%w %s printed over %d bytes on stderr%s", errFilter, name, stderr.allowed, quoted)
	case errors.Is(err, exec.ErrWaitDelay): // it succeeded, but a process in the background has its pipes
	case err != nil:
		return nil, fmt.Errorf("%w %s: %w%s", errFilter, name, err, quoted)
	}
	changed, err := store.ParseData(stdout.kept)
	if err != nil {
		return nil, fmt.Errorf("%w %s printed no data: %v", errFilter, name, err)
	}
	return changed, nil
}

// A filterOutput keeps the first bytes that a filter prints on stdout or stderr, and
// kills a filter that prints too many. It has no method but Write: io.Copy would
// prefer a ReadFrom, such as that of bytes.Buffer, which has no limit.
type filterOutput struct {
	kept    []byte
	most    int          // bytes that are kept
	allowed int          // bytes that may be printed
	printed int          // bytes
	kill    func() error // kills the filter
	killed  bool
}

func (o *filterOutput) Write(p []byte) (int, error) {
	o.kept = append(o.kept, p[:min(len(p), o.most-len(o.kept))]...)
	if o.printed += len(p); o.printed > o.allowed {
		o.killed = true
		o.kill()
		return 0, errOutputLimit
	}
	return len(p), nil
}

var errOutputLimit = errors.New("printed too much")

// childExit is the exit code of a command that has ended, if it is not 0.
type childExit struct{ code int }

func (e childExit) Error() string { return "exit status " + strconv.Itoa(e.code) }

// commandError says that COMMAND cannot be run.
type commandError struct {
	name string
	err  error
}

func (e commandError) Error() string { return "command " + e.name + ": " + e.err.Error() }
func (e commandError) Unwrap() error { return e.err }

// code returns the exit code that a shell would return.
func (e commandError) code() int {
	if errors.Is(e.err, exec.ErrNotFound) || errors.Is(e.err, unix.ENOENT) {
		return exitNotFound
	}
	return exitNotExecutable
}
