package cmdtest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A Browser is curl with a cookie jar.
type Browser struct{ jar string }

// NewBrowser returns a browser without cookies.
func NewBrowser(t testing.TB) *Browser {
	return &Browser{filepath.Join(t.TempDir(), "jar")}
}

// A Page is the answer to a request.
type Page struct{ Head, Body string }

// Get fetches a page. Options are curl's.
func (b *Browser) Get(t testing.TB, url string, options ...string) Page {
	t.Helper()
	return Fetch(t, url, append(options, "--cookie", b.jar, "--cookie-jar", b.jar)...)
}

// Post sends a form with fields as NAME=TEXT and follows the answer.
func (b *Browser) Post(t testing.TB, url string, fields ...string) Page {
	t.Helper()
	options := []string{"--location"}
	for _, f := range fields {
		options = append(options, "--data-urlencode", f)
	}
	return b.Get(t, url, options...)
}

// Cookie returns the session cookie in the jar as NAME=TOKEN, or nothing.
func (b *Browser) Cookie(t testing.TB) string {
	text, err := os.ReadFile(b.jar)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if columns := strings.Fields(line); len(columns) == 7 && columns[5] == "cgisession_id" {
			return "cgisession_id=" + columns[6]
		}
	}
	return ""
}

// Fetch fetches a page without a jar.
func Fetch(t testing.TB, url string, options ...string) Page {
	t.Helper()
	p, err := Curl(url, options...)
	if err != nil {
		t.Errorf("curl %s: %v: %s", url, err, p.Head)
	}
	return p
}

// Curl fetches a page. If that fails, the page's head is curl's message.
func Curl(url string, options ...string) (Page, error) {
	c := exec.Command("curl", append([]string{"--disable", "--silent", "--show-error", "--max-time", "300", "--noproxy", "*", "--dump-header", "/dev/stderr", url}, options...)...)
	var head, body bytes.Buffer
	c.Stdout, c.Stderr = &body, &head
	err := c.Run()
	return Page{strings.ReplaceAll(head.String(), "\r\n", "\n"), body.String()}, err
}

// A SetCookie is a line that sets the session's cookie, or deletes it.
type SetCookie struct{ Value, Attributes string }

var setCookie = regexp.MustCompile(`(?mi)^Set-Cookie: cgisession_id=([^;]*)(.*)$`)

// Cookies returns the lines of the head that set the session's cookie.
func (p Page) Cookies() (all []SetCookie) {
	for _, m := range setCookie.FindAllStringSubmatch(p.Head, -1) {
		all = append(all, SetCookie{m[1], m[2]})
	}
	return all
}

// Want wants each text in the page.
func (p Page) Want(t testing.TB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(p.Body, text) {
			t.Errorf("no %q in the page:\n%s\n%s", text, p.Head, p.Body)
		}
	}
}

// WantNot wants none of the texts in the page.
func (p Page) WantNot(t testing.TB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(p.Body, text) {
			t.Errorf("%q in the page:\n%s\n%s", text, p.Head, p.Body)
		}
	}
}
