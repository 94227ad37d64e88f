// Package examples tests the examples, and with them the program as it is used: web
// servers run the scripts, and curl is the browser.
package examples

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
)

func TestMain(m *testing.M) {
	if _, err := exec.LookPath("curl"); err != nil {
		fmt.Println("SKIP: no curl here, which is the browser of these tests")
		os.Exit(0)
	}
	os.Exit(cmdtest.Run(m.Run, cmdtest.Script("../build"), cmdtest.Package("cgisession/scripts/cgiserver", "")))
}

// many is how many requests come at once.
const many = 200

func TestCounter(t *testing.T) {
	onEachServer(t, nil, func(t *testing.T, s *site) {
		for _, script := range []string{"counter.sh", "counter.pl"} {
			t.Run(script, func(t *testing.T) {
				needPerl(t, script)
				b := newBrowser(t)
				first := b.get(t, s.base+script)
				first.want(t, "Visit 1.")
				if len(first.cookies()) != 1 {
					t.Errorf("%d cookies on the first visit", len(first.cookies()))
				}
				second := b.get(t, s.base+script)
				second.want(t, "Visit 2.")
				if len(second.cookies()) != 0 {
					t.Errorf("%d cookies on the second visit", len(second.cookies()))
				}
			})
		}
	})
}

func needPerl(t *testing.T, script string) {
	if strings.HasSuffix(script, ".pl") && exec.Command("perl", "-MJSON::PP", "-e", "1").Run() != nil {
		t.Skip("no perl with JSON::PP here")
	}
}

func TestTwoBrowsers(t *testing.T) {
	onEachServer(t, nil, func(t *testing.T, s *site) {
		one, two := newBrowser(t), newBrowser(t)
		one.get(t, s.base+"counter.sh").want(t, "Visit 1.")
		two.get(t, s.base+"counter.sh").want(t, "Visit 1.")
		one.get(t, s.base+"counter.sh").want(t, "Visit 2.")
		two.get(t, s.base+"counter.sh").want(t, "Visit 2.")
		if one.cookie(t) == two.cookie(t) {
			t.Error("both have the same session")
		}
	})
}

func TestLogin(t *testing.T) {
	onEachServer(t, nil, func(t *testing.T, s *site) {
		login := s.base + "login.sh"
		b := newBrowser(t)
		csrf := csrfOf(t, b.get(t, login))
		before := b.cookie(t)

		b.post(t, login, "csrf="+csrf, "action=log-in", "name=Eva", "password=guess").want(t, "Wrong name or password.")
		b.post(t, login, "csrf=", "action=log-in", "name=Eva", "password=sesame").want(t, "too old")
		b.post(t, login, "action=log-in", "name=Eva", "password=sesame").want(t, "too old")
		in := b.post(t, login, "csrf="+csrf, "action=log-in", `name=<b>"Zoë" & 'co'`, "password=sesame")
		in.want(t, "logged in as <b>&lt;b&gt;&quot;Zoë&quot; &amp; &#39;co&#39;</b>")
		in.want(t, "<p>Welcome, &lt;b&gt;&quot;Zoë")
		b.get(t, login).wantNot(t, "Welcome")
		if len(in.cookies()) != 1 || b.cookie(t) == before {
			t.Error("the log-in gave no new id")
		}
		fetch(t, login, "--cookie", before).wantNot(t, "logged in")

		inside := b.cookie(t)
		out := b.post(t, login, "csrf="+csrfOf(t, b.get(t, login)), "action=log-out")
		out.want(t, "Password")
		if !strings.Contains(out.header, "Max-Age=0") {
			t.Errorf("the log-out drops no cookie:\n%s", out.header)
		}
		fetch(t, login, "--cookie", inside).wantNot(t, "logged in")
	})
}

// csrfOf returns the hidden field of a form.
func csrfOf(t *testing.T, p page) string {
	_, rest, _ := strings.Cut(p.body, `name="csrf" value="`)
	csrf, _, ok := strings.Cut(rest, `"`)
	if !ok || csrf == "" {
		t.Fatalf("no form:\n%s\n%s", p.header, p.body)
	}
	return csrf
}

func TestTimeout(t *testing.T) {
	onEachServer(t, []string{"CGISESSION_TIMEOUT=30m"}, func(t *testing.T, s *site) {
		b := newBrowser(t)
		b.get(t, s.base+"counter.sh").want(t, "Visit 1.")
		before := b.cookie(t)
		s.age(t, 29*time.Minute)
		b.get(t, s.base+"counter.sh").want(t, "Visit 2.")
		s.age(t, 31*time.Minute)
		b.get(t, s.base+"counter.sh").want(t, "Visit 1.")
		if b.cookie(t) == before {
			t.Error("the session that timed out and its successor have the same id")
		}
		if n := len(s.sessions(t)); n != 1 {
			t.Errorf("%d sessions are there", n)
		}
	})
}

// age makes all sessions look unused for so long.
func (s *site) age(t *testing.T, unused time.Duration) {
	then := time.Now().Add(-unused)
	for _, file := range s.sessions(t) {
		if err := os.Chtimes(file, then, then); err != nil {
			t.Fatal(err)
		}
	}
}

// A cookie that a stranger made up is never adopted, and makes no file.
func TestMadeUpCookie(t *testing.T) {
	const id = "abcdefghijklmnopqrstuvwxyz234567"
	onEachServer(t, nil, func(t *testing.T, s *site) {
		fetch(t, s.base+"peek.sh", "--cookie", "cgisession_id="+id).want(t, "no session")
		if n := len(s.sessions(t)); n != 0 {
			t.Errorf("looking made %d sessions", n)
		}
		p := fetch(t, s.base+"counter.sh", "--cookie", "cgisession_id="+id)
		p.want(t, "Visit 1.")
		if len(p.cookies()) != 1 || strings.Contains(p.header, id) {
			t.Errorf("no id of its own:\n%s", p.header)
		}
		handle := sha256.Sum256([]byte("cgisession_id\x00" + id))
		files := s.sessions(t)
		if len(files) != 1 || filepath.Base(files[0]) == hex.EncodeToString(handle[:]) {
			t.Errorf("sessions: %v", files)
		}
	})
}

// The script reads the body after three calls of the program.
func TestBody(t *testing.T) {
	onEachServer(t, nil, func(t *testing.T, s *site) {
		body := make([]byte, 64<<10)
		rand.Read(body)
		copy(body, "\x00\r\n\r\n\xff=&+%00")
		file := filepath.Join(t.TempDir(), "body")
		if err := os.WriteFile(file, body, 0o600); err != nil {
			t.Fatal(err)
		}
		b := newBrowser(t)
		for _, visit := range []string{"first", "second"} {
			p := b.get(t, s.base+"body.sh", "--data-binary", "@"+file, "--header", "Content-Type: application/octet-stream")
			if p.body != string(body) {
				t.Errorf("on the %s visit %d bytes came back, not the %d that were sent:\n%s", visit, len(p.body), len(body), p.header)
			}
		}
	})
}

// Header fields that a client names after our variables have no effect.
func TestHostileHeaders(t *testing.T) {
	onEachServer(t, nil, func(t *testing.T, s *site) {
		elsewhere := filepath.Join(t.TempDir(), "elsewhere")
		hostile := []string{
			"--header", "Cgisession-Data-Dir: " + elsewhere,
			"--header", "Cgisession_Data_Dir: " + elsewhere,
			"--header", "Cgisession-Id: abcdefghijklmnopqrstuvwxyz234567",
			"--header", "Cgisession-Use-Cookies: false",
			"--header", "Tmpdir: " + elsewhere,
			"--header", "Https: on",
			"--header", "Proxy: http://127.0.0.1:9/",
		}
		b := newBrowser(t)
		p := b.get(t, s.base+"counter.sh", hostile...)
		p.want(t, "Visit 1.")
		if len(p.cookies()) != 1 || strings.Contains(p.header, "Secure") {
			t.Errorf("the cookie is another one:\n%s", p.header)
		}
		b.get(t, s.base+"counter.sh", hostile...).want(t, "Visit 2.")
		if n := len(s.sessions(t)); n != 1 {
			t.Errorf("%d sessions in the data directory", n)
		}
		if _, err := os.Stat(elsewhere); err == nil {
			t.Error("a client chose the data directory")
		}
	})
}

// Where sessions cannot be kept, a script ends before it says a word.
func TestNoStore(t *testing.T) {
	onEachServer(t, nil, func(t *testing.T, s *site) {
		if err := os.WriteFile(s.data, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, script := range []string{"counter.sh", "counter.pl", "login.sh", "guestbook.sh", "cart.pl", "wizard.sh"} {
			// An error page, or from busybox httpd not a byte.
			p, _ := curl(s.base + script)
			p.wantNot(t, `<html lang="en">`)
		}
	})
}

func TestManyFirstVisits(t *testing.T) {
	onEachServer(t, nil, func(t *testing.T, s *site) {
		pages := make([]page, many)
		cmdtest.AtOnce(many, func(i int) { pages[i] = fetch(t, s.base+"counter.sh") })
		ids := map[string]bool{}
		for _, p := range pages {
			p.want(t, "Visit 1.")
			for _, c := range p.cookies() {
				ids[c] = true
			}
		}
		if files := len(s.sessions(t)); len(ids) != many || files != many {
			t.Errorf("%d first visits gave %d ids and %d sessions", many, len(ids), files)
		}
	})
}

func TestManyChanges(t *testing.T) {
	onEachServer(t, nil, func(t *testing.T, s *site) {
		b := newBrowser(t)
		b.get(t, s.base+"counter.sh")
		cookie := b.cookie(t)
		cmdtest.AtOnce(many, func(i int) {
			fetch(t, fmt.Sprintf("%sset.sh?k%d=v%d", s.base, i, i), "--cookie", cookie)
		})
		wantKeys(t, s.cgisession(t, cookie, "get"))
	})
}

// The same without a web server between.
func TestManyProcesses(t *testing.T) {
	r := cmdtest.Request{Dir: t.TempDir()}.With("CGISESSION_LOCK_TIMEOUT=5m")
	cookie, _, err := cmdtest.Cookies("", r.Must(t, "load"))
	if err != nil {
		t.Fatal(err)
	}
	r = r.With("HTTP_COOKIE=" + cookie)
	cmdtest.AtOnce(many, func(i int) {
		if output, _ := r.Want(t, "set", fmt.Sprintf("k%d=v%d", i, i)); output != "" {
			t.Errorf("set printed %q", output)
		}
	})
	wantKeys(t, r.Must(t, "get"))
}

// wantKeys wants what each of many changes has set.
func wantKeys(t *testing.T, data string) {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal([]byte(data), &got); err != nil {
		t.Fatalf("data %q: %v", data, err)
	}
	for i := range many {
		if got[fmt.Sprintf("k%d", i)] != fmt.Sprintf("v%d", i) {
			t.Errorf("key k%d is lost", i)
		}
	}
}

func TestGuestbook(t *testing.T) {
	onEachServer(t, nil, func(t *testing.T, s *site) {
		book := s.base + "guestbook.sh"
		b := newBrowser(t)
		b.get(t, book).wantNot(t, "<li>")
		b.post(t, book, `text=<i>"quoted" \ 100% + Ünïcode`).want(t, `<li>&lt;i&gt;&quot;quoted&quot; \ 100% + Ünïcode</li>`)
		b.post(t, book, "text=$(id) `id` ' ;").want(t, "<li>$(id) `id` &#39; ;</li>", "&lt;i&gt;")
		b.post(t, book, "text=").want(t, "<ol>")
		b.get(t, book, "--data", "text=%FF%FE").want(t, "cannot be kept")
		if n := strings.Count(b.get(t, book).body, "<li>"); n != 2 {
			t.Errorf("%d entries", n)
		}
		cookie := b.cookie(t)
		cmdtest.AtOnce(20, func(i int) {
			fetch(t, book, "--cookie", cookie, "--data", fmt.Sprintf("text=entry+%d.", i))
		})
		p := b.get(t, book)
		for i := range 20 {
			p.want(t, fmt.Sprintf("<li>entry %d.</li>", i))
		}

		// The list is bounded, and a query string is no KEY of it.
		b.post(t, book, "text=one more").wantNot(t, "100% + ")
		b.get(t, book, "--data", "text="+strings.Repeat("x", 2001)).want(t, "cannot be kept")
		b.get(t, book, "--data", "text=two%0Alines")
		if p := b.get(t, book+"?/entries/0+--raw"); strings.Count(p.body, "<li>") != 20 || strings.Count(p.body, "</li>\n") != 20 {
			t.Errorf("not 20 entries:\n%s", p.body)
		}
		b.get(t, book).want(t, "<li>one more</li>\n<li>two lines</li>\n</ol>")
	})
}

func TestCart(t *testing.T) {
	needPerl(t, ".pl")
	onEachServer(t, nil, func(t *testing.T, s *site) {
		cart := s.base + "cart.pl"
		b := newBrowser(t)
		b.get(t, cart).want(t, "Total: 0.00")
		b.post(t, cart, "add=tea").want(t, "Total: 4.20")
		cookie := b.cookie(t)
		cmdtest.AtOnce(20, func(int) {
			fetch(t, cart, "--cookie", cookie, "--data", "add=bread")
		})
		b.get(t, cart).want(t, "Total: 74.20")
		b.post(t, cart, `note=Zoë's "<tea>" $(id)`).want(t, `value="Zoë&#39;s &#34;&#60;tea&#62;&#34; $(id)"`, "Total: 74.20")
		b.get(t, cart, "--data", "add=/../x").want(t, "cannot be kept")
		b.get(t, cart, "--data", "note=%FF").want(t, "cannot be kept")
		b.post(t, cart, "empty=1").want(t, "Total: 0.00", `name="note" value=""`)
	})
}

func TestWizard(t *testing.T) {
	onEachServer(t, nil, func(t *testing.T, s *site) {
		wizard := s.base + "wizard.sh"
		b := newBrowser(t)
		b.get(t, wizard).want(t, "Your name")
		b.post(t, wizard, "answer=confirm").want(t, "Your name") // out of turn
		b.post(t, wizard, "answer=name", "name=Eva & Zoë").want(t, "Who comes with you, Eva &amp; Zoë?")
		b.post(t, wizard, "answer=name", "name=Adam").want(t, "Eva &amp; Zoë") // sent twice
		b.post(t, wizard, "answer=guests", "guest=<Max>").want(t, "<li>&lt;Max&gt;</li>")
		b.post(t, wizard, "answer=enough").want(t, "A table for Eva &amp; Zoë and 1 guests")
		b.post(t, wizard, "answer=guests", "guest=Late").wantNot(t, "Late")
		b.post(t, wizard, "answer=confirm").want(t, "Booked for Eva &amp; Zoë and 1 guests")
		b.post(t, wizard, "answer=again").want(t, "Your name")
	})
}

// Each form reads the number of seats and stores one more, over several calls:
// what the lock is for.
func TestWizardAtOnce(t *testing.T) {
	onEachServer(t, nil, func(t *testing.T, s *site) {
		wizard := s.base + "wizard.sh"
		b := newBrowser(t)
		b.get(t, wizard)
		b.post(t, wizard, "answer=name", "name=Eva")
		cookie := b.cookie(t)
		add := func(i int) {
			fetch(t, wizard, "--cookie", cookie, "--data", fmt.Sprintf("answer=guests&guest=guest+%d.", i))
		}
		cmdtest.AtOnce(20, add)
		p := b.get(t, wizard)
		for i := range 20 {
			p.want(t, fmt.Sprintf("<li>guest %d.</li>", i))
		}
		// Four seats are left.
		cmdtest.AtOnce(20, add)
		if n := strings.Count(b.get(t, wizard).body, "<li>"); n != 24 {
			t.Errorf("%d guests on 24 seats", n)
		}
		if seats := s.cgisession(t, cookie, "get", "seats"); seats != "24" {
			t.Errorf("%s seats taken", seats)
		}
	})
}
