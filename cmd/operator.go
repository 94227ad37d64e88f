package cmd

import (
	"errors"
	"os"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"cgisession/store"
)

// operatorCommand makes the command of a verb for operators and cron. Called by
// root it acts as the owner of the data directory.
func (c *call) operatorCommand(name, arguments, usage string, run func(args []string) error, flags ...cli.Flag) *cli.Command {
	return command(name, arguments, usage, append(flags, c.storeFlags()...), func(args []string) error {
		c.anyLock = true
		if err := c.findStore(); err != nil {
			return err
		}
		if c.inFiles() {
			c.dataDir = c.directory(c.env) // whose default depends on the user
			if err := becomeOwner(c.dataDir); err != nil {
				return err
			}
		}
		return run(args)
	})
}

// becomeOwner gives up root for the owner of the directory, so that what may be
// planted there is met with no more than the owner's rights.
func becomeOwner(dir string) error {
	var st unix.Stat_t
	if os.Geteuid() != 0 || unix.Lstat(dir, &st) != nil || st.Uid == 0 {
		return nil
	}
	group := int(st.Gid)
	if group == 0 { // root made it, and gave it away as chown USER does
		group = int(st.Uid)
	}
	err := unix.Setgroups([]int{group})
	if err == nil {
		err = unix.Setgid(group)
	}
	if err == nil {
		err = unix.Setuid(int(st.Uid))
	}
	return err
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
