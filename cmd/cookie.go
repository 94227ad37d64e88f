package cmd

import (
	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func cookieCommand(c *call) *cli.Command {
	return c.headerCommand("cookie", "", "print the Set-Cookie line of the current session again",
		func(args []string) (*result, error) {
			if err := noArguments(args); err != nil {
				return nil, err
			}
			r, err := c.view(store.Peek)
			if err != nil {
				return nil, err
			}
			return r, c.addCookie(r, true)
		})
}
