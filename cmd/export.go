package cmd

// This file tells the later calls of the request which session it has: by variables,
// and for --json as a JSON object.

import (
	"os"
	"strconv"

	"cgisession/store"
)

// A setting is an environment variable and its value.
type setting struct{ name, value string }

// exports returns the variables that tell later calls of the request which session it
// has. If it has ended (log-out) the id is empty: later calls have none either. If
// there was none, there are no variables: a later call may create one.
func (r *result) exports() []setting {
	s := r.session
	switch {
	case s == nil && !r.wasInvalidated:
		return nil
	case s == nil:
		return []setting{
			{"CGISESSION_ID", ""},
			{"CGISESSION_TOKEN", ""},
			{"CGISESSION_IS_NEW", ""},
			{"CGISESSION_WAS_INVALIDATED", "1"},
			{"CGISESSION_VERSION", ""},
			{"CGISESSION_CREATED", ""},
			{"CGISESSION_ACCESSED", ""},
			{"CGISESSION_MINTED", ""},
		}
	}
	return append([]setting{
		{"CGISESSION_ID", r.id},
		{"CGISESSION_TOKEN", r.token},
		{"CGISESSION_IS_NEW", oneOrEmpty(r.isNew)},
		{"CGISESSION_WAS_INVALIDATED", oneOrEmpty(r.wasInvalidated)},
		{"CGISESSION_VERSION", strconv.FormatUint(s.Version, 10)},
		{"CGISESSION_CREATED", strconv.FormatInt(s.Created, 10)},
		{"CGISESSION_ACCESSED", strconv.FormatInt(r.accessed, 10)},
		{"CGISESSION_MINTED", oneOrEmpty(r.minted)},
	}, r.adoption...)
}

// oneOrEmpty encodes a boolean as "1" or "".
func oneOrEmpty(on bool) string {
	if on {
		return "1"
	}
	return ""
}

// json returns the object that a header verb prints with --json. Its member env has the
// variables that the script must set for its later calls in the request. Variables of
// another request are in it with an empty value, which counts as unset. The script is
// the parent process.
//
// Without a session the object has the same members: null, false, 0 or empty.
func (c *call) json(r *result) []byte {
	request := c.requestSetting(os.Getppid())
	var env object
	if exports := r.exports(); exports != nil {
		exports = append(exports, request)
		for _, s := range exports {
			env.string(s.name, s.value)
		}
		for _, name := range c.inheritedBeside(exports) {
			env.string(name, "")
		}
	}
	if r.session == nil {
		none := *r
		none.session = &store.Session{Data: store.Empty}
		r = &none
	}
	var o object
	o.raw("headers", array(r.headers))
	o.stringOrNull("id", r.id)
	o.stringOrNull("token", r.token)
	c.describe(&o, r)
	o.bool("minted", r.minted)
	o.string("user", r.session.User)
	o.place(r.session)
	o.string("request", request.value)
	o.raw("env", env.end())
	o.raw("data", r.session.Data)
	return o.end()
}

// describe adds the first members that --json and info share. Times are Unix seconds;
// timeout and lifetime are seconds, or null for none.
func (c *call) describe(o *object, r *result) {
	o.bool("is_new", r.isNew)
	o.bool("was_invalidated", r.wasInvalidated)
	o.uint("version", r.session.Version)
	o.int("created", r.session.Created)
	o.int("accessed", r.accessed)
	o.raw("timeout", seconds(c.timeout))
	o.raw("lifetime", seconds(c.lifetime))
}

// place adds the other members that --json and info share. Before the session is first
// stored, path is null.
func (o *object) place(s *store.Session) {
	o.stringOrNull("handle", s.Handle)
	o.stringOrNull("path", s.Path)
}
