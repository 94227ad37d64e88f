package cmd

import "github.com/urfave/cli/v2"

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
			if err := c.needDescriptors(); err != nil {
				return err
			}
			who, err := c.identify()
			if err != nil {
				return err
			}
			handle := ""
			if who.id != "" {
				handle = c.handle(who.id)
			}
			return c.store.UnlockFD(handle, fd)
		}, fdFlag("fd", fdUsage, &fd))
}
