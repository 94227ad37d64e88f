package cmd_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

// A snippet is a block of code in the README.
type snippet struct {
	place    string // the heading, or the bold words that introduce it
	language string
	code     string
}

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	must(t, err)
	return string(text)
}

var boldLead = regexp.MustCompile(`^\*\*([^*]+?)\.?\*\*`)

// snippets returns the README's fenced blocks.
func snippets(t *testing.T) (found []snippet) {
	t.Helper()
	var s snippet
	inside := false
	for line := range strings.Lines(readme(t)) {
		fence, ok := strings.CutPrefix(line, "```")
		switch {
		case ok && !inside:
			s.language, s.code, inside = strings.TrimSpace(fence), "", true
		case ok:
			found, inside = append(found, s), false
		case inside:
			s.code += line
		case strings.HasPrefix(line, "#"):
			s.place = strings.TrimSpace(strings.TrimLeft(line, "#"))
		default:
			if m := boldLead.FindStringSubmatch(line); m != nil {
				s.place = m[1]
			}
		}
	}
	return found
}

// Each block of the README does what it is there to show, word for word as it stands
// there.
func TestREADME(t *testing.T) {
	tests := map[string]func(*testing.T, string){
		"A first script, sh":                  greetsInShell,
		"The same in Perl and Python, json":   showsSession,
		"The same in Perl and Python, perl":   greetsInPerl,
		"The same in Perl and Python, python": greetsInPython,
		"Log in and out, sh":                  logsInAndOut,
		"Log out everywhere, sh":              logsOutEverywhere,
		"Remember me, sh":                     remembers,
		"A flash message, sh":                 flashes,
		"A cart, sh":                          fillsCart,
	}
	for _, s := range snippets(t) {
		name := s.place + ", " + s.language
		test, ok := tests[name]
		if !ok {
			t.Errorf("a block that no test runs, or a second one, under %s:\n%s", name, s.code)
			continue
		}
		delete(tests, name)
		t.Run(name, func(t *testing.T) { test(t, s.code) })
	}
	for name := range tests {
		t.Errorf("no block under %s", name)
	}
}

// greets: the visitor is a stranger until a form brings a name, as a browser sends
// it (application/x-www-form-urlencoded); then the name stays and the visits count.
func greets(t *testing.T, code string) *browser {
	t.Helper()
	b := serve(t, code)
	b.get(t, "Hello stranger", "visit 1.", "<form method=post><input name=name")
	b.post(t, url.Values{"name": {"Ann Lee"}}, "Hello Ann Lee,", "visit 2.")
	b.get(t, "Hello Ann Lee,", "visit 3.")
	b.again(t).get(t, "stranger", "visit 1.")
	// Whatever the body, it is no code; no browser sends this one.
	b.postRaw(t, "name='; touch pwned; '\"; touch pwned; \"$(touch pwned)`touch pwned`;touch pwned", "visit 4.")
	b.get(t, "visit 5.")
	for _, name := range []string{"name=-n", "name=--user=root", "name=--help", "name="} {
		b.postRaw(t, name, "visit ")
	}
	b.nothingBeside(t, "script", "sessions")
	return b
}

// greetsLetters: a name with other characters than letters is neither kept nor shown, also if
// another script stored it.
func greetsLetters(t *testing.T, code string) {
	t.Helper()
	b := greets(t, code)
	for _, name := range []string{"<b>Ann", "Zoë", "a&b"} {
		b.post(t, url.Values{"name": {name}}, "Hello stranger")
		b.postRaw(t, "name="+name, "Hello stranger")
	}
	for _, body := range []string{`name=\0101nn`, "name=\xff", "name=%00", "", "other=1"} {
		b.postRaw(t, body, "Hello ")
		b.get(t, "Hello stranger")
	}
	b.session(t, "set", "name=<b>Ann")
	b.get(t, "Hello stranger")
}

// greetsInShell has no more than twelve lines, and runs in every shell.
func greetsInShell(t *testing.T, code string) {
	if lines := strings.Count(code, "\n"); lines > 12 || !strings.HasPrefix(code, "#!/bin/sh\n") {
		t.Errorf("%d lines, or no #!/bin/sh", lines)
	}
	greetsLetters(t, code)
	for _, shell := range []string{"bash", "busybox", "dash"} {
		path, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		if shell == "busybox" {
			path += " sh"
		}
		greets(t, strings.Replace(code, "#!/bin/sh", "#!"+path, 1))
	}
	failsAlone(t, code)
}

func greetsInPerl(t *testing.T, code string) {
	needs(t, "perl")
	greetsLetters(t, strings.Replace(code, "#!/usr/bin/perl", "#!/usr/bin/env perl", 1))
	failsAlone(t, code)
}

// greetsInPython: any text is kept as it is, and is no markup.
func greetsInPython(t *testing.T, code string) {
	needs(t, "python3")
	b := greets(t, code)
	b.post(t, url.Values{"name": {`<b>Zoë & "co"</b>`}}, "Hello &lt;b&gt;Zoë &amp; &quot;co&quot;&lt;/b&gt;,")
	b.get(t, "Hello &lt;b&gt;Zoë")
	b.postRaw(t, "", "Hello stranger")
	b.postRaw(t, "name=%FF%F0", "Hello \uFFFD")
	failsAlone(t, code)
}

// failsAlone: where the session cannot be loaded, the script ends before it says a
// word, even if later calls would work.
func failsAlone(t *testing.T, code string) {
	t.Helper()
	dir := t.TempDir()
	cmdtest.WriteScript(t, dir+"/script", code)
	cmdtest.WriteScript(t, dir+"/cgisession", "#!/bin/sh\n[ \"$1\" != load ] || exit 75\nexec "+cmdtest.Program+" \"$@\"\n")
	r := begin(t, `{"name":"Ann"}`).with("REQUEST_METHOD=GET")
	for _, settings := range []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "CGISESSION_DATA_DIR=/dev/null"} {
		if got := cmdtest.Finish(t, r.with(settings).Command(dir+"/script")); got.Code <= 0 || got.Stdout != "" {
			t.Errorf("%s: %+v", settings, got)
		}
	}
}

// showsSession: load --json has each of the members, of the same kind.
func showsSession(t *testing.T, code string) {
	var shown, real map[string]any
	must(t, json.Unmarshal([]byte(code), &shown))
	r := in(t.TempDir())
	r = r.client(cmdtest.NewIDs(r.Must(t, "set", "name=Ann", "visits:=3"))[0])
	must(t, json.Unmarshal([]byte(r.Must(t, "load", "--json")), &real))
	alike(t, "", shown, real)
	if len(shown) < 5 {
		t.Errorf("only %d members", len(shown))
	}
}

func alike(t *testing.T, where string, shown, real map[string]any) {
	t.Helper()
	for name, want := range shown {
		got, ok := real[name]
		wantText, _ := json.Marshal(want)
		gotText, _ := json.Marshal(got)
		// The first byte tells the kind: { [ " a digit, t or f.
		if !ok || wantText[0] != gotText[0] && !strings.ContainsAny(string(wantText[:1]), "0123456789tf") {
			t.Errorf("%s/%s is %s, not as %s", where, name, gotText, wantText)
		}
		if inner, ok := want.(map[string]any); ok {
			if got, ok := got.(map[string]any); ok {
				alike(t, where+"/"+name, inner, got)
			}
		}
	}
}

// begins is how a script begins for which a recipe is.
const begins = `eval "$(cgisession load --sh user || echo exit 1)"` + "\n"

// recipe runs a recipe in a script, for a client with these variables.
func recipe(t *testing.T, r request, code string) string {
	t.Helper()
	got := cmdtest.Finish(t, r.Command("sh", "-c", begins+code))
	if got.Code != 0 || got.Stderr != "" {
		t.Errorf("%+v", got)
	}
	return got.Stdout
}

// logsInAndOut: a form of this session logs in, and gets a new id; another's does not.
func logsInAndOut(t *testing.T, code string) {
	in3, out, ok := strings.Cut(code, `eval "$(cgisession invalidate`)
	if !ok {
		t.Fatal("no log-out")
	}
	out = `eval "$(cgisession invalidate` + out
	r := in(t.TempDir())
	visitor := r.client(cmdtest.NewIDs(r.Must(t, "load"))[0])
	token := visitor.Must(t, "csrf")
	got := cmdtest.Finish(t, visitor.with("csrf=x"+token).with("name=Ann").Command("sh", "-c", begins+in3))
	if got.Code != 1 || len(cmdtest.NewIDs(got.Stdout)) != 0 {
		t.Errorf("with another token: %+v", got)
	}
	ids := cmdtest.NewIDs(recipe(t, visitor.with("csrf="+token).with("name=<Ann> $(id)"), in3))
	if len(ids) != 1 {
		t.Fatalf("%d ids", len(ids))
	}
	if got := visitor.Call(t, "get", "user"); got.Code != 1 {
		t.Errorf("the old id still works: %+v", got)
	}
	user := r.client(ids[0])
	if got := recipe(t, user, `printf %s "$user"`); !strings.HasSuffix(got, "<Ann> $(id)") {
		t.Errorf("the user is %q", got)
	}
	if got := user.Must(t, "list"); !strings.Contains(got, "<Ann> $(id)") {
		t.Errorf("list: %q", got)
	}
	if got := recipe(t, user, out); !strings.Contains(got, "Max-Age=0") {
		t.Errorf("the log-out drops no cookie: %q", got)
	}
	if got := user.Call(t, "get", "user"); got.Code != 1 {
		t.Errorf("after the log-out: %+v", got)
	}
}

// logsOutEverywhere: the user's sessions have ended, and the browser drops the cookie.
func logsOutEverywhere(t *testing.T, code string) {
	r := in(t.TempDir())
	laptop := cmdtest.NewIDs(r.Must(t, "regenerate", "--user", "ann"))
	r.Must(t, "regenerate", "--user", "ann")
	r.Must(t, "regenerate", "--user", "bob")
	if got := recipe(t, r.client(laptop[0]), code); !strings.Contains(got, "Max-Age=0") {
		t.Errorf("drops no cookie: %q", got)
	}
	if list := r.Must(t, "list"); strings.Count(list, "\n") != 0 || !strings.HasSuffix(list, `"bob"`) {
		t.Errorf("there is left: %s", list)
	}
}

// remembers: the cookie has a date for those who ticked the box.
func remembers(t *testing.T, code string) {
	for ticked, dated := range map[string]bool{"": false, "yes": true} {
		r := in(t.TempDir())
		visitor := r.client(cmdtest.NewIDs(r.Must(t, "load"))[0])
		got := recipe(t, visitor.with("name=Ann").with("remember="+ticked), code)
		if len(cmdtest.NewIDs(got)) != 1 || strings.Contains(got, "; Max-Age=2592000;") != dated || strings.Contains(got, "Max-Age") != dated {
			t.Errorf("ticked %q: %q", ticked, got)
		}
	}
}

// flashes: the message is there once.
func flashes(t *testing.T, code string) {
	before, page, _ := strings.Cut(code, "message=")
	page = "message=" + page + `echo "<$message>"`
	r := begin(t, `{"n":1}`)
	recipe(t, r, before)
	for _, want := range []string{"<Saved.>\n", "<>\n"} {
		if got := recipe(t, r, page); !strings.HasSuffix(got, "\n"+want) && got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// fillsCart: each item counts, at once too, and a key of the client's own is none.
func fillsCart(t *testing.T, code string) {
	r := begin(t, `{}`)
	for _, item := range []string{"tea", "bread", "tea", "", "coffee", "x; touch pwned", "../visits", "*"} {
		recipe(t, r.with("item="+item), code)
	}
	if got := recipe(t, r, code+`echo "$bread $tea"`); !strings.HasSuffix(got, "\n1 2\n") && got != "1 2\n" {
		t.Errorf("the cart: %q", got)
	}
	cmdtest.AtOnce(snippetCrowd, func(int) { recipe(t, r.with("item=bread"), code) })
	wantData(t, r, map[string]any{"cart": map[string]any{"tea": 2.0, "bread": 1.0 + snippetCrowd}})
}

// snippetCrowd is how many run a snippet at once.
const snippetCrowd = 6

// A browser is at a server that runs one script.
type browser struct {
	http.Client
	url, dir string
	stderr   *os.File
}

// serve has a server run the script for each request, and returns a browser.
func serve(t *testing.T, code string) *browser {
	t.Helper()
	// A file, which has what the script said once its answer has ended.
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	must(t, err)
	t.Cleanup(func() { stderr.Close() })
	b := &browser{dir: t.TempDir(), stderr: stderr}
	script := b.dir + "/script"
	cmdtest.WriteScript(t, script, code)
	server := httptest.NewServer(&cgi.Handler{
		Path: script, Dir: b.dir, Stderr: b.stderr,
		Env: []string{"CGISESSION_DATA_DIR=" + b.dir + "/sessions"},
	})
	t.Cleanup(server.Close)
	b.url = server.URL
	return b.again(t)
}

// again returns another visitor's browser.
func (b *browser) again(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	return &browser{http.Client{Jar: jar}, b.url, b.dir, b.stderr}
}

func (b *browser) get(t *testing.T, wants ...string) {
	t.Helper()
	response, err := b.Get(b.url)
	must(t, err)
	b.check(t, response, wants)
}

func (b *browser) post(t *testing.T, form url.Values, wants ...string) {
	t.Helper()
	response, err := b.PostForm(b.url, form)
	must(t, err)
	b.check(t, response, wants)
}

func (b *browser) postRaw(t *testing.T, body string, wants ...string) {
	t.Helper()
	response, err := b.Post(b.url, "application/x-www-form-urlencoded", strings.NewReader(body))
	must(t, err)
	b.check(t, response, wants)
}

// check wants a page with each of the texts in it, and no word in the server's log.
func (b *browser) check(t *testing.T, response *http.Response, wants []string) {
	t.Helper()
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	must(t, err)
	said, err := os.ReadFile(b.stderr.Name())
	must(t, err)
	if response.StatusCode != http.StatusOK || len(said) > 0 {
		t.Errorf("%s; stderr %q", response.Status, said)
	}
	for _, want := range wants {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s: no %q in the answer: %q", response.Request.Method, want, text)
		}
	}
}

// session runs the program for the browser's session.
func (b *browser) session(t *testing.T, args ...string) {
	t.Helper()
	site, err := url.Parse(b.url)
	must(t, err)
	for _, c := range b.Jar.Cookies(site) {
		in(b.dir+"/sessions").client(c.Value).Must(t, args...)
	}
}

// nothingBeside wants no other files in the directory.
func (b *browser) nothingBeside(t *testing.T, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(b.dir)
	must(t, err)
	for _, e := range entries {
		if !slices.Contains(names, e.Name()) {
			t.Errorf("there is now %s", e.Name())
		}
	}
}
