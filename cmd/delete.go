package cmd

import (
	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func deleteCommand(c *call) *cli.Command {
	var ifExists bool
	return c.headerCommand("delete", "", "wipe the stored data; the id stays valid",
		func(args []string) (*result, error) {
			if err := noArguments(args); err != nil {
				return nil, err
			}
			return c.changeExisting(ifExists, func(s *store.Session) (store.Outcome, error) {
				s.Data = store.Empty
				return store.Wipe, nil
			})
		}, ifExistsFlag(&ifExists))
}
