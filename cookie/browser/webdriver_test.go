//go:build linux

package browser

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
)

// A driver is a running ChromeDriver. It speaks WebDriver (W3C): JSON over HTTP.
type driver struct {
	command *exec.Cmd
	base    string
}

func findChromium() (string, error) {
	if _, err := exec.LookPath("chromedriver"); err != nil {
		return "", err
	}
	return exec.LookPath("chromium")
}

var startedOn = regexp.MustCompile(`started successfully on port (\d+)`)

// startDriver runs ChromeDriver on a free port. It and its browsers write below
// home only.
func startDriver(home string) (*driver, error) {
	d := &driver{command: exec.Command("chromedriver", "--port=0")}
	d.command.Env = append(os.Environ(), "HOME="+home, "TMPDIR="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home)
	// Its browsers are of its process group, so that none is left.
	d.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	stdout, err := d.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := d.command.Start(); err != nil {
		return nil, err
	}
	tooLate := time.AfterFunc(cmdtest.Patience, func() { d.command.Process.Kill() })
	defer tooLate.Stop()
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if m := startedOn.FindStringSubmatch(lines.Text()); m != nil {
			d.base = "http://127.0.0.1:" + m[1]
			go io.Copy(io.Discard, stdout)
			return d, nil
		}
	}
	d.stop()
	return nil, errors.New("chromedriver does not say where it listens")
}

func (d *driver) stop() {
	syscall.Kill(-d.command.Process.Pid, syscall.SIGKILL)
	d.command.Wait()
}

var webDriver = &http.Client{Transport: &http.Transport{}, Timeout: 2 * cmdtest.Patience}

// call makes one call of the WebDriver protocol and decodes its value into
// answer, if that is not nil.
func (d *driver) call(method, path string, body, answer any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequest(method, d.base+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	response, err := webDriver.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var result struct{ Value json.RawMessage }
	if err := json.NewDecoder(response.Body).Decode(&result); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if response.StatusCode != http.StatusOK {
		var failure struct{ Error, Message string }
		json.Unmarshal(result.Value, &failure)
		return fmt.Errorf("%s: %s: %s", path, failure.Error, failure.Message)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(result.Value, answer)
}

// A browser is Chromium with a profile of its own.
type browser struct {
	driver  *driver
	binary  string
	profile string
	prefs   object // for a new profile
	session string // the path of the WebDriver session
}

type object map[string]any

// thirdParty returns the preference that lets other sites' frames, images and
// so on have cookies at all, or not. Packagers' defaults differ.
func thirdParty(allowed bool) object {
	if allowed {
		return object{"profile.cookie_controls_mode": 0}
	}
	return object{"profile.cookie_controls_mode": 1}
}

// open starts Chromium.
func (b *browser) open() error {
	options := object{
		"binary": b.binary,
		"prefs":  b.prefs,
		"args": []string{
			"--user-data-dir=" + b.profile,
			"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
			"--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
			// It ends when ChromeDriver does.
			"--remote-debugging-pipe",
			// Only names under .test exist, and only here.
			"--host-resolver-rules=MAP *.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
			// One key is trusted; nothing else about https is waived.
			"--ignore-certificate-errors-spki-list=" + authority.pin,
		},
	}
	milliseconds := cmdtest.Patience.Milliseconds()
	var created struct{ SessionID string }
	err := b.driver.call("POST", "/session", object{"capabilities": object{"alwaysMatch": object{
		"goog:chromeOptions": options,
		"timeouts":           object{"pageLoad": milliseconds, "script": milliseconds},
	}}}, &created)
	b.session = "/session/" + created.SessionID
	return err
}

// close ends Chromium as its user would.
func (b *browser) close() error {
	if err := b.driver.call("DELETE", b.session, nil, nil); err != nil {
		return err
	}
	lock := filepath.Join(b.profile, "SingletonLock")
	for end := time.Now().Add(cmdtest.Patience); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Lstat(lock); errors.Is(err, os.ErrNotExist) {
			return nil
		} else if time.Now().After(end) {
			return fmt.Errorf("after %v: chromium still runs", cmdtest.Patience)
		}
	}
}

func (b *browser) restart(t *testing.T) {
	t.Helper()
	if err := errors.Join(b.close(), b.open()); err != nil {
		t.Fatal(err)
	}
}

// call makes a WebDriver call that must not fail.
func (b *browser) call(t *testing.T, method, path string, body, answer any) {
	t.Helper()
	if err := b.driver.call(method, b.session+path, body, answer); err != nil {
		t.Fatal(err)
	}
}

// devtools makes a call of Chromium's own protocol, for what WebDriver lacks.
func (b *browser) devtools(t *testing.T, command string, params object, answer any) {
	t.Helper()
	if params == nil {
		params = object{}
	}
	b.call(t, "POST", "/goog/cdp/execute", object{"cmd": command, "params": params}, answer)
}

func (b *browser) visit(t *testing.T, url string) string {
	t.Helper()
	b.call(t, "POST", "/url", object{"url": url}, nil)
	return b.text(t)
}

// text returns the text of the page that is shown.
func (b *browser) text(t *testing.T) string {
	t.Helper()
	return b.run(t, "return document.body.innerText")
}

// run runs a script in the page, and returns the text that it returns.
func (b *browser) run(t *testing.T, script string, args ...any) string {
	t.Helper()
	if args == nil {
		args = []any{}
	}
	var text *string
	b.call(t, "POST", "/execute/sync", object{"script": script, "args": args}, &text)
	if text == nil {
		return ""
	}
	return *text
}

func (b *browser) jar(t *testing.T) []kept {
	t.Helper()
	var all struct{ Cookies []kept }
	b.devtools(t, "Storage.getCookies", nil, &all)
	return all.Cookies
}

// expiry returns when the page's cookie of this name ends, in Unix seconds, as
// WebDriver tells it; 0 if it ends with the browser.
func (b *browser) expiry(t *testing.T, name string) int64 {
	t.Helper()
	var c struct{ Expiry int64 }
	b.call(t, "GET", "/cookie/"+name, nil, &c)
	return c.Expiry
}

// element returns the path of the element that a CSS selector finds in the page.
func (b *browser) element(t *testing.T, selector string) string {
	t.Helper()
	var found map[string]string
	b.call(t, "POST", "/element", object{"using": "css selector", "value": selector}, &found)
	for _, id := range found {
		return "/element/" + id
	}
	t.Fatalf("no element %s", selector)
	return ""
}

// write types text into a field.
func (b *browser) write(t *testing.T, selector, text string) {
	t.Helper()
	b.call(t, "POST", b.element(t, selector)+"/value", object{"text": text}, nil)
}

// click clicks on what leads to another page.
func (b *browser) click(t *testing.T, selector string) {
	t.Helper()
	element := b.element(t, selector)
	b.leave(t, func() { b.call(t, "POST", element+"/click", object{}, nil) })
}

// leave does what leads to another page, and waits until that is there.
func (b *browser) leave(t *testing.T, how func()) {
	t.Helper()
	b.run(t, "document.documentElement.dataset.left = 'yes'")
	how()
	next := object{"args": []any{}, "script": `
		return !document.documentElement.dataset.left && document.readyState == 'complete'`}
	cmdtest.Until(t, "next page", func() (there bool) {
		// Between the pages there may be none to ask.
		err := b.driver.call("POST", b.session+"/execute/sync", next, &there)
		return err == nil && there
	})
}
