//go:build linux

// Package browser tests the program's cookies in what keeps cookies: Chromium,
// driven through ChromeDriver, and curl with its cookie jar. Both see http and
// https sites of many names, all on loopback addresses.
package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"cgisession/cmd/cmdtest"
)

// chromium is the one browser of all tests; nil if there is none here.
var chromium *browser

func TestMain(m *testing.M) {
	tests := func() int {
		code, err := withChromium(m.Run)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		return code
	}
	os.Exit(cmdtest.Run(tests, cmdtest.Script("../../scripts/build")))
}

// withChromium runs tests while Chromium runs, if it is here. It returns what to
// exit with.
func withChromium(tests func() int) (code int, err error) {
	tmp, err := os.MkdirTemp("", "browser")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(tmp)
	if authority, err = newCA(tmp); err != nil {
		return 1, err
	}
	binary, err := findChromium()
	if err != nil {
		fmt.Println("SKIP: no chromium with chromedriver here; only curl is tested:", err)
		return tests(), nil
	}
	driver, err := startDriver(tmp)
	if err != nil {
		return 1, err
	}
	defer driver.stop()
	chromium = &browser{driver: driver, binary: binary, profile: filepath.Join(tmp, "profile"), prefs: thirdParty(true)}
	if err := chromium.open(); err != nil {
		return 1, err
	}
	defer chromium.close()
	return tests(), nil
}

// A client keeps cookies and sends them back.
type client interface {
	// visit goes to url as if it were typed, and returns the page's text.
	visit(t *testing.T, url string) string
	// jar returns all cookies that are kept, whatever site they are of.
	jar(t *testing.T) []kept
	// restart ends the client and starts it with the same profile.
	restart(t *testing.T)
}

// kept is a cookie as the client keeps it.
type kept struct {
	Name, Value string
	Domain      string // with a dot before it if it holds for subdomains
	Path        string
	Expires     float64 // Unix seconds
	Session     bool    // until the client ends; there is no Expires then
	HTTPOnly    bool
	Secure      bool
	SameSite    string    // curl does not know it
	Partition   partition `json:"partitionKey"` // nor this; empty: all have one
}

type partition struct{ TopLevelSite string }

// onEachClient runs the test with an empty Chromium and an empty curl.
func onEachClient(t *testing.T, test func(t *testing.T, c client)) {
	t.Run("chromium", func(t *testing.T) { test(t, newBrowser(t)) })
	t.Run("curl", func(t *testing.T) { test(t, newCurl(t)) })
}

// newBrowser returns Chromium without cookies.
func newBrowser(t *testing.T) *browser {
	if chromium == nil {
		t.SkipNow() // TestMain has said why
	}
	chromium.devtools(t, "Storage.clearCookies", nil, nil)
	return chromium
}

// one returns the only cookie that is kept.
func one(t *testing.T, c client) kept {
	t.Helper()
	jar := c.jar(t)
	if len(jar) != 1 {
		t.Fatalf("%d cookies are kept, not one: %+v", len(jar), jar)
	}
	return jar[0]
}

// names returns the names of the cookies that are kept, in order.
func names(jar []kept) []string {
	var names []string
	for _, c := range jar {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	return names
}
