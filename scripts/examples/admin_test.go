package examples

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

// Nobody sees the page whom the server has not authenticated, whatever a client sends.
func TestAdminForbidden(t *testing.T) {
	for _, settings := range [][]string{nil, {"REMOTE_USER="}} {
		onEachServer(t, settings, func(t *testing.T, s *site) {
			admin := s.base + "admin.sh"
			handle := s.userSession(t, "ann", "")
			for _, options := range [][]string{
				nil,
				{"--header", "Remote-User: root", "--header", "Remote_User: root", "--header", "REMOTE_USER: root"},
				{"--user", "root:root"},
				{"--data", "handle=" + handle},
			} {
				p := cmdtest.Fetch(t, admin, options...)
				if !strings.Contains(p.Head, " 403 ") || len(p.Cookies()) > 0 {
					t.Errorf("%q: %s", options, p.Head)
				}
				p.WantNot(t, "ann", handle[:12], "<form")
			}
			if n := len(s.sessions(t)); n != 1 {
				t.Errorf("%d sessions are there", n)
			}
		})
	}
}

// userSession makes a session of the user, as another browser's, and returns its handle.
func (s *site) userSession(t *testing.T, user, note string) (handle string) {
	t.Helper()
	before := s.cgisession(t, "", "list")
	s.cgisession(t, "", "regenerate", "--user", user, "--note", note)
	for line := range strings.Lines(s.cgisession(t, "", "list")) {
		if handle = line[:64]; !strings.Contains(before, handle) {
			return handle
		}
	}
	t.Fatal("no new session")
	return ""
}

// endButton matches the button that ends a session.
var endButton = regexp.MustCompile(`name="handle" value="([0-9a-f]{64})"`)

// An administrator sees whose sessions there are, and ends one by a form of the page.
func TestAdmin(t *testing.T) {
	onEachServer(t, []string{"REMOTE_USER=<Eva>"}, func(t *testing.T, s *site) {
		admin := s.base + "admin.sh"
		ann, bob := s.userSession(t, "ann", "Firefox"), s.userSession(t, "bob", "")
		b := cmdtest.NewBrowser(t)
		p := b.Get(t, admin)
		p.Want(t, "You are &lt;Eva&gt;.", "<td>"+ann[:12]+"<td>ann<td>Firefox<td>20", "<td>"+bob[:12]+"<td>bob<td><td>20")
		if n := len(endButton.FindAllString(p.Body, -1)); n != 3 || strings.Count(p.Head, "no-store") != 1 {
			t.Errorf("%d of 3 sessions can be ended:\n%s%s", n, p.Head, p.Body)
		}
		csrf := csrfOf(t, p)

		// Neither a link nor a form of another site ends a session.
		b.Get(t, admin+"?csrf="+csrf+"&handle="+ann).Want(t, ann[:12])
		others := csrfOf(t, cmdtest.NewBrowser(t).Get(t, admin))
		for _, token := range []string{"", "csrf=", "csrf=" + strings.Repeat("a", len(csrf)), "csrf=" + others} {
			p := b.Get(t, admin, "--data", token+"&handle="+ann)
			p.Want(t, "too old", ann[:12])
			if !strings.Contains(p.Head, " 403 ") {
				t.Errorf("%q: %s", token, p.Head)
			}
		}
		p = b.Get(t, admin, "--data", "csrf="+csrf+"&handle="+ann)
		if !strings.Contains(p.Head, " 303 ") || !strings.Contains(strings.ToLower(p.Head), "location: ") {
			t.Errorf("%s%s", p.Head, p.Body)
		}
		b.Get(t, admin).WantNot(t, ann[:12])

		// What is no handle ends nothing, least of all as an option.
		for _, handle := range []string{
			"", ann, "--all", "-h", "--user=bob", "--user=bob%0A", "nosuch", "..%2F..", bob + "%0A" + bob, "%00",
		} {
			p := b.Get(t, admin, "--data", "csrf="+csrf+"&handle="+handle)
			p.Want(t, "cannot be ended", bob[:12])
			if !strings.Contains(p.Head, " 404 ") {
				t.Errorf("%q: %s", handle, p.Head)
			}
		}
		if list := s.cgisession(t, "", "list"); !strings.Contains(list, bob) || strings.Contains(list, ann) {
			t.Errorf("these are left:\n%s", list)
		}
	})
}

// What clients chose is text on the page.
func TestAdminHostileText(t *testing.T) {
	onEachServer(t, []string{"REMOTE_USER=eva"}, func(t *testing.T, s *site) {
		for _, row := range []struct{ user, note, want string }{
			{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`,
				`<td>&lt;script&gt;alert(1)&lt;/script&gt;<td>&quot;&gt;&lt;img src=x onerror=alert(1)&gt;<td>20`},
			{`a" "b`, `'&amp;' $(id) %s \" &`, `<td>a&quot; &quot;b<td>&#39;&amp;amp;&#39; $(id) %s `},
			{"two\nlines \x1b[31m", "Zoë\r\n<b>", `<td>two\nlines \x1b[31m<td>Zoë\r\n&lt;b&gt;<td>20`},
			{"live dead", " ", `<td>live dead<td> <td>20`},
		} {
			s.userSession(t, row.user, row.note)
			p := cmdtest.NewBrowser(t).Get(t, s.base+"admin.sh")
			p.Want(t, row.want)
			p.WantNot(t, "<script", "<img", "<b>")
		}
	})
}

// lighttpd asks for a password, and says by REMOTE_USER whose it was.
func TestAdminBehindPassword(t *testing.T) {
	if _, err := os.Stat("/usr/lib/lighttpd/mod_authn_file.so"); err != nil {
		t.Skip(err)
	}
	v := servers[0]
	v.command = func(t *testing.T, s *site) *exec.Cmd {
		c := lighttpd(t, s)
		conf, passwords := c.Args[len(c.Args)-1], filepath.Join(t.TempDir(), "passwords")
		text, err := os.ReadFile(conf)
		if err == nil {
			err = os.WriteFile(passwords, []byte("eva:sesame\n"), 0o600)
		}
		if err == nil {
			err = os.WriteFile(conf, fmt.Appendf(text, `server.modules += ("mod_auth", "mod_authn_file")
auth.backend = "plain"
auth.backend.plain.userfile = %q
auth.require = ("/cgi-bin/admin.sh" => ("method" => "basic", "realm" => "administrators", "require" => "valid-user"))
`, passwords), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	s := start(t, v, nil)
	admin := s.base + "admin.sh"
	for _, options := range [][]string{nil, {"--user", "eva:guess"}} {
		if p := cmdtest.Fetch(t, admin, options...); !strings.Contains(p.Head, " 401 ") {
			t.Errorf("%q: %s", options, p.Head)
		}
	}
	ann := s.userSession(t, "ann", "")
	b := cmdtest.NewBrowser(t)
	p := b.Get(t, admin, "--user", "eva:sesame")
	p.Want(t, "You are eva.", ann[:12])
	b.Get(t, admin, "--user", "eva:sesame", "--data", "csrf="+csrfOf(t, p)+"&handle="+ann)
	b.Get(t, admin, "--user", "eva:sesame").WantNot(t, ann[:12])
}
