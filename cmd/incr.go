package cmd

import (
	"errors"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func incrCommand(c *call) *cli.Command {
	by := "1"
	var text literal
	return c.valueCommand("incr", "KEY", "add to a number and print the sum; an absent key counts as 0",
		func(args []string) (string, error) {
			key, err := oneKey(text.keys(args))
			if err != nil {
				return "", err
			}
			var sum store.Value
			_, err = c.change(policy{}, func(s *store.Session) (_ store.Outcome, err error) {
				s.Data, sum, err = s.Data.Add(key, by)
				return store.Save, err
			})
			return string(sum), err
		},
		&cli.GenericFlag{
			Name: "by", Usage: "add `N`, a JSON number", DefaultText: "1", Value: parsed(&by, parseNumber),
		},
		text.keyFlag())
}

// parseNumber accepts a number that incr can add.
func parseNumber(text string) (string, error) {
	if _, _, err := store.Empty.Add("", text); err != nil {
		return "", errors.New("must be a JSON number such as 1, -2 or 0.5, of at most 10000 digits")
	}
	return text, nil
}
