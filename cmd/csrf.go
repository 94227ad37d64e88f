package cmd

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func csrfCommand(c *call) *cli.Command {
	var check clientToken
	return c.sessionCommand("csrf", "", "print a token for a form, or check the one that came back",
		func(args []string) error {
			if err := noArguments(args); err != nil {
				return err
			}
			if err := check.check("check"); err != nil {
				return err
			}
			if check.onFD && c.id.onFD && check.fd == c.id.fd {
				return usagef("--check-fd and --id-fd name one descriptor: give each token its own")
			}
			token, err := check.read("check")
			if err != nil {
				return err
			}
			r, err := c.view(store.Touch)
			switch {
			case err != nil:
				return err
			case !check.wanted():
				_, err = fmt.Fprintln(c.stdout, c.keys.CSRFToken(c.csrfKey(r.id)))
				return err
			case !c.keys.CheckCSRFToken(c.csrfKeys(r), token):
				c.log("refused CSRF token", r.session.Handle)
				return errNo
			}
			return nil
		}, check.flags("check", "exit 0 if `TOKEN` is one of this session's, else 1",
			"the same, with the token read from descriptor `N`, where other users cannot see it; 0: standard input")...)
}
