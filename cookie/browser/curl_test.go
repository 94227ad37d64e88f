//go:build linux

package browser

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

// curl is curl with a file of cookies.
type curl struct {
	file  string
	fresh bool // the next call is the first of a new curl: session cookies are over
}

func newCurl(t *testing.T) *curl {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl here")
	}
	return &curl{file: filepath.Join(t.TempDir(), "jar")}
}

func (c *curl) visit(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	options := []string{
		"--resolve", "*:" + u.Port() + ":127.0.0.1", "--cacert", authority.file, "--cookie", c.file, "--cookie-jar", c.file,
	}
	if c.fresh {
		options = append(options, "--junk-session-cookies")
	}
	c.fresh = false
	p, err := cmdtest.Curl(address, options...)
	if err != nil {
		t.Fatalf("curl: %v: %s", err, p.Head)
	}
	return p.Body
}

func isCurl(c client) bool {
	_, ok := c.(*curl)
	return ok
}

func (c *curl) restart(*testing.T) { c.fresh = true }

// jar reads the file: a line a cookie, of seven columns.
func (c *curl) jar(t *testing.T) []kept {
	t.Helper()
	text, err := os.ReadFile(c.file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var all []kept
	for line := range strings.Lines(string(text)) {
		line, httpOnly := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "#HttpOnly_")
		column := strings.Split(line, "\t")
		if len(column) != 7 {
			continue
		}
		expires, err := strconv.ParseFloat(column[4], 64)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, kept{
			Domain: strings.ToLower(column[0]), Path: column[2], Secure: column[3] == "TRUE", Expires: expires, Session: expires == 0,
			Name: column[5], Value: column[6], HTTPOnly: httpOnly,
		})
	}
	return all
}
