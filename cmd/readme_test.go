package cmd_test

import (
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
)

// A snippet is a block of code in the README.
type snippet struct {
	heading, language, code string
}

// snippets returns the README's blocks in a language that scripts are written in.
func snippets(t *testing.T) (found []snippet) {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	must(t, err)
	var s snippet
	inside := false
	for line := range strings.Lines(string(text)) {
		fence, ok := strings.CutPrefix(line, "```")
		switch {
		case ok && !inside:
			s.language, s.code, inside = strings.TrimSpace(fence), "", true
		case ok:
			if s.language == "sh" || s.language == "perl" {
				found = append(found, s)
			}
			inside = false
		case inside:
			s.code += line
		case strings.HasPrefix(line, "#"):
			s.heading = strings.TrimSpace(strings.TrimLeft(line, "#"))
		}
	}
	return found
}

// Each script of the README does what it is there to show, word for word as it
// stands there. Those for servers are files that scripts/production runs.
func TestREADME(t *testing.T) {
	tests := map[string]func(*testing.T, string){
		"A session in twelve lines, sh":    greets,
		"Scripts under run, sh":            countsUnderRun,
		"Log out everywhere, sh":           logsOutEverywhere,
		"Text from a client, sh":           keepsText,
		"Programs that are no shell, perl": loadsInPerl,
		"Locks, sh":                        locksInShell,
		"Locks, perl":                      locksInPerl,
		"The time that is left, sh":        asksTimeLeft,
		"Forms in Latin-1, sh":             storesLatin1,
		"In an iframe of another site, sh": countsInFrame,
		"Remember me, sh":                  remembers,
	}
	elsewhere := productionScripts(t)
	for _, s := range snippets(t) {
		name := s.heading + ", " + s.language
		test, ok := tests[name]
		switch {
		case slices.Contains(elsewhere, s.code):
			continue
		case !ok:
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

// productionScripts returns the files of scripts/production that a shell reads.
func productionScripts(t *testing.T) (all []string) {
	t.Helper()
	files, err := filepath.Glob("../scripts/production/*.sh")
	must(t, err)
	for _, name := range files {
		text, err := os.ReadFile(name)
		must(t, err)
		all = append(all, string(text))
	}
	return all
}

// greets: the visitor is a stranger until a form brings a name, as a browser sends
// it (application/x-www-form-urlencoded); then the name stays and the visits count.
func greets(t *testing.T, code string) {
	if lines := strings.Count(code, "\n"); lines > 12 || strings.Contains(code, "sed") {
		t.Errorf("%d lines, or sed", lines)
	}
	b := serve(t, code)
	b.get(t, "stranger", "visit 1.")
	b.post(t, url.Values{"name": {"Ann Lee"}}, "Ann Lee", "visit 2.")
	b.get(t, "Ann Lee", "visit 3.")
	b.again(t).get(t, "stranger", "visit 1.")
	// Whatever the body, it is no code; no browser sends this one.
	b.postRaw(t, "name='; touch pwned; '\"; touch pwned; \"$(touch pwned)`touch pwned`;touch pwned", "visit 4.")
	b.get(t, "visit 5.")
	// Nor is it markup.
	for _, name := range []string{"<b>Ann", "Zoë", "a&b"} {
		b.post(t, url.Values{"name": {name}}, "Hello stranger")
		b.postRaw(t, "name="+name, "Hello stranger")
	}
	b.postRaw(t, "name=-n", "Hello stranger")
	b.postRaw(t, `name=\0101nn`, "Hello stranger")
	b.nothingBeside(t, "script", "sessions")
}

// countsUnderRun: the kernel finds the program where the first line says.
func countsUnderRun(t *testing.T, code string) {
	b := serve(t, strings.Replace(code, "#!/usr/local/bin/cgisession ", "#!"+cmdtest.Program+" ", 1))
	b.get(t, "visit 1")
	b.get(t, "visit 2")
	b.again(t).get(t, "visit 1")
	b.get(t, "visit 3")
}

// logsOutEverywhere: the user's sessions have ended, and the browser drops the cookie.
func logsOutEverywhere(t *testing.T, code string) {
	r := in(t.TempDir())
	laptop := cmdtest.NewIDs(r.Must(t, "regenerate", "--user", "ann"))
	r.Must(t, "regenerate", "--user", "ann")
	r.Must(t, "regenerate", "--user", "bob")
	got := cmdtest.Finish(t, r.client(laptop[0]).Command("sh", "-c", code))
	const status, drop, place = "Status: 303 See Other\n", "Set-Cookie: cgisession_id=; ", "\nLocation: login.sh\n\n"
	if got.Code != 0 || got.Stderr != "" || !strings.HasPrefix(got.Stdout, status+drop) || !strings.HasSuffix(got.Stdout, place) {
		t.Errorf("%+v", got)
	}
	if list := r.Must(t, "list"); strings.Count(list, "\n") != 0 || !strings.HasSuffix(list, `"bob"`) {
		t.Errorf("there is left: %s", list)
	}
}

// keepsText: whatever the client sends is stored and found as it is.
func keepsText(t *testing.T, code string) {
	for _, word := range clientFlags(cmdtest.Full(7, 2)) {
		r := begin(t, `{}`).client(cmdtest.Visitor)
		for _, name := range []string{"name", "field", "text", "token"} {
			r = r.with(name + "=" + word)
		}
		got := cmdtest.Finish(t, r.Command("sh", "-c", code))
		ids := cmdtest.NewIDs(got.Stdout)
		if want := "1\n" + word + "\nSet-Cookie: "; !strings.HasPrefix(got.Stdout, want) || got.Stderr != "" || got.Code != 0 || len(ids) != 1 {
			t.Fatalf("%q: %+v", word, got)
		}
		wantData(t, r.client(ids[0]), map[string]any{"name": word, word: word, "log": []any{word}})
	}
}

// asksTimeLeft: the page says how many seconds are left, and does not make them more.
func asksTimeLeft(t *testing.T, code string) {
	r := begin(t, `{"expires_in":7}`)
	if !strings.Contains(r.Call(t, "info").Stdout, `"expires_in"`) {
		t.Skip("info has no expires_in yet")
	}
	ask := func(r request, want string) {
		t.Helper()
		got := cmdtest.Finish(t, r.Command("sh", "-c", code))
		if _, left, _ := strings.Cut(got.Stdout, "\n\n"); left != want+"\n" || got.Stderr != "" || got.Code != 0 {
			t.Errorf("%+v, want %s", got, want)
		}
	}
	ask(r, "no limit")
	limited := r.with("CGISESSION_TIMEOUT=100000h")
	sessionsIdle(t, r.Dir, 50000*time.Hour)
	for range 2 {
		got := cmdtest.Finish(t, limited.Command("sh", "-c", code))
		_, text, _ := strings.Cut(strings.TrimSpace(got.Stdout), "\n\n")
		if left, err := strconv.Atoi(text); err != nil || left > 180000000 || left < 180000000-3600 {
			t.Errorf("%+v", got)
		}
	}
	ask(r.with("CGISESSION_TIMEOUT=1h"), "0")
	ask(r.client(strings.Repeat("a", len(cmdtest.Visitor))), "0")
}

// sessionsIdle makes the sessions below a directory look unused for so long.
func sessionsIdle(t *testing.T, dir string, idle time.Duration) {
	t.Helper()
	then := time.Now().Add(-idle)
	files, err := filepath.Glob(dir + "/sessions/??/*")
	must(t, err)
	for _, file := range files {
		must(t, os.Chtimes(file, then, then))
	}
}

// storesLatin1: what a browser sends from a page in Latin-1 is stored as UTF-8.
func storesLatin1(t *testing.T, code string) {
	needs(t, "iconv")
	for sent, want := range map[string]string{"caf\xe9 \x80": "café €", "a=b": "a=b", "\x81": ""} {
		r := begin(t, `{}`)
		if got := cmdtest.Finish(t, r.with("text="+sent).Command("sh", "-c", code)); got.Code != 0 {
			t.Errorf("%q: %+v", sent, got)
		}
		wantData(t, r, map[string]any{"note": want})
	}
}

// countsInFrame: the cookie is one that browsers send from an iframe.
func countsInFrame(t *testing.T, code string) {
	r := begin(t, `{}`).client("")
	got := cmdtest.Finish(t, r.Command("sh", "-c", code))
	ids := cmdtest.NewIDs(got.Stdout)
	if len(ids) != 1 || got.Stderr != "" || !strings.HasSuffix(got.Stdout, "\nvisit 1\n") {
		t.Fatalf("%+v", got)
	}
	for _, attribute := range []string{"; Secure", "; SameSite=None", "; Partitioned"} {
		if !strings.Contains(got.Stdout, attribute) {
			t.Errorf("no %s in %q", attribute, got.Stdout)
		}
	}
	got = cmdtest.Finish(t, r.client(ids[0]).Command("sh", "-c", code))
	if !strings.HasSuffix(got.Stdout, "\nvisit 2\n") {
		t.Errorf("%+v", got)
	}
}

// remembers: without the box a visitor is forgotten after half an hour, with it after
// 30 days without a visit.
func remembers(t *testing.T, code string) {
	b := serve(t, code)
	cookies := func() string {
		response, err := b.Get(b.url)
		must(t, err)
		response.Body.Close()
		return strings.Join(response.Header["Set-Cookie"], "\n")
	}
	idle := func(hours float64) { sessionsIdle(t, b.dir, time.Duration(hours*float64(time.Hour))) }
	b.get(t, "stranger")
	idle(0.4)
	if set := cookies(); set != "" {
		t.Errorf("within half an hour: %q", set)
	}
	idle(0.6)
	if set := cookies(); strings.Count(set, "=") == 0 || strings.Contains(set, "Max-Age") {
		t.Errorf("after half an hour: %q", set)
	}
	b.post(t, nil, "Hello ann.")
	idle(20 * 24)
	if set := cookies(); !strings.Contains(set, "; Max-Age=2592000;") {
		t.Errorf("after 20 days: %q", set)
	}
	idle(29 * 24)
	b.get(t, "Hello ann.")
	idle(31 * 24)
	b.get(t, "stranger")
}

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

// snippetCrowd is how many run a snippet at once.
const snippetCrowd = 6

// locksInShell: the snippet doubles a number twice, each time by a read and a write
// with the lock over both, so that none is lost among many.
func locksInShell(t *testing.T, code string) {
	for _, shell := range []string{"dash", "bash"} {
		t.Run(shell, func(t *testing.T) {
			needs(t, shell)
			r := begin(t, `{"n":1}`)
			cmdtest.AtOnce(snippetCrowd, func(int) {
				// What follows is not under the lock any more, and says whether it could be taken.
				got := cmdtest.Finish(t, r.Command(shell, "-e", "-c", code+"\ncgisession lock true; echo \"free ${CGISESSION_LOCK_FD-}\""))
				if got != (cmdtest.Ended{Stdout: "free \n"}) {
					t.Errorf("%+v", got)
				}
			})
			checkNumber(t, r, 1<<(2*snippetCrowd))
		})
	}
}

// locksInPerl: what follows the snippet is under the lock, to the program's end.
func locksInPerl(t *testing.T, code string) {
	needs(t, "perl")
	r := begin(t, `{"n":1}`)
	double := "\nchomp(my $n = `cgisession get n`);\nexit(system('cgisession', 'set', 'n:=' . 2 * $n) >> 8);\n"
	cmdtest.AtOnce(snippetCrowd, func(int) {
		got := cmdtest.Finish(t, r.Command("perl", "-Mstrict", "-w", "-e", code+double))
		if got != (cmdtest.Ended{}) {
			t.Errorf("%+v", got)
		}
	})
	checkNumber(t, r, 1<<snippetCrowd)
}

// loadsInPerl: on a first visit the later calls mean the session that was loaded.
func loadsInPerl(t *testing.T, code string) {
	needs(t, "perl")
	later := "\n$| = 1;\nsystem('cgisession', 'incr', 'n');\nsystem('cgisession', 'regenerate', '--cache-control', 'private');\n"
	r := in(t.TempDir()).with("CGISESSION_CACHE_CONTROL=")
	got := cmdtest.Finish(t, r.Command("perl", "-Mstrict", "-w", "-MJSON::PP", "-e", code+later))
	const cookie = "Set-Cookie: cgisession_id=[a-z2-7]{32}; [^\n]*\n"
	if !regexp.MustCompile(`\A`+cookie+"Cache-Control: no-store\n1\n"+cookie+`\z`).MatchString(got.Stdout) || got.Stderr != "" {
		t.Errorf("%+v", got)
	}
}

func checkNumber(t *testing.T, r request, want int) {
	t.Helper()
	if got := r.Call(t, "get", "n"); got.Stdout != strconv.Itoa(want)+"\n" {
		t.Errorf("n is %q, want %d: an update was lost", got.Stdout, want)
	}
}
