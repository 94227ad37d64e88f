package cmd

import (
	"os"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func runCommand(c *call) *cli.Command {
	var prefix string
	var data, locked bool
	return c.sessionCommand("run", "COMMAND...",
		"load the session, print the header lines, run a script with it",
		func(args []string) error {
			if err := someArguments(args, "COMMAND"); err != nil {
				return err
			}
			command, err := newChild(args)
			if err != nil {
				return err
			}
			outer, err := c.outerVariables(prefix)
			if err != nil {
				return err
			}
			r, err := c.change(policy{create: createAnother, opens: true}, saveNew)
			if err != nil {
				return err
			}
			// The process of COMMAND is this one, or its child if a lease has to be renewed.
			settings := append(r.exports(), c.requestSetting(os.Getpid()))
			var held store.Lock
			if locked {
				if held, err = c.holdLoaded(r); err != nil {
					return err
				}
				settings = append(settings, lockSetting(held))
			}
			if data {
				settings = append(settings, setting{"CGISESSION_DATA", string(r.session.Data)})
			}
			if prefix != "" {
				settings = append(settings, c.dataVariables(prefix, r.session.Data, outer)...)
			}
			c.printHeaders(r)
			command.setEnv(&c.requestEnv, settings, outer)
			return command.exec(c.stdout, held.Lease, c.warn)
		},
		switchFlag("lock", "keep the session locked until the command ends", &locked),
		switchFlag("data", "give the command the data as CGISESSION_DATA", &data),
		valueFlag("env", "give the command a variable, named with `PREFIX`, for each string, number or boolean",
			parsed(&prefix, parsePrefix)))
}

// holdLoaded takes the lock of the session that this call loaded, and reads the
// session again under the lock.
func (c *call) holdLoaded(r *result) (store.Lock, error) {
	held, err := c.store.Hold(r.session.Handle, false)
	if err == nil {
		if r.session, err = c.store.Read(r.session.Handle, store.Peek); err != nil {
			release(held.Lease)
		}
	}
	return held, goneIfAbsent(err)
}
