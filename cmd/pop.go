package cmd

import (
	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func popCommand(c *call) *cli.Command {
	var raw bool
	var text literal
	return c.valueCommand("pop", "KEY", "print a key's value and remove it",
		func(args []string) (string, error) {
			key, err := oneKey(text.keys(args))
			if err != nil {
				return "", err
			}
			var popped store.Value
			_, err = c.change(policy{}, func(s *store.Session) (store.Outcome, error) {
				v, ok, err := s.Data.Get(key)
				popped = v
				if err != nil || !ok {
					return store.Keep, err
				}
				s.Data, _, err = s.Data.Unset(key)
				return store.Save, err
			})
			switch {
			case err != nil:
				return "", err
			case popped == nil:
				return "", errNo
			case raw:
				return popped.Text(), nil
			}
			return string(popped), nil
		},
		switchFlag("raw", "print a string without quotes", &raw),
		text.keyFlag())
}
