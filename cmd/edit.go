package cmd

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func editCommand(c *call) *cli.Command {
	return c.sessionCommand("edit", "COMMAND...", "pipe the data through a filter, under the lock",
		func(args []string) error {
			if err := someArguments(args, "COMMAND"); err != nil {
				return err
			}
			filter, err := newChild(args)
			if err != nil {
				return err
			}
			filter.env = withoutSecrets(c.forChild(nil, nil))
			return c.underLock(func() error {
				_, err := c.change(policy{}, func(s *store.Session) (_ store.Outcome, err error) {
					s.Data, err = filter.filter(s.Data, c.maxSize)
					return store.Save, err
				})
				return err
			})
		})
}

// withoutSecrets returns the variables without those that hold a secret: the key that
// signs ids, and the URL of Redis if it may have a password in it.
func withoutSecrets(all []string) []string {
	return slices.DeleteFunc(all, func(variable string) bool {
		name, value, _ := strings.Cut(variable, "=")
		return name == secretVariable ||
			name == "CGISESSION_REDIS_URL" && (strings.ContainsAny(value, "@%") || strings.Contains(value, "password"))
	})
}
