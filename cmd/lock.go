package cmd

import (
	"errors"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"cgisession/cgi"
	"cgisession/store"
)

func lockCommand(c *call) *cli.Command {
	var fd int
	var closeInChild bool
	return c.sessionCommand("lock", "COMMAND... | --fd N",
		"lock the session for a command, or on the shell's descriptor N",
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
	if err := c.needDescriptors(); err != nil {
		return err
	}
	if err := c.store.UseFD(fd); err != nil {
		return err
	}
	if c.store.LockedEnded() {
		return errGone
	}
	_, err := c.hold()
	return err
}

// needDescriptors refuses a store whose locks are not on descriptors.
func (c *call) needDescriptors() error {
	err := c.store.Descriptors()
	if errors.Is(err, store.ErrUnsupported) {
		return usagef("with --type %s a session is no file, and has no descriptor; use lock COMMAND or run --lock",
			c.storeType)
	}
	return err
}

// hold takes the lock of the request's session, and returns it still held.
func (c *call) hold() (held store.Lock, err error) {
	_, err = c.do(policy{create: createOwn}, func(who claim, create bool) (_ *result, err error) {
		held, err = c.store.Hold(c.handle(who.id), create)
		return nil, err
	})
	return held, err
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

// renewing calls do, renews the lease meanwhile, and then releases it. If the lock is
// lost, it calls warn once, and the store refuses further changes by do.
func renewing(lease *store.Lease, warn func(error), do func() error) error {
	stop := make(chan struct{})
	var renewal sync.WaitGroup
	renewal.Go(func() {
		tick := time.NewTicker(lease.Every)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			if err := lease.Renew(); errors.Is(err, store.ErrLockLost) || errors.Is(err, store.ErrNotFound) {
				warn(err)
				return
			}
		}
	})
	err := do()
	close(stop)
	renewal.Wait()
	release(lease)
	return err
}

// release ends a lease. If that fails, the lease runs out, since it is not renewed.
// nil stands for a lock on a descriptor, which ends with the program.
func release(lease *store.Lease) {
	if lease != nil {
		lease.Release()
	}
}
