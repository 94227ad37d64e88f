package cmd

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func popCommand(c *call) *cli.Command {
	var raw bool
	return c.valueCommand("pop", "KEY", "print a key's value and remove it", func(args []string) (store.Change, func() (string, error), error) {
		key, err := oneKey(args)
		var popped store.Value
		return func(s *store.Session) (store.Outcome, error) {
				v, ok, err := s.Data.Get(key)
				popped = v
				if err != nil || !ok {
					return store.Keep, err
				}
				s.Data, _, err = s.Data.Unset(key)
				return store.Save, err
			}, func() (string, error) {
				switch {
				case popped == nil:
					return "", errNo
				case raw:
					return popped.Text(), nil
				}
				return string(popped), nil
			}, err
	},
		&cli.BoolFlag{Name: "raw", Usage: "print a string without quotes", Destination: &raw})
}

func incrCommand(c *call) *cli.Command {
	by := "1"
	return c.valueCommand("incr", "KEY", "add to a number and print the sum; an absent one counts as 0", func(args []string) (store.Change, func() (string, error), error) {
		key, err := oneKey(args)
		var sum store.Value
		return func(s *store.Session) (_ store.Outcome, err error) {
			s.Data, sum, err = s.Data.Add(key, by)
			return store.Save, err
		}, func() (string, error) { return string(sum), nil }, err
	},
		&cli.GenericFlag{Name: "by", Usage: "add `N`, a JSON number", DefaultText: "1", Value: parsed(&by, parseNumber)})
}

func appendCommand(c *call) *cli.Command {
	var text bool
	return c.valueCommand("append", "KEY JSON... | --text KEY VALUE...", "append values to an array and print its length; an absent one is made", func(args []string) (store.Change, func() (string, error), error) {
		if len(args) < 2 {
			return nil, nil, usagef("KEY and JSON missing; write append KEY JSON...")
		}
		var values []store.Value
		for i, arg := range args[1:] {
			v, err := parseAssigned(arg, !text)
			if err != nil {
				return nil, nil, fmt.Errorf("value %d: %w", i+1, err)
			}
			values = append(values, v)
		}
		var length int
		return func(s *store.Session) (_ store.Outcome, err error) {
			s.Data, length, err = s.Data.Append(args[0], values...)
			return store.Save, err
		}, func() (string, error) { return strconv.Itoa(length), nil }, nil
	},
		textFlag(&text, 1, "all that follows are KEY and values, each value a string as it stands"))
}

// textFlag is the switch after which nothing is a flag any more. before is how many
// arguments may stand before it.
func textFlag(on *bool, before int, usage string) cli.Flag {
	return lastFlag{&cli.BoolFlag{Name: "text", Usage: usage, Destination: on}, before}
}

// valueCommand makes the command of a verb that makes one change and then
// prints a value.
func (c *call) valueCommand(name, arguments, usage string, parse func(args []string) (store.Change, func() (string, error), error), flags ...cli.Flag) *cli.Command {
	return c.sessionCommand(name, arguments, usage, func(args []string) error {
		change, answer, err := parse(args)
		if err != nil {
			return err
		}
		if _, err := c.change(policy{}, change); err != nil {
			return err
		}
		text, err := answer()
		if err == nil {
			c.stdout.print(text + "\n")
		}
		return err
	}, flags...)
}

func oneKey(args []string) (string, error) {
	if len(args) != 1 {
		return "", usagef("%d arguments; one KEY is wanted", len(args))
	}
	return args[0], nil
}

func parseNumber(text string) (string, error) {
	if _, _, err := store.Empty.Add("", text); err != nil {
		return "", errors.New("must be a JSON number such as 1, -2 or 0.5, of at most 10000 digits")
	}
	return text, nil
}
