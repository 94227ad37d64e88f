package cmd

import (
	"fmt"
	"strconv"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func appendCommand(c *call) *cli.Command {
	var text literal
	return c.valueCommand("append", "KEY JSON... | --text KEY VALUE...",
		"append values to an array (made if absent) and print its length",
		func(args []string) (string, error) {
			if len(args) < 2 {
				return "", usagef("KEY and JSON missing; write append KEY JSON...")
			}
			values, err := parseValues(args[1:], !text.on)
			if err != nil {
				return "", err
			}
			key, length := text.keys(args)[0], 0
			_, err = c.change(policy{}, func(s *store.Session) (_ store.Outcome, err error) {
				s.Data, length, err = s.Data.Append(key, values...)
				return store.Save, err
			})
			return strconv.Itoa(length), err
		},
		text.flag(1, 1, "all arguments after it are taken literally: values are strings, and a KEY no JSON Pointer"))
}

func parseValues(args []string, areJSON bool) (values []store.Value, err error) {
	for i, arg := range args {
		v, err := parseAssigned(arg, areJSON)
		if err != nil {
			return nil, fmt.Errorf("value %d: %w", i+1, err)
		}
		values = append(values, v)
	}
	return values, nil
}
