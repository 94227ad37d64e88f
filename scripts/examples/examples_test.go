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
		for _, script := range []string{"counter.sh", "counter.pl", "counter.py"} {
			t.Run(script, func(t *testing.T) {
				needInterpreter(t, script)
				b := cmdtest.NewBrowser(t)
				first := b.Get(t, s.base+script)
				first.Want(t, "Visit 1.")
				if len(first.Cookies()) != 1 {
					t.Errorf("%d cookies on the first visit", len(first.Cookies()))
				}
				second := b.Get(t, s.base+script)
				second.Want(t, "Visit 2.")
				if len(second.Cookies()) != 0 {
					t.Errorf("%d cookies on the second visit", len(second.Cookies()))
				}
			})
		}
	})
}

func needInterpreter(t *testing.T, script string) {
	try := exec.Command("true")
	switch filepath.Ext(script) {
	case ".pl":
		try = exec.Command("perl", "-MJSON::PP", "-e", "1")
	case ".py":
		try = exec.Command("python3", "-c", "")
	}
	if err := try.Run(); err != nil {
		t.Skipf("%s does not run here: %v", script, err)
	}
}

func TestTwoBrowsers(t *testing.T) {
	onEachServer(t, nil, func(t *testing.T, s *site) {
		one, two := cmdtest.NewBrowser(t), cmdtest.NewBrowser(t)
		one.Get(t, s.base+"counter.sh").Want(t, "Visit 1.")
		two.Get(t, s.base+"counter.sh").Want(t, "Visit 1.")
		one.Get(t, s.base+"counter.sh").Want(t, "Visit 2.")
		two.Get(t, s.base+"counter.sh").Want(t, "Visit 2.")
		if one.Cookie(t) == two.Cookie(t) {
			t.Error("both have the same session")
		}
	})
}

func TestLogin(t *testing.T) {
	onEachServer(t, nil, func(t *testing.T, s *site) {
		login := s.base + "login.sh"
		b := cmdtest.NewBrowser(t)
		csrf := csrfOf(t, b.Get(t, login))
		before := b.Cookie(t)

		b.Post(t, login, "csrf="+csrf, "action=log-in", "name=Eva", "password=guess").Want(t, "Wrong name or password.")
		b.Post(t, login, "csrf=", "action=log-in", "name=Eva", "password=sesame").Want(t, "too old")
		b.Post(t, login, "action=log-in", "name=Eva", "password=sesame").Want(t, "too old")
		in := b.Post(t, login, "csrf="+csrf, "action=log-in", `name=<b>"Zoë" & 'co'`, "password=sesame")
		in.Want(t, "logged in as <b>&lt;b&gt;&quot;Zoë&quot; &amp; &#39;co&#39;</b>")
		in.Want(t, "<p>Welcome, &lt;b&gt;&quot;Zoë")
		b.Get(t, login).WantNot(t, "Welcome")
		if len(in.Cookies()) != 1 || b.Cookie(t) == before {
			t.Error("the log-in gave no new id")
		}
		cmdtest.Fetch(t, login, "--cookie", before).WantNot(t, "logged in")

		inside := b.Cookie(t)
		out := b.Post(t, login, "csrf="+csrfOf(t, b.Get(t, login)), "action=log-out")
		out.Want(t, "Password")
		if !strings.Contains(out.Head, "Max-Age=0") {
			t.Errorf("the log-out drops no cookie:\n%s", out.Head)
		}
		cmdtest.Fetch(t, login, "--cookie", inside).WantNot(t, "logged in")
	})
}

// Whoever logs out everywhere is logged out in all browsers, and nobody else is.
func TestLogOutEverywhere(t *testing.T) {
	onEachServer(t, nil, func(t *testing.T, s *site) {
		login := s.base + "login.sh"
		in := func(name string) *cmdtest.Browser {
			b := cmdtest.NewBrowser(t)
			b.Post(t, login, "csrf="+csrfOf(t, b.Get(t, login)), "action=log-in", "name="+name, "password=sesame").Want(t, "logged in as <b>"+name+"</b>")
			return b
		}
		laptop, phone, tablet, other := in("Eva"), in("Eva"), in("Eva"), in("Zoë")
		tablet.Post(t, login, "csrf="+csrfOf(t, tablet.Get(t, login)), "action=log-out").Want(t, "Password")
		phone.Get(t, login).Want(t, "logged in")
		laptop.Post(t, login, "csrf=", "action=log-out-everywhere").Want(t, "too old")
		phone.Get(t, login).Want(t, "logged in")
		out := laptop.Post(t, login, "csrf="+csrfOf(t, laptop.Get(t, login)), "action=log-out-everywhere")
		out.Want(t, "Password")
		if !strings.Contains(out.Head, "Max-Age=0") {
			t.Errorf("the log-out drops no cookie:\n%s", out.Head)
		}
		phone.Get(t, login).WantNot(t, "logged in")
		other.Get(t, login).Want(t, "logged in as <b>Zoë</b>")
	})
}

// csrfOf returns the hidden field of a form.
func csrfOf(t *testing.T, p cmdtest.Page) string {
	_, rest, _ := strings.Cut(p.Body, `name="csrf" value="`)
	csrf, _, ok := strings.Cut(rest, `"`)
	if !ok || csrf == "" {
		t.Fatalf("no form:\n%s\n%s", p.Head, p.Body)
	}
	return csrf
}

func TestTimeout(t *testing.T) {
	onEachServer(t, []string{"CGISESSION_TIMEOUT=30m"}, func(t *testing.T, s *site) {
		b := cmdtest.NewBrowser(t)
		b.Get(t, s.base+"counter.sh").Want(t, "Visit 1.")
		before := b.Cookie(t)
		s.age(t, 29*time.Minute)
		b.Get(t, s.base+"counter.sh").Want(t, "Visit 2.")
		s.age(t, 31*time.Minute)
		b.Get(t, s.base+"counter.sh").Want(t, "Visit 1.")
		if b.Cookie(t) == before {
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
		cmdtest.Fetch(t, s.base+"peek.sh", "--cookie", "cgisession_id="+id).Want(t, "no session")
		if n := len(s.sessions(t)); n != 0 {
			t.Errorf("looking made %d sessions", n)
		}
		p := cmdtest.Fetch(t, s.base+"counter.sh", "--cookie", "cgisession_id="+id)
		p.Want(t, "Visit 1.")
		if len(p.Cookies()) != 1 || strings.Contains(p.Head, id) {
			t.Errorf("no id of its own:\n%s", p.Head)
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
		b := cmdtest.NewBrowser(t)
		for _, visit := range []string{"first", "second"} {
			p := b.Get(t, s.base+"body.sh", "--data-binary", "@"+file, "--header", "Content-Type: application/octet-stream")
			if p.Body != string(body) {
				t.Errorf("on the %s visit %d bytes came back, not the %d that were sent:\n%s", visit, len(p.Body), len(body), p.Head)
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
		b := cmdtest.NewBrowser(t)
		p := b.Get(t, s.base+"counter.sh", hostile...)
		p.Want(t, "Visit 1.")
		if len(p.Cookies()) != 1 || strings.Contains(p.Head, "Secure") {
			t.Errorf("the cookie is another one:\n%s", p.Head)
		}
		b.Get(t, s.base+"counter.sh", hostile...).Want(t, "Visit 2.")
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
		for _, script := range []string{"counter.sh", "counter.pl", "counter.py", "login.sh", "guestbook.sh", "cart.pl", "wizard.sh"} {
			// An error page, or from busybox httpd not a byte.
			p, _ := cmdtest.Curl(s.base + script)
			p.WantNot(t, `<html lang="en">`)
		}
	})
}

func TestManyFirstVisits(t *testing.T) {
	onEachServer(t, nil, func(t *testing.T, s *site) {
		pages := make([]cmdtest.Page, many)
		cmdtest.AtOnce(many, func(i int) { pages[i] = cmdtest.Fetch(t, s.base+"counter.sh") })
		ids := map[string]bool{}
		for _, p := range pages {
			p.Want(t, "Visit 1.")
			for _, c := range p.Cookies() {
				ids[c.Value] = true
			}
		}
		if files := len(s.sessions(t)); len(ids) != many || files != many {
			t.Errorf("%d first visits gave %d ids and %d sessions", many, len(ids), files)
		}
	})
}

func TestManyChanges(t *testing.T) {
	onEachServer(t, nil, func(t *testing.T, s *site) {
		b := cmdtest.NewBrowser(t)
		b.Get(t, s.base+"counter.sh")
		cookie := b.Cookie(t)
		cmdtest.AtOnce(many, func(i int) {
			cmdtest.Fetch(t, fmt.Sprintf("%sset.sh?k%d=v%d", s.base, i, i), "--cookie", cookie)
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
		b := cmdtest.NewBrowser(t)
		b.Get(t, book).WantNot(t, "<li>")
		b.Post(t, book, `text=<i>"quoted" \ 100% + Ünïcode`).Want(t, `<li>&lt;i&gt;&quot;quoted&quot; \ 100% + Ünïcode</li>`)
		b.Post(t, book, "text=$(id) `id` ' ;").Want(t, "<li>$(id) `id` &#39; ;</li>", "&lt;i&gt;")
		b.Post(t, book, "text=").Want(t, "<ol>")
		b.Get(t, book, "--data", "text=%FF%FE").Want(t, "cannot be kept")
		if n := strings.Count(b.Get(t, book).Body, "<li>"); n != 2 {
			t.Errorf("%d entries", n)
		}
		cookie := b.Cookie(t)
		cmdtest.AtOnce(20, func(i int) {
			cmdtest.Fetch(t, book, "--cookie", cookie, "--data", fmt.Sprintf("text=entry+%d.", i))
		})
		p := b.Get(t, book)
		for i := range 20 {
			p.Want(t, fmt.Sprintf("<li>entry %d.</li>", i))
		}

		// The list is bounded, and a query string is no KEY of it.
		b.Post(t, book, "text=one more").WantNot(t, "100% + ")
		b.Get(t, book, "--data", "text="+strings.Repeat("x", 2001)).Want(t, "cannot be kept")
		b.Get(t, book, "--data", "text=two%0Alines")
		if p := b.Get(t, book+"?/entries/0+--raw"); strings.Count(p.Body, "<li>") != 20 || strings.Count(p.Body, "</li>\n") != 20 {
			t.Errorf("not 20 entries:\n%s", p.Body)
		}
		b.Get(t, book).Want(t, "<li>one more</li>\n<li>two lines</li>\n</ol>")
	})
}

func TestCart(t *testing.T) {
	needInterpreter(t, ".pl")
	onEachServer(t, nil, func(t *testing.T, s *site) {
		cart := s.base + "cart.pl"
		b := cmdtest.NewBrowser(t)
		b.Get(t, cart).Want(t, "Total: 0.00")
		b.Post(t, cart, "add=tea").Want(t, "Total: 4.20")
		cookie := b.Cookie(t)
		cmdtest.AtOnce(20, func(int) {
			cmdtest.Fetch(t, cart, "--cookie", cookie, "--data", "add=bread")
		})
		b.Get(t, cart).Want(t, "Total: 74.20")
		b.Post(t, cart, `note=Zoë's "<tea>" $(id)`).Want(t, `value="Zoë&#39;s &#34;&#60;tea&#62;&#34; $(id)"`, "Total: 74.20")
		b.Get(t, cart, "--data", "add=/../x").Want(t, "cannot be kept")
		b.Get(t, cart, "--data", "note=%FF").Want(t, "cannot be kept")
		b.Post(t, cart, "empty=1").Want(t, "Total: 0.00", `name="note" value=""`)
	})
}

func TestWizard(t *testing.T) {
	onEachServer(t, nil, func(t *testing.T, s *site) {
		wizard := s.base + "wizard.sh"
		b := cmdtest.NewBrowser(t)
		b.Get(t, wizard).Want(t, "Your name")
		b.Post(t, wizard, "answer=confirm").Want(t, "Your name") // out of turn
		b.Post(t, wizard, "answer=name", "name=Eva & Zoë").Want(t, "Who comes with you, Eva &amp; Zoë?")
		b.Post(t, wizard, "answer=name", "name=Adam").Want(t, "Eva &amp; Zoë") // sent twice
		b.Post(t, wizard, "answer=guests", "guest=<Max>").Want(t, "<li>&lt;Max&gt;</li>")
		b.Post(t, wizard, "answer=enough").Want(t, "A table for Eva &amp; Zoë and 1 guest")
		b.Post(t, wizard, "answer=guests", "guest=Late").WantNot(t, "Late")
		b.Post(t, wizard, "answer=confirm").Want(t, "Booked for Eva &amp; Zoë and 1 guest")
		b.Post(t, wizard, "answer=again").Want(t, "Your name")
	})
}

// Each form reads the number of seats and stores one more, over several calls:
// what the lock is for.
func TestWizardAtOnce(t *testing.T) {
	onEachServer(t, nil, func(t *testing.T, s *site) {
		wizard := s.base + "wizard.sh"
		b := cmdtest.NewBrowser(t)
		b.Get(t, wizard)
		b.Post(t, wizard, "answer=name", "name=Eva")
		cookie := b.Cookie(t)
		add := func(i int) {
			cmdtest.Fetch(t, wizard, "--cookie", cookie, "--data", fmt.Sprintf("answer=guests&guest=guest+%d.", i))
		}
		cmdtest.AtOnce(20, add)
		p := b.Get(t, wizard)
		for i := range 20 {
			p.Want(t, fmt.Sprintf("<li>guest %d.</li>", i))
		}
		// Four seats are left.
		cmdtest.AtOnce(20, add)
		if n := strings.Count(b.Get(t, wizard).Body, "<li>"); n != 24 {
			t.Errorf("%d guests on 24 seats", n)
		}
		if seats := s.cgisession(t, cookie, "get", "seats"); seats != "24" {
			t.Errorf("%s seats taken", seats)
		}
	})
}
