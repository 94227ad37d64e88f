package cmd

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func saveCommand(c *call) *cli.Command {
	var expected expectedVersion
	var ifExists bool
	return c.headerCommand("save", "", "replace the data by the JSON object on standard input",
		func(args []string) (*result, error) {
			if err := noArguments(args); err != nil {
				return nil, err
			}
			data, err := c.readData()
			if err != nil {
				return nil, err
			}
			p := policy{create: expected.creation()}.onlyIf(ifExists)
			r, err := c.change(p, func(s *store.Session) (store.Outcome, error) {
				s.Data = data
				return store.Save, expected.check(s.Version)
			})
			if errors.Is(err, errNo) && !ifExists {
				return nil, fmt.Errorf("%w: there is no session", errConflict)
			}
			return r, err
		},
		valueFlag("if-version", "only if version `N` is stored, else exit 11; 0: nothing yet",
			parsed(&expected, parseVersion)),
		ifExistsFlag(&ifExists))
}

// expectedVersion is the version that must be stored for a save to replace it.
type expectedVersion struct {
	given bool
	n     uint64
}

func parseVersion(text string) (expectedVersion, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		err = errors.New("must be a version, as load --json and info print it")
	}
	return expectedVersion{true, n}, err
}

// creation returns when save creates a session: never if it expects a version above
// 0.
func (e expectedVersion) creation() creation {
	if e.given && e.n > 0 {
		return createNever
	}
	return createMissing
}

func (e expectedVersion) check(stored uint64) error {
	if e.given && e.n != stored {
		return fmt.Errorf("%w: %d, not %d", errConflict, stored, e.n)
	}
	return nil
}
