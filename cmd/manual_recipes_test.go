package cmd_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
)

// manualBlockTests have the blocks whose effect is tested, not only that they run.
var manualBlockTests = map[string]func(*testing.T, string){
	"cgisession(1), A first script, sh":     manualCounts("This is visit %."),
	"cgisession(1), run, sh":                manualCounts("visit %"),
	"cgisession(1), invalidate, sh":         manualLogsOut,
	"cgisession(1), JSON, perl":             manualLoadsInPerl,
	"cgisession(1), JSON, python":           manualLoadsInPython,
	"cgisession(1), LOG OUT EVERYWHERE, sh": manualLogsOutEverywhere,
	"cgisession(1), TEXT FROM A CLIENT, sh": manualKeepsText,

	"cgisession-recipes(7), READ A FORM, sh":                  manualFormIsExample,
	"cgisession-recipes(7), READ A FORM, sh, 2":               manualKeepsName,
	"cgisession-recipes(7), LOG IN AND OUT, sh":               manualLogsIn,
	"cgisession-recipes(7), LOG OUT EVERYWHERE, sh":           manualLogsOutEverywhere,
	"cgisession-recipes(7), LOG OUT EVERYWHERE, sh, 2":        manualEndsOthers,
	"cgisession-recipes(7), A PAGE OF THE USER'S DEVICES, sh": manualListsDevices,
	"cgisession-recipes(7), A MESSAGE FOR THE NEXT PAGE, sh":  manualFlashes,
	"cgisession-recipes(7), A CART, sh":                       manualFillsCart,
	"cgisession-recipes(7), A FORM OF SEVERAL PAGES, sh":      manualOrders,
	"cgisession-recipes(7), THE TIME THAT IS LEFT, sh":        manualAsksTimeLeft,
	"cgisession-recipes(7), REMEMBER ME, sh":                  manualRemembers,
	"cgisession-recipes(7), TWO APPLICATIONS ON ONE HOST, sh": manualCounts("visit % to the shop"),
	"cgisession-recipes(7), IN AN IFRAME OF ANOTHER SITE, sh": manualCountsInFrame,
	"cgisession-recipes(7), FORMS IN LATIN-1, sh":             manualStoresLatin1,
	"cgisession-recipes(7), A COUNTER IN PERL, perl":          manualCountsWithData("perl", `{"visits":1}`),
	"cgisession-recipes(7), A COUNTER IN PYTHON, python":      manualCountsWithData("python3", "{'visits': 1, 'last': "),
}

// manualCounts: visits count for each visitor. The text has "%" for the number.
func manualCounts(text string) func(*testing.T, string) {
	visit := func(n int) string { return strings.Replace(text, "%", strconv.Itoa(n), 1) + "\n" }
	return func(t *testing.T, code string) {
		b := servePage(t, code, nil)
		b.get(t, visit(1))
		b.get(t, visit(2))
		b.again(t).get(t, visit(1))
		b.get(t, visit(3))
	}
}

// manualCountsWithData: the second visit finds what the first one stored.
func manualCountsWithData(interpreter, data string) func(*testing.T, string) {
	return func(t *testing.T, code string) {
		needs(t, interpreter)
		b := servePage(t, code, nil)
		b.get(t, "This is visit 1, and the data were {}")
		b.get(t, "This is visit 2, and the data were "+data)
	}
}

// manualLogsOut: the session has ended, and the browser drops the cookie.
func manualLogsOut(t *testing.T, code string) {
	r := begin(t, `{"user":"ann"}`).client(cmdtest.Visitor)
	got := cmdtest.Finish(t, r.Command("sh", "-c", code))
	if got.Code != 0 || got.Stderr != "" || !strings.Contains(got.Stdout, "Max-Age=0") ||
		!strings.HasPrefix(got.Stdout, "Status: 303") || !strings.HasSuffix(got.Stdout, "\nLocation: login.sh\n\n") {
		t.Errorf("%+v", got)
	}
	if got := r.Call(t, "get"); got.Code != 1 {
		t.Errorf("there is still %+v", got)
	}
}

// manualLogsOutEverywhere: the user's sessions have ended, and the browser would drop
// the cookie.
func manualLogsOutEverywhere(t *testing.T, code string) {
	r, laptop := manualUsers(t)
	got := cmdtest.Finish(t, r.client(laptop).Command("sh", "-c", code+"\neval \"${headers-}\""))
	if got.Code != 0 || got.Stderr != "" || !strings.Contains(got.Stdout, "Set-Cookie: cgisession_id=; ") {
		t.Errorf("%+v", got)
	}
	if list := r.Must(t, "list"); strings.Count(list, "\n") != 0 || !strings.HasSuffix(list, `"bob"`) {
		t.Errorf("there is left: %s", list)
	}
}

// manualEndsOthers: of the user's sessions this one is left, under a new id.
func manualEndsOthers(t *testing.T, code string) {
	r, laptop := manualUsers(t)
	got := cmdtest.Finish(t, r.client(laptop).with("user=ann").Command("sh", "-eu", "-c", code))
	ids := cmdtest.NewIDs(got.Stdout)
	if got.Code != 0 || got.Stderr != "" || len(ids) != 1 {
		t.Fatalf("%+v", got)
	}
	r.client(ids[0]).Must(t, "info")
	if list := r.Must(t, "list"); strings.Count(list, `"ann"`) != 1 || strings.Count(list, `"bob"`) != 1 {
		t.Errorf("there is left: %s", list)
	}
}

// manualUsers returns the id of one of two sessions of ann, beside one of bob.
func manualUsers(t *testing.T) (r request, laptop string) {
	t.Helper()
	r = in(t.TempDir())
	laptop = cmdtest.NewIDs(r.Must(t, "regenerate", "--user", "ann"))[0]
	r.Must(t, "regenerate", "--user", "ann")
	r.Must(t, "regenerate", "--user", "bob")
	return r, laptop
}

// manualKeepsText: whatever the client sends is stored and found as it is.
func manualKeepsText(t *testing.T, code string) {
	for _, word := range clientFlags(cmdtest.Full(7, 2)) {
		r := begin(t, `{}`).client(cmdtest.Visitor)
		for _, name := range []string{"name", "field", "text", "token"} {
			r = r.with(name + "=" + word)
		}
		got := cmdtest.Finish(t, r.Command("sh", "-c", code))
		ids := cmdtest.NewIDs(got.Stdout)
		printed := strings.HasPrefix(got.Stdout, "1\n"+word+"\nSet-Cookie: ")
		if !printed || got.Stderr != "" || got.Code != 0 || len(ids) != 1 {
			t.Fatalf("%q: %+v", word, got)
		}
		wantData(t, r.client(ids[0]), map[string]any{"name": word, word: word, "log": []any{word}})
	}
}

// manualLoadsInPerl: on a first visit the later calls mean the session that was loaded.
func manualLoadsInPerl(t *testing.T, code string) {
	manualLoads(t, "perl", "-Mstrict", "-w", "-e", code+"\n$| = 1;\nsystem('cgisession', 'incr', 'n') for 1, 2;\n")
}

func manualLoadsInPython(t *testing.T, code string) {
	manualLoads(t, "python3", "-uc", code+"\nfor _ in 1, 2: subprocess.run(['cgisession', 'incr', 'n'])\n")
}

func manualLoads(t *testing.T, command ...string) {
	t.Helper()
	needs(t, command[0])
	r := in(t.TempDir()).with("CGISESSION_CACHE_CONTROL=")
	got := cmdtest.Finish(t, r.Command(command[0], command[1:]...))
	const want = `\ASet-Cookie: cgisession_id=[a-z2-7]{32}; [^\n]*\nCache-Control: no-store\n1\n2\n\z`
	if !regexp.MustCompile(want).MatchString(got.Stdout) || got.Stderr != "" {
		t.Errorf("%+v", got)
	}
}

// manualFormIsExample: the examples use the same form.sh, and show what it can.
func manualFormIsExample(t *testing.T, code string) {
	text, err := os.ReadFile("../scripts/examples/form.sh")
	must(t, err)
	if code != string(text) {
		t.Error("scripts/examples/form.sh is another one")
	}
}

var manualHidden = regexp.MustCompile(`name="?csrf"? value=["']([^"']+)["']`)

// form returns the fields of a form, and the token of the page that has it.
func (b *browser) form(t *testing.T, fields ...string) url.Values {
	t.Helper()
	token := manualHidden.FindStringSubmatch(b.text(t))
	if token == nil {
		t.Fatal("no token")
	}
	form := url.Values{"csrf": {token[1]}}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return form
}

// manualNames are what visitors may send as a name, with what a page shows of them.
var manualNames = map[string]string{
	"Ann Lee": "Ann Lee", "Zoë": "Zoë", "<b>a&b</b>": "&lt;b&gt;a&amp;b&lt;/b&gt;",
	`'"$(touch pwned)`: "&#39;&quot;$(touch pwned)",
	"--help":           "--help", "-n": "-n",
}

// manualKeepsName: a form of this session changes the name, any other does not.
func manualKeepsName(t *testing.T, code string) {
	b := servePage(t, code, nil)
	b.get(t, "Hello stranger.")
	for name, shown := range manualNames {
		b.post(t, b.form(t, "name", name), "Hello "+shown+".")
		b.get(t, "Hello "+shown+".")
		b.post(t, url.Values{"name": {"Eve"}}, "Hello "+shown+".")
		b.post(t, url.Values{"name": {"Eve"}, "csrf": {"x"}}, "Hello "+shown+".")
	}
	b.again(t).get(t, "Hello stranger.")
	b.nothingBeside(t, "script", "sessions", "form.sh")
}

// manualLogsIn: the password opens, under a new id, and a log-out closes.
func manualLogsIn(t *testing.T, code string) {
	for name, shown := range manualNames {
		b := servePage(t, code, nil)
		b.post(t, b.form(t, "name", name, "password", "wrong"), "Wrong name or password.", "Password")
		b.get(t, "Password")
		before := manualID(t, b)
		b.post(t, b.form(t, "name", name, "password", "sesame"), "Welcome, "+shown+".", "You are "+shown+".")
		r := in(b.dir)
		if after := manualID(t, b); after == before || r.client(before).Call(t, "info").Code != 1 {
			t.Errorf("the id before the log-in works after it")
		}
		if list := r.Must(t, "list", "--user="+name); strings.Count(list, "\n") != 0 || list == "" {
			t.Errorf("list of %q: %q", name, list)
		}
		b.post(t, url.Values{"action": {"log-out"}, "csrf": {"x"}}, "You are "+shown+".")
		b.post(t, b.form(t, "action", "log-out"), "Password")
		b.get(t, "Password")
		b.nothingBeside(t, "script", "sessions", "form.sh")
	}
}

// manualID returns the id that a browser has.
func manualID(t *testing.T, b *browser) string {
	t.Helper()
	site, err := url.Parse(b.url)
	must(t, err)
	for _, c := range b.Jar.Cookies(site) {
		return c.Value
	}
	t.Fatal("no cookie")
	return ""
}

// manualListsDevices: the page lists this user's sessions only, and ends one of them.
func manualListsDevices(t *testing.T, code string) {
	b := servePage(t, code, nil)
	r := in(b.dir)
	site, err := url.Parse(b.url)
	must(t, err)
	logIn := func(user, device string) (id, handle string) {
		id = cmdtest.NewIDs(r.Must(t, "regenerate", "--user", user, "--note", device))[0]
		r.client(id).Must(t, "set", "user="+user)
		_, text, _ := strings.Cut(r.client(id).Must(t, "info"), `"handle":"`)
		return id, text[:64]
	}
	id, own := logIn("ann", "Browser <1>")
	telephone, handle := logIn("ann", "Telephone")
	other, others := logIn("bob", "Secret")
	b.Jar.SetCookies(site, []*http.Cookie{{Name: "cgisession_id", Value: id}})
	b.get(t, `Browser &lt;1&gt;&quot;, seen 2`, `Telephone&quot;, seen 2`,
		"value="+own+">\n(this one)", "value="+handle+">\n<button>")
	if text := b.text(t); strings.Contains(text, "Secret") || strings.Contains(text, others) {
		t.Errorf("another user's device is there: %s", text)
	}
	b.post(t, b.form(t, "handle", handle), "(this one)")
	if r.client(telephone).Call(t, "info").Code != 1 {
		t.Error("the telephone is still logged in")
	}
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, handle := range []string{others, "", "--all", "-h"} {
		response, err := b.PostForm(b.url, b.form(t, "handle", handle))
		must(t, err)
		response.Body.Close()
	}
	r.client(other).Must(t, "info")
	r.client(id).Must(t, "info")
}

// manualFlashes: the message is there once.
func manualFlashes(t *testing.T, code string) {
	b := servePage(t, code, nil)
	b.get(t, "<p></p>")
	b.post(t, nil, "<p>Saved.</p>")
	b.get(t, "<p></p>")
}

// manualFillsCart: each item counts, at once too, and the client chooses no key.
func manualFillsCart(t *testing.T, code string) {
	const crowd = 5
	b := servePage(t, code, nil)
	add := func(item string) { b.post(t, url.Values{"item": {item}}) }
	b.get(t, "<p>0 <button name=item value=tea>Add tea")
	for _, item := range []string{"tea", "bread", "x", "", "../user", "--help", "tea/x"} {
		add(item)
	}
	cmdtest.AtOnce(crowd, func(int) { add("tea") })
	b.get(t, "<p>1 <button name=item value=bread>", "<p>0 <button name=item value=coffee>",
		"<p>6 <button name=item value=tea>")
	wantData(t, in(b.dir).client(manualID(t, b)), map[string]any{"cart": map[string]any{"tea": 6.0, "bread": 1.0}})
	add("empty")
	b.get(t, "<p>0 <button name=item value=tea>")
}

// manualOrders: the pages come in their order, and the last one has the answers.
func manualOrders(t *testing.T, code string) {
	b := servePage(t, code, nil)
	b.get(t, "Name <input name=name>")
	b.post(t, url.Values{"name": {""}}, "Name <input name=name>")
	b.post(t, url.Values{"name": {"<Ann> & co"}}, "City <input name=city>")
	b.get(t, "City <input name=city>")
	b.post(t, url.Values{"city": {"Köln"}, "x@": {"/etc/passwd"}}, "We send it to &lt;Ann&gt; &amp; co in Köln.")
	order := map[string]any{"name": "<Ann> & co", "city": "Köln"}
	wantData(t, in(b.dir).client(manualID(t, b)), map[string]any{"order": order})
}

// manualAsksTimeLeft: the page says how many seconds are left, and does not make them more.
func manualAsksTimeLeft(t *testing.T, code string) {
	r := begin(t, `{"expires_in":7}`)
	ask := func(r request, want string) {
		t.Helper()
		got := cmdtest.Finish(t, r.Command("sh", "-c", code))
		if _, left, _ := strings.Cut(got.Stdout, "\n\n"); left != want+"\n" || got.Stderr != "" || got.Code != 0 {
			t.Errorf("%+v, want %s", got, want)
		}
	}
	ask(r, "no limit")
	limited := r.with("CGISESSION_TIMEOUT=100000h")
	manualIdle(t, r.Dir, 50000*time.Hour)
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

// manualIdle makes the sessions below a directory look unused for so long.
func manualIdle(t *testing.T, dir string, idle time.Duration) {
	t.Helper()
	then := time.Now().Add(-idle)
	files, err := filepath.Glob(dir + "/sessions/??/*")
	must(t, err)
	for _, file := range files {
		must(t, os.Chtimes(file, then, then))
	}
}

// manualRemembers: without the box a visitor is forgotten after half an hour, with it
// after 30 days without a visit.
func manualRemembers(t *testing.T, code string) {
	b := servePage(t, code, nil)
	cookies := func() string {
		response, err := b.Get(b.url)
		must(t, err)
		response.Body.Close()
		return strings.Join(response.Header["Set-Cookie"], "\n")
	}
	idle := func(hours float64) { manualIdle(t, b.dir, time.Duration(hours*float64(time.Hour))) }
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

// manualCountsInFrame: the cookie is one that browsers send from an iframe.
func manualCountsInFrame(t *testing.T, code string) {
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

// manualStoresLatin1: what a browser sends from a page in Latin-1 is stored as UTF-8.
func manualStoresLatin1(t *testing.T, code string) {
	needs(t, "iconv")
	for sent, want := range map[string]string{"caf\xe9 \x80": "café €", "a=b": "a=b", "\x81": ""} {
		r := begin(t, `{}`)
		if got := cmdtest.Finish(t, r.with("text="+sent).Command("sh", "-c", code)); got.Code != 0 {
			t.Errorf("%q: %+v", sent, got)
		}
		wantData(t, r, map[string]any{"note": want})
	}
}
