package cmd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"cgisession/cgi"
	"cgisession/store"
)

func lockCommand(c *call) *cli.Command {
	var fd int
	var closeInChild bool
	return c.sessionCommand("lock", "COMMAND... | --fd N", "run a command with the session locked, or lock it on the shell's descriptor N", func(args []string) error {
		if fd != 0 {
			return c.lockFD(fd, args)
		}
		if err := someArguments(args, "COMMAND, or --fd N,"); err != nil {
			return err
		}
		path, err := lookCommand(args)
		if err != nil {
			return err
		}
		held, err := c.hold()
		if err != nil {
			return err
		}
		if closeInChild {
			return c.runClosed(path, args, held)
		}
		return c.exec(path, args, c.lockSettings(held), nil, held)
	},
		fdFlag("fd", fdUsage, &fd),
		&cli.BoolFlag{Name: "close-in-child", Usage: "keep the lock from the command and what it leaves running; it ends with this program", Destination: &closeInChild})
}

func unlockCommand(c *call) *cli.Command {
	var fd int
	return c.sessionCommand("unlock", "--fd N", "release the lock on the shell's descriptor N", func(args []string) error {
		if err := noArguments(args); err != nil {
			return err
		}
		if fd == 0 {
			return usagef("--fd N missing")
		}
		who, err := c.identify()
		if err != nil {
			return err
		}
		handle := ""
		if who.id != "" {
			handle = c.handle(who.id)
		}
		return c.descriptorsOnly(c.store.UnlockFD(handle, fd))
	}, fdFlag("fd", fdUsage, &fd))
}

func lockPathCommand(c *call) *cli.Command {
	return c.sessionCommand("lock-path", "", "print the path of the session's file, for the shell to open and lock", func(args []string) error {
		if err := noArguments(args); err != nil {
			return err
		}
		who, err := c.present()
		if err != nil {
			return err
		}
		path, err := c.store.LockPath(c.handle(who.id), c.mayCreate(who))
		if err != nil {
			return c.noneToLock(who, c.descriptorsOnly(err))
		}
		_, err = fmt.Fprintln(c.stdout, path)
		return err
	})
}

const fdUsage = "descriptor `N`, opened by: p=$(cgisession lock-path) && exec N<\"$p\""

// fdFlag is an option whose value is a descriptor that the caller opened.
func fdFlag(name, usage string, fd *int) cli.Flag {
	return &cli.GenericFlag{Name: name, Usage: usage, Value: parsed(fd, cgi.ParseFD)}
}

// lockFD takes the lock on a descriptor that the shell keeps.
func (c *call) lockFD(fd int, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	if err := c.store.UseFD(fd); err != nil {
		return c.descriptorsOnly(err)
	}
	if c.store.LockLost() {
		return errGone
	}
	_, err := c.hold()
	return err
}

// descriptorsOnly explains an error of a store whose locks are not on descriptors.
func (c *call) descriptorsOnly(err error) error {
	if errors.Is(err, store.ErrUnsupported) {
		return usagef("with --type %s a session is no file, and has no descriptor; use lock COMMAND or run --lock", c.storeType)
	}
	return err
}

// hold takes the session's lock, which stays with what it returns.
func (c *call) hold() (store.Lock, error) {
	who, err := c.present()
	if err != nil {
		return store.Lock{}, err
	}
	held, err := c.store.Hold(c.handle(who.id), c.mayCreate(who))
	if err != nil {
		return store.Lock{}, c.noneToLock(who, err)
	}
	return held, nil
}

// present returns the session that the request means; none is errNo.
func (c *call) present() (named, error) {
	who, err := c.identify()
	if err == nil && who.id == "" {
		err = errNo
		if c.gone(who) {
			err = errGone
		}
	}
	return who, err
}

// noneToLock turns an absent session into the verb's answer.
func (c *call) noneToLock(who named, err error) error {
	switch {
	case !absent(err):
		return err
	case c.gone(who):
		return errGone
	}
	c.logAbsent(who, err)
	return errNo
}

// lockSettings returns the variables for COMMAND's lock. If nothing was exported
// before, CGISESSION_REQUEST is among them, so that the lock counts in this request
// only: a server that COMMAND starts hands its environment to all visitors' scripts.
func (c *call) lockSettings(held store.Lock) []setting {
	settings := []setting{lockSetting(held)}
	if text, _ := c.lookup(cgi.RequestVariable); text == "" {
		settings = append(settings, c.requestSetting(os.Getpid()))
	}
	return settings
}

func lockSetting(held store.Lock) setting { return setting{held.Name, held.Value} }

// release gives up a lock that this program would have to renew; one on a
// descriptor ends with the program.
func release(held store.Lock) {
	if held.Lease != nil {
		held.Lease.Release()
	}
}

// childExit is how a command that was waited for ended.
type childExit struct{ code int }

func (e childExit) Error() string { return "exit status " + strconv.Itoa(e.code) }

// runClosed runs the command without the lock, which this program keeps while it
// waits.
func (c *call) runClosed(path string, args []string, held store.Lock) error {
	env := c.environment([]setting{{held.Name, ""}}, nil)
	if held.Lease != nil {
		return c.runLeased(path, args, env, held.Lease)
	}
	unix.CloseOnExec(held.FD)
	return runAndWait(path, args, env)
}

// runLeased runs the command and renews the lock until that ends.
func (c *call) runLeased(path string, args, env []string, lease *store.Lease) error {
	return c.renewing(lease, func() error { return runAndWait(path, args, env) })
}

// underLock does something that must not be done twice: a store that makes a
// change again where another process was faster takes the lock for it first.
func (c *call) underLock(do func() error) error {
	if !c.store.Repeats() {
		return do()
	}
	held, err := c.hold()
	if err != nil {
		return err
	}
	return c.renewing(held.Lease, do)
}

// renewing does something, renews the lock meanwhile, and then releases it. A lock
// that is lost is told of once; the store refuses what is done with it.
func (c *call) renewing(lease *store.Lease, do func() error) error {
	stop := make(chan struct{})
	var renewing sync.WaitGroup
	renewing.Go(func() {
		tick := time.NewTicker(lease.Every)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			if err := lease.Renew(); errors.Is(err, store.ErrLockLost) || errors.Is(err, store.ErrNotFound) {
				fmt.Fprintf(c.stderr, "cgisession: %s\n", c.secrets.printable(err.Error()))
				return
			}
		}
	})
	err := do()
	close(stop)
	renewing.Wait()
	lease.Release() // else it ends by itself
	return err
}

// runAndWait runs the command and returns how it ended. Signals that ask this
// program to end go to the command.
func runAndWait(path string, args, env []string) error {
	err := runOnce(path, args, env)
	if notRun, ok := errors.AsType[commandError](err); ok && errors.Is(notRun.err, unix.ENOEXEC) && isText(path) {
		err = runOnce(shell, shellArgs(path, args), env)
	}
	return err
}

func runOnce(path string, args, env []string) error {
	command := exec.Cmd{Path: path, Args: args, Env: env, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	signals := make(chan os.Signal, 1)
	for _, s := range []os.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	if err := command.Start(); err != nil {
		return commandError{args[0], plain(err)}
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
