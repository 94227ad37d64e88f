package cmd

import (
	"os"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func loadCommand(c *call) *cli.Command {
	var sh, json bool
	p := policy{create: createAnother, opens: true}
	return c.sessionCommand("load", "[NAME...]", "load the session, or create it, and mark the access",
		func(args []string) error {
			targets, err := parseTargets(args)
			switch {
			case err != nil:
				return err
			case len(targets) > 0 && !sh:
				return usagef("unexpected argument: a NAME goes with --sh")
			case sh && json:
				return usagef("--sh and --json exclude each other")
			}
			p.snapshot = c.noLock
			r, err := c.change(p, saveNew)
			if err != nil {
				return err
			}
			if json {
				c.stdout.Write(append(c.json(r, c.requestSetting(os.Getppid())), '\n'))
				return nil
			}
			code, err := assign(targets, r.session.Data, nil)
			if err != nil {
				return err
			}
			c.printHeaders(r, sh)
			c.stdout.print(code)
			return nil
		},
		shFlag(&sh),
		switchFlag("json", "print the header lines, the session and its data as one JSON object", &json),
		switchFlag("lazy", "give a new session only an id; the first change stores it and prints its cookie", &p.lazy),
		c.noLockFlag())
}

// saveNew stores a session that was not stored before.
func saveNew(s *store.Session) (store.Outcome, error) {
	if s.Version == 0 {
		return store.Save, nil
	}
	return store.Keep, nil
}
