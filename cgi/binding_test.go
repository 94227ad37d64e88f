package cgi_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cgisession/cgi"
)

// An environment is what a process has.
type environment map[string]string

func (e environment) lookup(name string) (string, bool) {
	value, ok := e[name]
	return value, ok
}

// with returns the environment with other variables in it.
func (e environment) with(others environment) environment {
	all := maps.Clone(e)
	maps.Copy(all, others)
	return all
}

// exporting returns the environment after its script, process 7, has loaded the
// session. What was ignored is still there, as after load --json.
func (e environment) exporting() environment {
	return e.with(environment{
		"CGISESSION_ID":     "an-id-of-the-script",
		cgi.RequestVariable: cgi.Bind(e.own().lookup, e.lookup, 100, 7).Text(),
	})
}

// own returns the environment without what is taken for unset.
func (e environment) own() environment {
	names, err := cgi.Inherited(e.lookup, is(cgi.NoKin))
	if err != nil {
		panic(err)
	}
	own := maps.Clone(e)
	maps.DeleteFunc(own, func(name, _ string) bool { return slices.Contains(names, name) })
	return own
}

// is makes process 7 kin, if it is asked for by the time of the export.
func is(kin cgi.Kin) func(int, int64) cgi.Kin {
	return func(pid int, by int64) cgi.Kin {
		if pid != 7 || by != 100 {
			return cgi.NoKin
		}
		return kin
	}
}

var request = environment{
	"GATEWAY_INTERFACE": "CGI/1.1", "HTTP_COOKIE": "a=1; b=2", "REMOTE_ADDR": "192.0.2.12", "REMOTE_PORT": "34567",
	"REQUEST_URI": "/page?q", "UNIQUE_ID": "one", "SERVER_SOFTWARE": "server", "QUERY_STRING": "q",
}

func TestInherited(t *testing.T) {
	for _, row := range []struct {
		name            string
		request, change environment
		kin             cgi.Kin
		ignored, cookie bool
	}{
		{name: "the script's own call", kin: cgi.Ancestor},
		{name: "a job", kin: cgi.NoKin},
		{name: "a job that changes what identifies no request", change: environment{"QUERY_STRING": "x", "PATH_INFO": "x"}},
		{name: "another cookie", change: environment{"HTTP_COOKIE": "a=1"}, ignored: true},
		{name: "another address", change: environment{"REMOTE_ADDR": "192.0.2.13"}, ignored: true, cookie: true},
		{name: "another port", change: environment{"REMOTE_PORT": "34568"}, ignored: true, cookie: true},
		{name: "another URI", change: environment{"REQUEST_URI": "/page"}, ignored: true, cookie: true},
		{name: "another unique id", change: environment{"UNIQUE_ID": "two"}, ignored: true, cookie: true},
		{name: "another server", change: environment{"SERVER_SOFTWARE": "python"}, ignored: true, cookie: true},
		{name: "shifted", change: environment{"REMOTE_ADDR": "192.0.2.1", "REMOTE_PORT": "234567"}, ignored: true, cookie: true},
		{name: "lengths in values", request: environment{"REMOTE_ADDR": "x1:y", "REMOTE_PORT": ""}, change: environment{"REMOTE_ADDR": "x", "REMOTE_PORT": "y"}, ignored: true, cookie: true},
		{name: "all changed by a descendant", change: environment{"HTTP_COOKIE": "x", "REMOTE_ADDR": "x", "REMOTE_PORT": "x", "REQUEST_URI": "x", "UNIQUE_ID": "x"}, kin: cgi.Ancestor},
		{name: "only a port", request: environment{"UNIQUE_ID": ""}},
		{name: "only a unique id", request: environment{"REMOTE_PORT": ""}},
		{name: "neither", request: environment{"REMOTE_PORT": "", "UNIQUE_ID": ""}, ignored: true, cookie: true},
		{name: "neither, in the group", request: environment{"REMOTE_PORT": "", "UNIQUE_ID": ""}, kin: cgi.Group},
		{name: "another address, in the group", change: environment{"REMOTE_ADDR": "x"}, kin: cgi.Group, ignored: true, cookie: true},
		{name: "no CGI request", change: environment{"GATEWAY_INTERFACE": "", "REMOTE_PORT": "x"}},
		{name: "no binding", change: environment{cgi.RequestVariable: "", "REMOTE_PORT": "x"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			env := request.with(row.request).exporting().with(row.change)
			names, err := cgi.Inherited(env.lookup, is(row.kin))
			if ignored := slices.Contains(names, "CGISESSION_ID"); err != nil || ignored != row.ignored || ignored != slices.Contains(names, "CGISESSION_LOCK_FD") {
				t.Errorf("ignored: %q, %v", names, err)
			}
			if cookie := slices.Contains(names, "HTTP_COOKIE"); cookie != row.cookie {
				t.Errorf("the cookie is ignored: %v", cookie)
			}
		})
	}
}

// Servers that scripts of servers start have the environments of all of them.
func TestInheritedTwice(t *testing.T) {
	first := request.exporting()
	second := first.with(environment{"SERVER_SOFTWARE": "python", "REMOTE_ADDR": "192.0.2.2"}).exporting()
	for name, row := range map[string]struct {
		server environment
		job    bool
	}{
		"one that says nothing of the connection":     {second, false},
		"the same, after another call of the request": {second.exporting(), false},
		"a client that sends a cookie":                {second.with(environment{"HTTP_COOKIE": "c=3"}).exporting(), false},
		"one that tells the port":                     {first.with(environment{"HTTP_COOKIE": "c=3", "REMOTE_PORT": "1"}).exporting(), true},
	} {
		names, err := cgi.Inherited(row.server.lookup, is(cgi.NoKin))
		if err != nil || (names == nil) != row.job {
			t.Errorf("%s: ignored: %q, %v", name, names, err)
		}
		if !row.job && !slices.Contains(names, "HTTP_COOKIE") {
			t.Errorf("%s: the first request's cookie counts", name)
		}
	}
}

func TestShellWord(t *testing.T) {
	b := cgi.Bind(request.lookup, request.lookup, 100, 7)
	if head, ok := strings.CutSuffix(b.ShellWord(), `:'"$$"`); !ok || "'"+strings.TrimSuffix(b.Text(), ":7") != head {
		t.Errorf("%s for %s", b.ShellWord(), b.Text())
	}
}

func FuzzInherited(f *testing.F) {
	f.Add(request.exporting()[cgi.RequestVariable])
	f.Add("0:0:0:0:0")
	whole := regexp.MustCompile(`\A[0-9a-f]{32}:[0-9a-f]{32}:[0-9a-f]{32}:[0-9]{1,18}:[0-9]{1,18}\z`)
	f.Fuzz(func(t *testing.T, text string) {
		env := request.with(environment{cgi.RequestVariable: text})
		names, err := cgi.Inherited(env.lookup, is(cgi.NoKin))
		switch {
		case text == "" && (names != nil || err != nil),
			whole.MatchString(text) && err != nil,
			text != "" && err == nil && names == nil && text != request.exporting()[cgi.RequestVariable] && !whole.MatchString(text):
			t.Errorf("%q: %q, %v", text, names, err)
		}
		if err != nil && strings.Contains(err.Error(), text) && len(text) > 40 {
			t.Errorf("the message repeats %q", text)
		}
	})
}
