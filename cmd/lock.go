package cmd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
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
		path, err := lookCommand(args[0])
		if err != nil {
			return err
		}
		held, err := c.hold()
		if err != nil {
			return err
		}
		if closeInChild {
			return runClosed(path, args, held)
		}
		return c.exec(path, args, []setting{lockSetting(held)})
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
		return c.file.Unlock(handle, fd)
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
		path, err := c.file.LockPath(c.handle(who.id), c.mayCreate(who))
		if err != nil {
			return c.noneToLock(who, err)
		}
		_, err = fmt.Fprintln(c.stdout, path)
		return err
	})
}

const fdUsage = "descriptor `N`, opened by: p=$(cgisession lock-path) && exec N<\"$p\""

// fdFlag is an option whose value is a descriptor that the caller opened.
func fdFlag(name, usage string, fd *int) cli.Flag {
	return &cli.GenericFlag{Name: name, Usage: usage, Value: parsed(fd, func(text string) (int, error) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 3 {
			err = errors.New("must be the number of a descriptor from 3 up")
		}
		return n, err
	})}
}

// lockFD takes the lock on a descriptor that the shell keeps.
func (c *call) lockFD(fd int, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	c.env.LockFD = fd
	var err error
	if c.file, err = c.open(c.env, c.log); err != nil {
		return err
	}
	if err := c.file.CheckLockFD(); err != nil {
		return err
	}
	if c.file.LockLost() {
		return errGone
	}
	_, err = c.hold()
	return err
}

// hold takes the session's lock and leaves it on the descriptor that it returns.
func (c *call) hold() (int, error) {
	who, err := c.present()
	if err != nil {
		return 0, err
	}
	fd, err := c.file.Hold(c.handle(who.id), c.mayCreate(who))
	if err != nil {
		return 0, c.noneToLock(who, err)
	}
	return fd, nil
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

func lockSetting(fd int) setting { return setting{"CGISESSION_LOCK_FD", strconv.Itoa(fd)} }

// childExit is how a command that was waited for ended.
type childExit struct{ code int }

func (e childExit) Error() string { return "exit status " + strconv.Itoa(e.code) }

// runClosed runs the command without the lock's descriptor, and waits for it
// with the lock. Signals that ask this program to end go to the command.
func runClosed(path string, args []string, held int) error {
	unix.CloseOnExec(held)
	env := environment([]setting{{"CGISESSION_LOCK_FD", ""}})
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
