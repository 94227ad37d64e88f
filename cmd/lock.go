package cmd

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"cgisession/cgi"
	"cgisession/store"
)

func lockCommand(c *call) *cli.Command {
	var fd int
	var closeInChild bool
	return c.sessionCommand("lock", "COMMAND... | --fd N",
		"run a command with the session locked, or lock it on the shell's descriptor N",
		func(args []string) error {
			if fd != 0 {
				return c.lockFD(fd, args)
			}
			if err := someArguments(args, "COMMAND, or --fd N,"); err != nil {
				return err
			}
			command, err := newChild(args)
			if err != nil {
				return err
			}
			held, err := c.hold()
			if err != nil {
				return err
			}
			if closeInChild {
				command.setEnv(&c.requestEnv, []setting{{held.Name, ""}}, nil)
				return command.runClosed(held, c.warn)
			}
			command.setEnv(&c.requestEnv, c.lockSettings(held), nil)
			return command.exec(c.stdout, held.Lease, c.warn)
		},
		fdFlag("fd", fdUsage, &fd),
		switchFlag("close-in-child", "do not pass the lock on to the command; the lock ends with this program",
			&closeInChild))
}

func unlockCommand(c *call) *cli.Command {
	var fd int
	return c.sessionCommand("unlock", "--fd N", "release the lock on the shell's descriptor N",
		func(args []string) error {
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
	return c.sessionCommand("lock-path", "", "print the path of the session's file, for the shell to open and lock",
		func(args []string) error {
			if err := noArguments(args); err != nil {
				return err
			}
			return c.locking(func(handle string, create bool) error {
				path, err := c.store.LockPath(handle, create)
				if err == nil {
					c.stdout.print(path + "\n")
				}
				return c.descriptorsOnly(err)
			})
		})
}

const fdUsage = "descriptor `N`, opened by: p=$(cgisession lock-path) && exec N<\"$p\""

// fdFlag returns an option whose value is a descriptor that the caller opened.
func fdFlag(name, usage string, fd *int) cli.Flag {
	return valueFlag(name, usage, parsed(fd, cgi.ParseFD))
}

// lockFD takes the lock on a descriptor that the shell keeps open.
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
		return usagef("with --type %s a session is no file, and has no descriptor; use lock COMMAND or run --lock",
			c.storeType)
	}
	return err
}

// hold takes the lock of the request's session, and returns it still held.
func (c *call) hold() (held store.Lock, err error) {
	err = c.locking(func(handle string, create bool) (err error) {
		held, err = c.store.Hold(handle, create)
		return err
	})
	return held, err
}

// locking calls take with the handle of the request's session, to lock it. create
// reports whether take may lock a session that is not stored yet.
func (c *call) locking(take func(handle string, create bool) error) error {
	who, err := c.reach(func(who claim, rule rule) error { return take(c.handle(who.id), rule.own) })
	if absent(err) {
		err = c.rule(who).refusal
	}
	return err
}

// underLock calls do, which must make its change once only. If the store may repeat a
// change, underLock takes the lock first.
func (c *call) underLock(do func() error) error {
	if !c.store.Repeats() {
		return do()
	}
	held, err := c.hold()
	if err != nil {
		return err
	}
	return renewing(held.Lease, c.warn, do)
}

// warn prints an error that does not end the call.
func (c *call) warn(err error) {
	fmt.Fprintf(c.stderr, "cgisession: %s\n", c.secrets.printable(err.Error()))
}
