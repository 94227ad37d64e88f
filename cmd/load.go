package cmd

import (
	"os"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func loadCommand(c *call) *cli.Command {
	var sh, json bool
	p := policy{create: true, replace: true, slide: true}
	return c.sessionCommand("load", "[NAME...]", "load the session, or create it, and mark the access", func(args []string) error {
		names, err := parseNames(args)
		switch {
		case err != nil:
			return err
		case len(names) > 0 && !sh:
			return usagef("unexpected argument: a NAME goes with --sh")
		case sh && json:
			return usagef("--sh and --json exclude each other")
		}
		r, err := c.load(p)
		if err != nil {
			return err
		}
		if json {
			c.stdout.Write(append(c.json(r, c.requestSetting(os.Getppid())), '\n'))
			return nil
		}
		code, err := assign(names, r.session.Data, nil)
		if err != nil {
			return err
		}
		c.printHeaders(r, sh)
		c.stdout.print(code)
		return nil
	},
		shFlag(&sh),
		&cli.BoolFlag{Name: "json", Usage: "print the header lines, the session and its data as one JSON object", Destination: &json},
		&cli.BoolFlag{Name: "lazy", Usage: "give a new session only an id; the first change stores it and prints its cookie", Destination: &p.lazy},
		c.noLockFlag())
}

// load loads the session, or makes a new one.
func (c *call) load(p policy) (*result, error) {
	who, err := c.identify()
	if err != nil {
		return nil, err
	}
	if c.noLock && who.id != "" {
		s, err := c.store.Read(c.handle(who.id), store.Snapshot)
		switch {
		case err == nil:
			r := c.result(who, s)
			return r, c.addCookie(r, c.refreshes(who, p))
		case !absent(err):
			return nil, err
		}
	}
	return c.changeNamed(who, p, saveNew)
}

// saveNew stores a session that is not stored yet.
func saveNew(s *store.Session) (store.Outcome, error) {
	if s.Version == 0 {
		return store.Save, nil
	}
	return store.Keep, nil
}
