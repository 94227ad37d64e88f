// Package modeltest has a second, simple implementation of what the command line
// means, and random steps to compare the program with it. It knows one process and
// one step at a time: no locks, no faults, no files.
package modeltest

import (
	"fmt"
	"strconv"
	"strings"
)

// A session is what the model stores under an id.
type session struct {
	version int
	data    *object
	idle    bool // not used for longer than the timeout of calls that have one
}

// A Model is what has to be stored after the steps so far.
type Model struct {
	sessions map[string]*session
	names    map[string]string // what the model calls an id, by the program's
	made     int
}

// New returns a model without sessions.
func New() *Model { return &Model{sessions: map[string]*session{}, names: map[string]string{}} }

// An Answer is what a call is to answer. In Stdout each id is as the model calls it.
type Answer struct {
	Code   int
	Stdout string
}

// A Claim says whose session a call means.
type Claim struct {
	ID    string // as the model calls it; empty: none
	Bound bool   // by CGISESSION_ID, else by a cookie
}

// A Step is one call.
type Step struct {
	Claim Claim
	Args  []string
	Stdin string
	Idle  bool // no call: the claim's session was last used long ago
}

func (s Step) String() string {
	return fmt.Sprintf("%s bound=%v idle=%v %q <%q", s.Claim.ID, s.Claim.Bound, s.Idle, s.Args, s.Stdin)
}

const cookie = "Set-Cookie: cgisession_id=%s; Path=/; HttpOnly; SameSite=Lax\n"

// call is a step under way.
type call struct {
	*Model
	Claim
	limited bool // with --timeout
	ended   bool // it ended a session that was idle for too long
	args    []string
	stdin   string
}

// Do carries out a step. The id of a new session is the Model's next name.
func (m *Model) Do(s Step) Answer {
	if s.Idle {
		if at := m.sessions[s.Claim.ID]; at != nil {
			at.idle = true
		}
		return Answer{}
	}
	c := &call{Model: m, Claim: s.Claim, stdin: s.Stdin, args: s.Args[1:]}
	if len(c.args) > 0 && c.args[0] == "--timeout=1h" {
		c.limited, c.args = true, c.args[1:]
	}
	return verbs[s.Args[0]](c)
}

// Next is what the next new session will be called.
func (m *Model) Next() string { return "new" + strconv.Itoa(m.made) }

func (c *call) begin() (string, *session) {
	id := c.Next()
	c.made++
	s := &session{data: newObject()}
	c.sessions[id] = s
	return id, s
}

// found returns the claim's session. One that is over for this call counts as none;
// only a changing verb removes it.
func (c *call) found(changes bool) *session {
	s := c.sessions[c.ID]
	if s != nil && s.idle && c.limited {
		if changes {
			delete(c.sessions, c.ID)
			c.ended = true
		}
		return nil
	}
	return s
}

// no is the answer where there is no session to work on.
func (c *call) no(changes bool) Answer {
	if changes && c.Bound {
		return Answer{Code: 10}
	}
	return Answer{Code: 1}
}

// read is a verb that prints what there is, and marks the access.
func (c *call) read(marks bool, answer func(*session) Answer) Answer {
	s := c.found(false)
	if s == nil {
		return c.no(false)
	}
	if marks {
		s.idle = false
	}
	return answer(s)
}

// change is a verb that changes the data. What change returns other than code 0
// undoes it.
func (c *call) change(create bool, change func(*session) Answer) Answer {
	s, header := c.found(true), ""
	if s == nil {
		if !create || c.Bound {
			return c.no(true)
		}
		var id string
		id, s = c.begin()
		header = fmt.Sprintf(cookie, id)
	}
	was, version := clone(s.data).(*object), s.version
	got := change(s)
	if got.Code != 0 {
		s.data, s.version = was, version
		s.idle = s.idle && got.Code != 1 // to find nothing is an access, a mistake is none
		if header != "" {
			c.made--
			delete(c.sessions, c.Next())
		}
		return got
	}
	s.idle = false
	got.Stdout = header + got.Stdout
	return got
}

var verbs = map[string]func(*call) Answer{
	"load": func(c *call) Answer {
		s, id, isNew := c.found(true), c.ID, false
		ended, header := c.ended, `[]`
		if s == nil {
			id, s = c.begin()
			s.version, isNew = 1, true
			header = "[" + quote(strings.TrimSuffix(fmt.Sprintf(cookie, id), "\n")) + "]"
		}
		s.idle = false
		return Answer{Stdout: fmt.Sprintf(`{"headers":%s,"id":%q,"is_new":%v,"was_invalidated":%v,"version":%d,"data":%s}`+"\n",
			header, id, isNew, ended, s.version, text(s.data))}
	},
	"get": func(c *call) Answer {
		return c.read(true, func(s *session) Answer {
			if len(c.args) == 0 {
				return Answer{Stdout: text(s.data) + "\n"}
			}
			several := newObject()
			for _, key := range c.args {
				path, ok := steps(key)
				if !ok {
					return Answer{Code: 64}
				}
				if v, ok := find(s.data, path); ok {
					several.set(key, v)
				}
			}
			if len(c.args) > 1 {
				return Answer{Stdout: text(several) + "\n"}
			}
			if len(several.names) == 0 {
				return Answer{Code: 1}
			}
			return Answer{Stdout: text(several.values[c.args[0]]) + "\n"}
		})
	},
	"info": func(c *call) Answer {
		return c.read(false, func(s *session) Answer { return Answer{Stdout: fmt.Sprintf(`{"version":%d}`+"\n", s.version)} })
	},
	"cookie": func(c *call) Answer {
		return c.read(false, func(s *session) Answer { return Answer{Stdout: fmt.Sprintf(cookie, c.ID)} })
	},
	"set": func(c *call) Answer {
		return c.change(true, func(s *session) Answer {
			s.version++
			if c.args[0] == "--stdin" {
				merge(s.data, parse(c.stdin))
				c.args = c.args[1:]
			}
			for _, arg := range c.args {
				key, value, _ := strings.Cut(arg, "=")
				v := node(quote(value))
				if rest, ok := strings.CutSuffix(key, ":"); ok {
					key, v = rest, parse(value)
				}
				path, ok := steps(key)
				if !ok {
					return Answer{Code: 64}
				}
				if _, ok := put(s.data, path, v); !ok {
					return Answer{Code: 65}
				}
			}
			return Answer{}
		})
	},
	"unset": func(c *call) Answer {
		got := c.change(false, func(s *session) Answer {
			removed := false
			for _, key := range c.args {
				path, ok := steps(key)
				if !ok {
					return Answer{Code: 64}
				}
				removed = drop(s.data, path) || removed
			}
			if removed {
				s.version++
			}
			return Answer{}
		})
		if got.Code == 1 { // nothing to be done
			got.Code = 0
		}
		return got
	},
	"pop": func(c *call) Answer {
		return c.change(false, func(s *session) Answer {
			path, ok := steps(c.args[0])
			if !ok {
				return Answer{Code: 64}
			}
			v, ok := find(s.data, path)
			if !ok {
				return Answer{Code: 1}
			}
			drop(s.data, path)
			s.version++
			return Answer{Stdout: text(v) + "\n"}
		})
	},
	"incr": func(c *call) Answer {
		return c.change(false, func(s *session) Answer {
			path, ok := steps(c.args[0])
			if !ok {
				return Answer{Code: 64}
			}
			by := "1"
			if len(c.args) > 1 {
				by = c.args[2]
			}
			v, ok := find(s.data, path)
			if !ok {
				v = "0"
			} else if !isNumber(v) {
				return Answer{Code: 65}
			}
			sum := add(v.(string), by)
			if _, ok := put(s.data, path, sum); !ok {
				return Answer{Code: 65}
			}
			s.version++
			return Answer{Stdout: sum + "\n"}
		})
	},
	"append": func(c *call) Answer {
		return c.change(false, func(s *session) Answer {
			path, ok := steps(c.args[1])
			if !ok {
				return Answer{Code: 64}
			}
			list := &array{}
			if v, ok := find(s.data, path); ok {
				if list, ok = v.(*array); !ok {
					return Answer{Code: 65}
				}
			}
			for _, arg := range c.args[2:] {
				list.items = append(list.items, parse(arg))
			}
			if _, ok := put(s.data, path, list); !ok {
				return Answer{Code: 65}
			}
			s.version++
			return Answer{Stdout: strconv.Itoa(len(list.items)) + "\n"}
		})
	},
	"save": func(c *call) Answer {
		create := true
		if len(c.args) > 0 {
			create = c.args[1] == "0"
		}
		got := c.change(create, func(s *session) Answer {
			if len(c.args) > 0 && c.args[1] != strconv.Itoa(s.version) {
				return Answer{Code: 11}
			}
			s.data = parse(c.stdin).(*object)
			s.version++
			return Answer{}
		})
		if got.Code == 1 { // no session is no version
			got.Code = 11
		}
		return got
	},
	"delete": func(c *call) Answer {
		got := c.change(false, func(s *session) Answer {
			s.data = newObject()
			s.version++
			return Answer{}
		})
		if got.Code == 1 {
			got.Code = 0
		}
		return got
	},
	"invalidate": func(c *call) Answer {
		expire := len(c.args) > 0
		s := c.found(true)
		if s == nil && c.Bound && !expire {
			return c.no(true)
		}
		delete(c.sessions, c.ID)
		if expire {
			return Answer{Stdout: "Set-Cookie: cgisession_id=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; HttpOnly; SameSite=Lax\n"}
		}
		id, next := c.begin()
		next.version = 1
		return Answer{Stdout: fmt.Sprintf(cookie, id)}
	},
	"regenerate": func(c *call) Answer {
		s := c.found(true)
		if s == nil && c.Bound {
			return c.no(true)
		}
		id, next := c.begin()
		next.version = 1
		if s != nil {
			*next = *s
			next.idle = false
			delete(c.sessions, c.ID)
		}
		return Answer{Stdout: fmt.Sprintf(cookie, id)}
	},
}
