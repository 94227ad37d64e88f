package cmd

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"cgisession/cookie"
	"cgisession/store"
)

func csrfCommand(c *call) *cli.Command {
	var check checkedToken
	return c.sessionCommand("csrf", "", "print a token for a form, or check the one that came back", func(args []string) error {
		if err := noArguments(args); err != nil {
			return err
		}
		if check.given && check.fd != 0 {
			return usagef("--check and --check-fd exclude each other")
		}
		token, err := check.read()
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
	},
		&cli.GenericFlag{Name: "check", Usage: "exit 0 if `TOKEN` is one of this session's, else 1", Value: parsed(&check, func(text string) (checkedToken, error) {
			return checkedToken{given: true, token: text}, nil
		})},
		fdFlag("check-fd", "the same, with the token read from descriptor `N`, off the command line", &check.fd))
}

// csrfKey returns the key for tokens of the session with this id.
func (c *call) csrfKey(id string) string { return cookie.CSRFKey(c.cookieName, id) }

// csrfKeys returns the keys under which a token checks: that of the id that the
// request came by, and those of the session's ids that are in their grace.
func (c *call) csrfKeys(r *result) []string {
	keys := []string{c.csrfKey(r.id)}
	for _, old := range r.session.OldKeys {
		keys = append(keys, old.Key)
	}
	return keys
}

// checkedToken is a token to check, and where it comes from.
type checkedToken struct {
	given bool
	token string
	fd    int
}

func (t checkedToken) wanted() bool { return t.given || t.fd != 0 }

// maxToken bounds what is read as a token, in bytes; none is as long.
const maxToken = 4096

// read returns the token, which a client sent: any text at all.
func (t checkedToken) read() (string, error) {
	if t.fd == 0 {
		return t.token, nil
	}
	if !handedDown(t.fd) {
		return "", usagef("--check-fd %d: %w", t.fd, unix.EBADF)
	}
	text, err := readLimited(os.NewFile(uintptr(t.fd), "descriptor"), maxToken)
	if errors.Is(err, store.ErrTooLarge) {
		return "", nil
	}
	if err != nil {
		return "", usagef("--check-fd %d: %w", t.fd, err)
	}
	return strings.TrimSuffix(string(text), "\n"), nil
}

// handedDown reports whether a descriptor is the caller's: those that the Go
// runtime opens, at numbers which the caller left free, are closed at an exec.
func handedDown(fd int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil && flags&unix.FD_CLOEXEC == 0
}
