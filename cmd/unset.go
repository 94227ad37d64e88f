package cmd

import (
	"errors"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func unsetCommand(c *call) *cli.Command {
	var text literal
	var ifExists bool
	return c.headerCommand("unset", "KEY...", "remove keys; absent keys are no error",
		func(args []string) (*result, error) {
			if err := someArguments(args, "KEY"); err != nil {
				return nil, err
			}
			keys := text.keys(args)
			return c.changeExisting(ifExists, func(s *store.Session) (store.Outcome, error) {
				outcome := store.Keep
				for _, key := range keys {
					data, removed, err := s.Data.Unset(key)
					if err != nil {
						return store.Keep, err
					}
					if removed {
						s.Data, outcome = data, store.Save
					}
				}
				return outcome, nil
			})
		}, text.keyFlag(), ifExistsFlag(&ifExists))
}

// changeExisting changes the session if there is one. Without a session it does
// nothing, and returns errNo if there must be one, else an empty result.
func (c *call) changeExisting(must bool, change store.Change) (*result, error) {
	r, err := c.change(policy{}, change)
	if errors.Is(err, errNo) && !must {
		return &result{}, nil
	}
	return r, err
}
