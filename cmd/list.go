package cmd

import (
	"errors"
	"fmt"
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
		visit := func(s *store.Session, state store.State) error {
			printListed(c.stdout, s, state, json)
			return c.stdout.stream()
		}
		if user != "" {
			return c.eachOfUser(user, visit)
		}
		return c.file.Each(visit)
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
		s, state, err := c.file.Look(handle)
		if errors.Is(err, store.ErrNotFound) {
			return errNo
		}
		if err != nil {
			return err
		}
		o := listed(s, state)
		o.string("path", s.Path)
		if data && s.Data != nil {
			o.raw("data", s.Data)
		}
		c.stdout.Write(append(o.end(), '\n'))
		return nil
	}, &cli.BoolFlag{Name: "data", Usage: "print the data too", Destination: &data})
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
func (c *call) eachOfUser(user string, visit func(*store.Session, store.State) error) error {
	return c.file.UserHandles(user, func(handle string) error {
		s, state, err := c.file.Look(handle)
		if errors.Is(err, store.ErrNotFound) || err == nil && s.User != user {
			return nil
		}
		if err != nil {
			return err
		}
		return visit(s, state)
	})
}

func printListed(out *output, s *store.Session, state store.State, json bool) {
	if json {
		o := listed(s, state)
		out.Write(append(o.end(), '\n'))
		return
	}
	user := ""
	if s.User != "" {
		user = fmt.Sprintf(" %q", s.User)
	}
	fmt.Fprintf(out, "%s %s %s %d %d %s%s\n", s.Handle, date(time.Unix(s.Created, 0)), date(s.Accessed), s.Size, s.Version, state, user)
}

// listed returns the members of a session that operators see.
func listed(s *store.Session, state store.State) *object {
	var o object
	o.string("handle", s.Handle)
	o.int("created", s.Created)
	o.int("accessed", s.Accessed.Unix())
	o.int("size", s.Size)
	o.int("version", int64(s.Version))
	o.string("state", string(state))
	o.string("user", s.User)
	return &o
}
