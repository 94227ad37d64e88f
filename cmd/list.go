package cmd

import (
	"fmt"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func listCommand(c *call) *cli.Command {
	var user string
	var json bool
	return c.operatorCommand("list", "",
		"print each session's handle, times, bytes, version, state, user",
		func(args []string) error {
			if err := noArguments(args); err != nil {
				return err
			}
			visit := func(s *store.Session, state store.State, _ error) error {
				printListed(c.stdout, s, state, json)
				return c.stdout.stream()
			}
			if user != "" {
				return c.stdout.endStream(c.eachOfUser(user, visit))
			}
			return c.stdout.endStream(c.store.Each(visit))
		}, userFlag(&user, "list the sessions of user `NAME` only"), jsonFlag(&json))
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
	fmt.Fprintf(out, "%s %s %s %d %d %s%s\n",
		s.Handle, dateOrNone(created(s)), dateOrNone(s.Accessed), s.Size, s.Version, state, user)
}

// created returns the time of the session's creation, or the zero time if no version
// of it can be read.
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

// listed returns the members that list --json and show print.
func listed(s *store.Session, state store.State) *object {
	var o object
	o.string("handle", s.Handle)
	o.raw("created", unixOrNull(created(s)))
	o.raw("accessed", unixOrNull(s.Accessed))
	o.int("size", s.Size)
	o.uint("version", s.Version)
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

// date returns a time in UTC, as RFC 3339 writes it.
func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }
