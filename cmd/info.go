package cmd

import (
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func infoCommand(c *call) *cli.Command {
	var showID bool
	return c.sessionCommand("info", "", "print what is known about the session as a JSON object",
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
			c.stdout.Write(append(c.info(r, showID), '\n'))
			return nil
		},
		switchFlag("show-id", "also print the id and the token, which open the session", &showID),
		c.noLockFlag())
}

// info returns the JSON object that info prints. Times are Unix seconds; timeout and
// lifetime are seconds, or null for none.
func (c *call) info(r *result, showID bool) []byte {
	var o object
	if showID {
		o.string("id", r.id)
		o.string("token", r.token)
	}
	o.bool("is_new", r.isNew)
	o.bool("was_invalidated", r.wasInvalidated)
	o.int("version", int64(r.session.Version))
	o.int("created", r.session.Created)
	o.int("accessed", r.accessed)
	o.raw("timeout", seconds(c.timeout))
	o.raw("lifetime", seconds(c.lifetime))
	o.string("key", c.cookieName)
	o.bool("secret", c.keys != nil)
	o.string("user", r.session.User)
	o.string("handle", r.session.Handle)
	o.string("path", r.session.Path)
	o.int("size", r.session.Size)
	return o.end()
}

// seconds returns a duration as a JSON number, or null for none.
func seconds(d time.Duration) []byte {
	if d == 0 {
		return []byte("null")
	}
	return strconv.AppendFloat(nil, d.Seconds(), 'f', -1, 64)
}
