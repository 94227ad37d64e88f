package cmd

import (
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func infoCommand(c *call) *cli.Command {
	var showID bool
	return c.sessionCommand("info", "",
		"print what is known about the session as a JSON object; exit 1 if there is none; marks no access",
		func(args []string) error {
			if err := noArguments(args); err != nil {
				return err
			}
			reading := store.Peek
			if c.noLock {
				reading = store.Snapshot
			}
			r, err := c.view(reading)
			if err != nil {
				return err
			}
			c.stdout.printJSON(c.info(r, showID)) // a note may be any text of a client's
			return nil
		},
		switchFlag("show-id", "also print the id and the token, which open the session", &showID),
		c.noLockFlag())
}

// info returns the JSON object that info prints. expires_in is seconds, or null for no
// limit.
func (c *call) info(r *result, showID bool) []byte {
	var info object
	if showID {
		info.string("id", r.id)
		info.string("token", r.token)
	}
	c.describe(&info, r)
	info.string("key", c.cookieName)
	info.bool("secret", c.keys != nil)
	info.raw("expires_in", c.expiresIn(r.session))
	info.string("user", r.session.User)
	info.string("note", r.session.Note)
	info.place(r.session)
	info.int("size", r.session.Size)
	return info.end()
}

// expiresIn returns the whole seconds that the session has left if nothing marks an
// access, or null without a limit.
func (o *options) expiresIn(s *store.Session) []byte {
	limits := store.Options{Timeout: o.timeout, Lifetime: o.lifetime}
	left, limited := limits.Left(s, time.Now())
	if !limited {
		return []byte("null")
	}
	return strconv.AppendInt(nil, int64(left/time.Second), 10)
}

// seconds returns a duration as a JSON number, or null for none.
func seconds(d time.Duration) []byte {
	if d == 0 {
		return []byte("null")
	}
	return strconv.AppendFloat(nil, d.Seconds(), 'f', -1, 64)
}
