package cmd

// This file tells the later calls of the request which session it has: by variables,
// and for load --json as a JSON object.

import "strconv"

// A setting is an environment variable and its value.
type setting struct{ name, value string }

// exports returns the variables that tell later calls of the request which session it
// has. Without a session (log-out) the id is empty: later calls have none either.
func (r *result) exports() []setting {
	s := r.session
	if s == nil {
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
	return []setting{
		{"CGISESSION_ID", r.id},
		{"CGISESSION_TOKEN", r.token},
		{"CGISESSION_IS_NEW", oneOrEmpty(r.isNew)},
		{"CGISESSION_WAS_INVALIDATED", oneOrEmpty(r.wasInvalidated)},
		{"CGISESSION_VERSION", strconv.FormatUint(s.Version, 10)},
		{"CGISESSION_CREATED", strconv.FormatInt(s.Created, 10)},
		{"CGISESSION_ACCESSED", strconv.FormatInt(r.accessed, 10)},
		{"CGISESSION_MINTED", oneOrEmpty(r.minted)},
	}
}

// oneOrEmpty encodes a boolean as "1" or "".
func oneOrEmpty(on bool) string {
	if on {
		return "1"
	}
	return ""
}

// json returns the object that load --json prints. Its member env has the variables
// that the script must set for its later calls in the request. Variables of another
// request are in it with an empty value, which counts as unset.
func (e *requestEnv) json(r *result, request setting) []byte {
	var env object
	exports := append(r.exports(), request)
	for _, s := range exports {
		env.string(s.name, s.value)
	}
	for _, name := range e.inheritedBeside(exports) {
		env.string(name, "")
	}
	var o object
	o.raw("headers", array(r.headers))
	o.string("id", r.id)
	o.string("token", r.token)
	o.session(r)
	o.string("request", request.value)
	o.raw("env", env.end())
	o.raw("data", r.session.Data)
	return o.end()
}

// session adds the members that load --json and info share.
func (o *object) session(r *result) {
	o.bool("is_new", r.isNew)
	o.bool("was_invalidated", r.wasInvalidated)
	o.int("version", int64(r.session.Version))
	o.int("created", r.session.Created)
	o.int("accessed", r.accessed)
}
