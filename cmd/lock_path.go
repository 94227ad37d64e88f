package cmd

import "github.com/urfave/cli/v2"

func lockPathCommand(c *call) *cli.Command {
	return c.sessionCommand("lock-path", "", "print the path of the session's file, for the shell to open",
		func(args []string) error {
			if err := noArguments(args); err != nil {
				return err
			}
			if err := c.needDescriptors(); err != nil {
				return err
			}
			_, err := c.do(policy{create: createOwn}, func(who claim, create bool) (*result, error) {
				path, err := c.store.LockPath(c.handle(who.id), create)
				if err == nil {
					c.stdout.print(path + "\n")
				}
				return nil, err
			})
			return err
		})
}
