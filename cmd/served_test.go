package cmd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

// servedPage is the answer of the program to a server that takes it for a script.
const servedPage = "Status: 500 Internal Server Error\nContent-Type: text/plain\n\nThis program is no CGI script.\n"

// checkServed wants that a call did nothing, if served is set, and else what it
// was told: it makes a directory.
func (r request) checkServed(t *testing.T, c *exec.Cmd, served bool) {
	t.Helper()
	got := cmdtest.Finish(t, c)
	_, err := os.Stat(r.Dir + "/made")
	os.Remove(r.Dir + "/made")
	os.RemoveAll(r.Dir + "/sessions")
	if ran := err == nil; ran == served || served != (got.Stdout == servedPage) || served != (got.Code == 78) || served != (strings.Count(got.Stderr, "\n") == 1) {
		t.Errorf("%q with %q: ran %v, %+v", c.Args, r.Env, ran, got)
	}
}

// The program does nothing as a server's script, whatever it is called there and
// whatever the server says of that.
func TestServed(t *testing.T) {
	r := in(t.TempDir())
	cgiBin := filepath.Join(r.Dir, "cgi-bin")
	must(t, os.Mkdir(cgiBin, 0o755))
	must(t, os.Symlink("cgi-bin", r.Dir+"/linked"))
	own, err := os.ReadFile(cmdtest.Program)
	must(t, err)
	cmdtest.WriteScript(t, cgiBin+"/copy.cgi", string(own))
	must(t, os.Symlink(cmdtest.Program, cgiBin+"/sym.cgi"))
	must(t, os.Symlink("sym.cgi", cgiBin+"/twice.cgi"))
	must(t, os.Link(cgiBin+"/copy.cgi", cgiBin+"/hard.cgi"))
	cmdtest.WriteScript(t, cgiBin+"/page.cgi", "#!/bin/sh\n")
	cmdtest.WriteScript(t, cgiBin+"/cgisession", "#!/bin/sh\n")
	for _, name := range []string{"sym.cgi", "twice.cgi", "copy.cgi", "hard.cgi"} {
		for _, env := range [][]string{
			{"SCRIPT_FILENAME=" + cgiBin + "/" + name},
			{"SCRIPT_FILENAME=" + r.Dir + "/linked/" + name, "SCRIPT_NAME=/x", "DOCUMENT_ROOT=/"},
			{"SCRIPT_FILENAME=cgi-bin/" + name},
			{"SCRIPT_FILENAME=/no/such/directory/" + name},
			{"DOCUMENT_ROOT=" + r.Dir, "SCRIPT_NAME=/cgi-bin/" + name},
			{"DOCUMENT_ROOT=/no/such/directory", "SCRIPT_NAME=/cgi-bin/" + name},
			{"SCRIPT_NAME=/cgi-bin/" + name},
			{"SCRIPT_NAME=linked//" + name},
			{"SCRIPT_NAME=/elsewhere/" + name},
		} {
			for _, path := range []string{cgiBin + "/" + name, "linked/" + name} {
				r := in(r.Dir, env...)
				r.checkServed(t, r.Command(path, "run", "mkdir", "made"), true)
			}
		}
	}

	// Another script called it.
	for _, env := range [][]string{
		{},
		{"SCRIPT_FILENAME=" + cgiBin + "/page.cgi"},
		{"SCRIPT_FILENAME=" + cgiBin + "/cgisession"},
		{"SCRIPT_FILENAME=" + cgiBin + "/page.cgi", "SCRIPT_NAME=/cgi-bin/sym.cgi", "DOCUMENT_ROOT=" + r.Dir},
		{"SCRIPT_FILENAME=/no/such/directory/page.cgi"},
		{"SCRIPT_FILENAME=/no/such/directory/page.cgi", "SCRIPT_NAME=/cgi-bin/sym.cgi"},
		{"SCRIPT_FILENAME=" + cgiBin},
		{"DOCUMENT_ROOT=" + r.Dir, "SCRIPT_NAME=/cgi-bin/page.cgi"},
		{"DOCUMENT_ROOT=/no/such/directory", "SCRIPT_NAME=/cgi-bin/page.cgi"},
		{"SCRIPT_NAME=/cgi-bin/page.cgi"}, {"SCRIPT_NAME=/elsewhere/page.cgi"}, {"SCRIPT_NAME=/"}, {"SCRIPT_NAME="},
		{"DOCUMENT_ROOT=" + cgiBin + "/sym.cgi"},
		{"GATEWAY_INTERFACE=CGI/1.1", "SCRIPT_NAME=/page.cgi", "QUERY_STRING=run+mkdir"},
		{"GATEWAY_INTERFACE=CGI/1.1", "SCRIPT_NAME=/page.cgi"},
		{"QUERY_STRING=run+mkdir+made"}, // no request
	} {
		r := in(r.Dir, env...)
		r.checkServed(t, r.Command(cmdtest.Program, "run", "mkdir", "made"), false)
	}
}

// Where arguments are the query string, a server made them of it. But no client
// keeps a script from a call by a query string that looks like it.
func TestQueryAsArguments(t *testing.T) {
	if _, err := os.Stat("/proc/self/environ"); err != nil {
		t.Skip(err)
	}
	r := in(t.TempDir())
	r.scripts(t, map[string]string{"page.cgi": "#!/bin/sh\ncgisession run mkdir made; exit", "passes.cgi": "#!/bin/sh\nexec cgisession \"$@\""})
	page := r.Dir + "/page.cgi"
	for _, script := range []string{"SCRIPT_FILENAME=" + page, "SCRIPT_FILENAME=/no/such/page.cgi", "SCRIPT_NAME=/page.cgi", "SCRIPT_NAME=/no/such/page.cgi", "DOCUMENT_ROOT=" + r.Dir} {
		for query, args := range map[string][]string{
			"run+mkdir+made":     {"run", "mkdir", "made"},
			"%72un+mkdi%72+made": {"run", "mkdir", "made"},
			"run+mkdir%00x+made": {"run", "mkdir", "made"},
			"run%20mkdir%20made": {"run mkdir made"},
			"run++mkdir+made+":   {"run  mkdir made "},
		} {
			r := in(r.Dir, "GATEWAY_INTERFACE=CGI/1.1", "QUERY_STRING="+query, script)
			r.checkServed(t, r.Command(cmdtest.Program, args...), true)
			r.checkServed(t, r.Command("./passes.cgi", args...), true)
			unnamed := strings.HasPrefix(script, "DOCUMENT_ROOT=") // then no script can have called it
			for _, command := range [][]string{append([]string{"./page.cgi"}, args...), {"sh", "-c", "timeout 60 cgisession run mkdir made"}} {
				r.checkServed(t, r.Command(command[0], command[1:]...), unnamed)
			}
		}
	}

	// A parent that has another query string or script's name, or is in no request, is no script of this one.
	for _, row := range []struct{ variable, set string }{
		{"GATEWAY_INTERFACE=CGI/1.1", "QUERY_STRING=run+mkdir+made"},
		{"QUERY_STRING=run+mkdir+made", "GATEWAY_INTERFACE=CGI/1.1"},
	} {
		r := in(r.Dir, "SCRIPT_FILENAME="+page, row.variable)
		r.checkServed(t, r.Command("sh", "-c", row.set+" cgisession run mkdir made; exit"), true)
	}

	// Nor is a server that another script started in a request with the same query string.
	r.Env = []string{"GATEWAY_INTERFACE=CGI/1.1", "SCRIPT_FILENAME=" + page, "SCRIPT_NAME=/cgi-bin/page.cgi", "QUERY_STRING=run+mkdir+made"}
	r.checkServed(t, r.Command("sh", "-c", "SCRIPT_NAME=/cgi-bin/copy.cgi cgisession run mkdir made; exit"), true)
}
