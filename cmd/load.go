package cmd

import (
	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func loadCommand(c *call) *cli.Command {
	p := policy{create: createAnother, opens: true}
	return c.headerCommand("load", "[NAME...]", "load the session, or create it, and mark the access",
		func(args []string) (*result, error) {
			targets, err := parseTargets(args)
			switch {
			case err != nil:
				return nil, err
			case len(targets) > 0 && !c.answer.sh:
				return nil, usagef("unexpected argument: a NAME goes with --sh")
			}
			p.snapshot = c.noLock
			r, err := c.change(p, saveNew)
			if err == nil {
				r.assigned, err = assign(targets, r.session.Data, nil)
			}
			return r, err
		},
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
