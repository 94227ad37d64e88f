package examples

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A browser is curl with a cookie jar.
type browser struct{ jar string }

func newBrowser(t *testing.T) *browser {
	return &browser{filepath.Join(t.TempDir(), "jar")}
}

// A page is the answer to a request.
type page struct{ header, body string }

// get fetches a page. Options are curl's.
func (b *browser) get(t *testing.T, url string, options ...string) page {
	t.Helper()
	return fetch(t, url, append(options, "--cookie", b.jar, "--cookie-jar", b.jar)...)
}

// post sends a form with fields as NAME=TEXT and follows the answer.
func (b *browser) post(t *testing.T, url string, fields ...string) page {
	t.Helper()
	options := []string{"--location"}
	for _, f := range fields {
		options = append(options, "--data-urlencode", f)
	}
	return b.get(t, url, options...)
}

// cookie returns the session cookie in the jar as NAME=TOKEN, or nothing.
func (b *browser) cookie(t *testing.T) string {
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

// fetch fetches a page without a jar.
func fetch(t *testing.T, url string, options ...string) page {
	t.Helper()
	p, err := curl(url, options...)
	if err != nil {
		t.Errorf("curl %s: %v: %s", url, err, p.header)
	}
	return p
}

func curl(url string, options ...string) (page, error) {
	command := exec.Command("curl", append([]string{"--disable", "--silent", "--show-error", "--max-time", "300", "--noproxy", "*", "--dump-header", "/dev/stderr", url}, options...)...)
	var header, body bytes.Buffer
	command.Stdout, command.Stderr = &body, &header
	err := command.Run()
	return page{strings.ReplaceAll(header.String(), "\r\n", "\n"), body.String()}, err
}

var setCookie = regexp.MustCompile(`(?m)^Set-Cookie: (cgisession_id=[^;]*)(.*)$`)

// cookies returns the session cookies that the answer sets, as NAME=TOKEN.
func (p page) cookies() []string {
	var all []string
	for _, m := range setCookie.FindAllStringSubmatch(p.header, -1) {
		all = append(all, m[1])
	}
	return all
}

// want wants each text in the page.
func (p page) want(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(p.body, text) {
			t.Errorf("no %q in the page:\n%s\n%s", text, p.header, p.body)
		}
	}
}

// wantNot wants none of the texts in the page.
func (p page) wantNot(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(p.body, text) {
			t.Errorf("%q in the page:\n%s\n%s", text, p.header, p.body)
		}
	}
}
