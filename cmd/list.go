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
	var json, data bool
	return c.operatorCommand("list", "",
		"print a line for each session, with its user and note",
		func(args []string) error {
			if err := noArguments(args); err != nil {
				return err
			}
			if data && !json {
				return usagef("--data goes with --json")
			}
			c.progress.streams = true
			visit := func(s *store.Session, state store.State, _ error) error {
				printListed(c.stdout, s, state, json, data)
				return c.stdout.stream()
			}
			if data {
				visit = c.withData(visit)
			}
			if user != "" {
				return c.stdout.endStream(c.eachOfUser(user, visit))
			}
			return c.stdout.endStream(c.store.Each(visit))
		},
		userFlag(&user, "list the sessions of user `NAME` only"),
		jsonFlag(&json),
		switchFlag("data", "with --json: print the data too", &data))
}

// withData returns a visit that also gets the data where the store's walk left them out.
func (c *call) withData(visit store.Visit) store.Visit {
	return func(s *store.Session, state store.State, wrong error) error {
		if s.Data != nil || state != store.Live && state != store.Idle && state != store.Old {
			return visit(s, state, wrong)
		}
		return c.lookAgain(s.Handle, visit)
	}
}

// printListed prints a session as a line or, with its data if these are asked for, as JSON.
func printListed(out *output, s *store.Session, state store.State, json, data bool) {
	if json {
		o := listed(s, state)
		if data && s.Data != nil {
			o.raw("data", s.Data)
		}
		out.printJSON(o.end())
		return
	}
	fmt.Fprintf(out, "%s %s %s %d %d %s%s%s\n", s.Handle, dateOrNone(created(s)), dateOrNone(s.Accessed),
		s.Size, s.Version, state, quotedAfter(s.User), quotedAfter(s.Note))
}

// quotedAfter returns a text as it stands at the end of a line: quoted, so that it stays
// on the line and cannot control the terminal. An empty text gives nothing.
func quotedAfter(text string) string {
	if text == "" {
		return ""
	}
	return fmt.Sprintf(" %q", text)
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

// listed returns the members that list --json and show print. Only a user's session may
// have a cookie name and a note.
func listed(s *store.Session, state store.State) *object {
	var o object
	o.string("handle", s.Handle)
	o.raw("created", unixOrNull(created(s)))
	o.raw("accessed", unixOrNull(s.Accessed))
	o.int("size", s.Size)
	o.uint("version", s.Version)
	o.string("state", string(state))
	if s.CookieName != "" {
		o.string("cookie_name", s.CookieName)
	}
	o.string("user", s.User)
	if s.Note != "" {
		o.string("note", s.Note)
	}
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
