package cmd

import (
	"errors"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

// operatorCommand makes the command of a verb for operators and cron. Called by
// root it acts as the owner of the data directory.
func (c *call) operatorCommand(name, arguments, usage string, run func(args []string) error, flags ...cli.Flag) *cli.Command {
	return command(name, arguments, usage, append(flags, c.storeFlags()...), func(args []string) error {
		if err := c.operate(); err != nil {
			return err
		}
		return run(args)
	})
}

// operate opens the store for an operator: root becomes the owner of the data
// directory, and a lock that was handed down may be on any session.
func (c *call) operate() error {
	c.anyLock, c.asOwner = true, true
	return c.findStore()
}

func jsonFlag(on *bool) cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "print JSON", Destination: on}
}

// findHandle returns the handle that an argument means, which may be cut short.
func (c *call) findHandle(arg string) (string, error) {
	if len(arg) < store.MinHandle || !store.IsHex(arg) || len(arg) > store.HandleSize {
		return "", usagef("a HANDLE is %d to %d digits 0-9 a-f, as list prints them", store.MinHandle, store.HandleSize)
	}
	handle, err := c.store.Find(arg)
	if errors.Is(err, store.ErrAmbiguous) {
		err = usagef("handle %s %w", arg, err)
	}
	return handle, err
}

// date returns a time as operators read it.
func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func parseCount(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, errors.New("must be a number from 1 up")
	}
	return n, nil
}
