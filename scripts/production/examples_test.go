package production

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cgisession/cmd/cmdtest"
)

// demo is the server of scripts/demo.
var demo = server{name: "demo", programs: []string{"go"}, start: func(t *testing.T, m *machine, _ bool) []*exec.Cmd {
	own := m.path("/usr/local/bin/cgiserver")
	write(t, own, read(t, filepath.Join(filepath.Dir(cmdtest.Program), "cgiserver")), 0o755)
	c := exec.Command(own, "-addr", m.address(), m.path("/usr/lib/cgi-bin"))
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 33, Gid: 33}}
	return []*exec.Cmd{c}
}}

// A visitor asks for pages of the examples.
type visitor struct {
	*cmdtest.Browser
	base string
	// cacheControl is what each answer of a script has in Cache-Control.
	cacheControl []string
}

// answers fetches a script's page, and wants this status and the texts in it.
func (v visitor) answers(t *testing.T, status, script string, options []string, texts ...string) cmdtest.Page {
	t.Helper()
	p := v.Get(t, v.base+script, options...)
	if first, _, _ := strings.Cut(p.Head, "\n"); !strings.Contains(first, " "+status) {
		t.Errorf("%s %q: %s, not %s", script, options, first, status)
	}
	var found []string
	for line := range strings.Lines(p.Head) {
		if name, text, _ := strings.Cut(line, ":"); strings.EqualFold(name, "Cache-Control") {
			found = append(found, strings.TrimSpace(text))
		}
	}
	if script != "nothing.sh" && script != "form.sh" && fmt.Sprint(found) != fmt.Sprint(v.cacheControl) {
		t.Errorf("%s %q: Cache-Control %q, want %q", script, options, found, v.cacheControl)
	}
	p.Want(t, texts...)
	return p
}

// missing is a script of a site that answers 404 itself.
const missing = `#!/bin/sh
eval "$(cgisession load --sh || echo exit 1)"
printf 'Status: 404 Not Found\nContent-Type: text/plain\n\nno such article\n'
`

// fields are curl's options to post a form.
func fields(all ...string) (options []string) {
	for _, f := range all {
		options = append(options, "--data-urlencode", f)
	}
	return options
}

// What each example answers arrives through each server, with its status: pages,
// 303 after a change, 400 for what cannot be kept, 404 for what is not there.
func TestExamples(t *testing.T) {
	scripts, err := filepath.Glob("../examples/*.[sp][hly]")
	if err != nil || len(scripts) != 9 {
		t.Fatalf("not all examples are in this test: %q, %v", scripts, err)
	}
	for _, s := range append(servers[:len(servers):len(servers)], demo) {
		t.Run(s.name, func(t *testing.T) {
			needs(t, append(s.programs, "curl", "perl", "python3")...)
			m := newMachine(t)
			for _, dir := range []string{"/usr/lib/cgi-bin", "/var/www/cgi-bin"} {
				m.run(t, "cp", append(scripts, m.path(dir))...)
				write(t, m.path(dir+"/missing.sh"), missing, 0o755)
			}
			m.serve(t, s, false)
			v := visitor{cmdtest.NewBrowser(t), "http://" + m.address() + "/cgi-bin/", []string{"no-store"}}
			switch s.name {
			case "busybox":
				v.cacheControl = nil
			case "demo":
				v.base = "http://" + m.address() + "/"
				v.answers(t, "404", "form.sh", nil) // it is no script, but a part of them
			}
			v.browse(t)
		})
	}
}

// browse uses each example as its pages do.
func (v visitor) browse(t *testing.T) {
	v.answers(t, "404", "nothing.sh", nil)
	for i, script := range []string{"counter.sh", "counter.pl", "counter.py"} {
		v.answers(t, "200", script, nil, fmt.Sprintf("Visit %d.", 4*i+1))
		v.answers(t, "200", script, nil, fmt.Sprintf("Visit %d.", 4*i+2))
		v.answers(t, "200", script, []string{"--head"})
		v.answers(t, "200", script, nil, fmt.Sprintf("Visit %d.", 4*i+4))
	}

	v.answers(t, "404", "missing.sh", nil, "no such article")

	forbidden := v
	forbidden.cacheControl = []string{"no-store"} // its own line
	forbidden.answers(t, "403", "admin.sh", nil)

	v.answers(t, "303", "guestbook.sh", fields("text=<Hello>"))
	v.answers(t, "200", "guestbook.sh", nil, "<li>&lt;Hello&gt;</li>")
	v.answers(t, "400", "guestbook.sh", fields("text="+strings.Repeat("x", 2001)), "cannot be kept")
	v.answers(t, "400", "guestbook.sh", []string{"--data", "text=%FF"}, "cannot be kept")

	v.answers(t, "303", "cart.pl", fields("add=tea"))
	v.answers(t, "200", "cart.pl", nil, "Total: 4.20")
	v.answers(t, "400", "cart.pl", fields("add=/../x"), "cannot be kept")

	v.answers(t, "303", "wizard.sh", fields("answer=name", "name=Eva"))
	v.answers(t, "303", "wizard.sh", fields("answer=enough"))
	v.answers(t, "200", "wizard.sh", nil, "A table for Eva")

	csrf := v.token(t)
	v.answers(t, "200", "login.sh", fields("csrf="+csrf, "action=log-in", "name=Eva", "password=guess"), "Wrong name")
	before := v.Cookie(t)
	v.answers(t, "303", "login.sh", fields("csrf="+csrf, "action=log-in", "name=Eva", "password=sesame"))
	if after := v.Cookie(t); after == before || after == "" {
		t.Error("no new cookie came with the 303 of a log-in")
	}
	v.answers(t, "200", "login.sh", nil, "logged in as <b>Eva</b>", "Welcome, Eva.")
	v.answers(t, "303", "login.sh", fields("csrf="+v.token(t), "action=log-out"))
	if v.Cookie(t) != "" {
		t.Error("the log-out's 303 drops no cookie")
	}
	v.answers(t, "200", "login.sh", nil, "Password")
}

// token returns the hidden field of the log-in's form.
func (v visitor) token(t *testing.T) string {
	t.Helper()
	_, rest, _ := strings.Cut(v.answers(t, "200", "login.sh", nil).Body, `name="csrf" value="`)
	token, _, _ := strings.Cut(rest, `"`)
	return token
}
