package cmd

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func listCommand(c *call) *cli.Command {
	var user string
	var json bool
	return c.operatorCommand("list", "", "print a line for each session: handle, created, accessed, bytes, version, state, user", func(args []string) error {
		if err := noArguments(args); err != nil {
			return err
		}
		visit := func(s *store.Session, state store.State, _ error) error {
			printListed(c.stdout, s, state, json)
			return c.stdout.stream()
		}
		if user != "" {
			return c.eachOfUser(user, visit)
		}
		return c.store.Each(visit)
	}, userFlag(&user, "list the sessions of user `NAME` only"), jsonFlag(&json))
}

func showCommand(c *call) *cli.Command {
	var data bool
	return c.operatorCommand("show", "HANDLE", "print what is known of a session as a JSON object", func(args []string) error {
		if len(args) != 1 {
			return usagef("%d arguments; one HANDLE is wanted", len(args))
		}
		handle, err := c.findHandle(args[0])
		if errors.Is(err, store.ErrNotFound) {
			return errNo
		}
		if err != nil {
			return err
		}
		err = c.store.Look(handle, func(s *store.Session, state store.State, wrong error) error {
			c.show(s, state, wrong, data)
			return nil
		})
		if errors.Is(err, store.ErrNotFound) {
			return errNo
		}
		return err
	}, &cli.BoolFlag{Name: "data", Usage: "print the data too", Destination: &data})
}

// show prints all that operators see of a session.
func (c *call) show(s *store.Session, state store.State, wrong error, data bool) {
	o := listed(s, state)
	o.string("path", s.Path)
	if wrong != nil {
		o.string("wrong", wrong.Error())
	}
	if data && s.Data != nil {
		o.raw("data", s.Data)
	}
	c.stdout.printJSON(o.end())
}

func userFlag(user *string, usage string) cli.Flag {
	return &cli.GenericFlag{Name: "user", Usage: usage, Value: parsed(user, parseUser)}
}

// maxUser bounds a user's name, in bytes.
const maxUser = 256

// parseUser reads a user's name, which a session's record and a list can hold.
func parseUser(text string) (string, error) {
	if _, err := store.StringValue(text); err != nil || text == "" || len(text) > maxUser {
		return "", fmt.Errorf("must be 1 to %d bytes of UTF-8", maxUser)
	}
	return text, nil
}

// eachOfUser visits the sessions that are the user's.
func (c *call) eachOfUser(user string, visit store.Visit) error {
	return c.store.UserHandles(user, func(handle string) error {
		err := c.store.Look(handle, func(s *store.Session, state store.State, wrong error) error {
			if s.User != user {
				return nil
			}
			return visit(s, state, wrong)
		})
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
}

func printListed(out *output, s *store.Session, state store.State, json bool) {
	if json {
		o := listed(s, state)
		out.printJSON(o.end())
		return
	}
	user := ""
	if s.User != "" {
		user = fmt.Sprintf(" %q", s.User)
	}
	fmt.Fprintf(out, "%s %s %s %d %d %s%s\n", s.Handle, dateOrNone(created(s)), dateOrNone(s.Accessed), s.Size, s.Version, state, user)
}

// created returns when the session was, the zero time if that is not known.
func created(s *store.Session) time.Time {
	if s.Version == 0 {
		return time.Time{}
	}
	return time.Unix(s.Created, 0)
}

func dateOrNone(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return date(t)
}

// listed returns the members of a session that operators see.
func listed(s *store.Session, state store.State) *object {
	var o object
	o.string("handle", s.Handle)
	o.raw("created", unixOrNull(created(s)))
	o.raw("accessed", unixOrNull(s.Accessed))
	o.int("size", s.Size)
	o.int("version", int64(s.Version))
	o.string("state", string(state))
	o.string("user", s.User)
	return &o
}

func unixOrNull(t time.Time) []byte {
	if t.IsZero() {
		return []byte("null")
	}
	return strconv.AppendInt(nil, t.Unix(), 10)
}
