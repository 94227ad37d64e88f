package cmd_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
)

const troublePage = "cgisession-troubleshooting.7"

// A troubleEntry is a section of cgisession-troubleshooting(7): its heading, without
// backticks, and its text.
type troubleEntry struct{ heading, text string }

// troubleEntries returns the sections below one of the page's two main headings.
func troubleEntries(t *testing.T, main string) (entries []troubleEntry) {
	t.Helper()
	_, part, _ := strings.Cut(conceptPage(t, troublePage), "\n## "+main+"\n")
	part, _, _ = strings.Cut(part, "\n## ")
	for _, section := range strings.Split(part, "\n### ")[1:] {
		heading, text, _ := strings.Cut(section, "\n")
		entries = append(entries, troubleEntry{strings.Trim(heading, "`"), text})
	}
	return entries
}

// troubleMessages makes the program print each message of the page.
var troubleMessages = map[string]func(*testing.T) cmdtest.Ended{
	"no session; begin with eval …": inNew("incr n"),
	"the session is gone: ended or cleaned up during this request": func(t *testing.T) cmdtest.Ended {
		return in(t.TempDir()).bound(cmdtest.Visitor).Call(t, "set", "a=1")
	},
	"another version is stored: …, not …": func(t *testing.T) cmdtest.Ended {
		return begin(t, `{}`).Give(t, `{}`, "save", "--if-version", "7")
	},
	"… is unknown; did you mean …?":                   inNew("load", "CGISESSION_TIMOUT=30m"),
	"no such option; did you mean …?":                 inNew("load --config conf", "", "echo timout = 30m >conf"),
	"configuration file …: no such file or directory": inNew("load --config no-such"),
	"configuration file …: unsafe: …":                 inNew("load --config conf", "", "echo >conf; chmod 666 conf"),
	"no such verb; did you mean …?":                   inNew("laod"),
	"flag provided but not defined; did you mean …?":  inNew("load --timout 30m"),
	"the change, if any, is stored: …":                inNew("set a=1 >/dev/full"),
	"no space left on device":                         onFullDisk,
	"larger than --max-size of …":                     inNew("set a=12345678901 --max-size 10"),
	"bad JSON: …":                                     inNew("set a:=hello"),
	"text is not UTF-8 at byte …":                     inNew(`set a="$(printf '\351')"`),
	"corrupt session file; remove it, or set --invalidate-corrupt": func(t *testing.T) cmdtest.Ended {
		r := begin(t, `{}`)
		must(t, os.WriteFile(r.file(cmdtest.Visitor), []byte("garbage\n"), 0o600))
		return r.Call(t, "get")
	},
	"locked by another process, pid …": func(t *testing.T) cmdtest.Ended {
		return begin(t, `{}`).Call(t, "lock", "sh", "-c",
			"unset CGISESSION_LOCK_FD; cgisession set a=1 --lock-timeout 0")
	},
	"CGISESSION_LOCK_FD is a descriptor of another file; …": func(t *testing.T) cmdtest.Ended {
		return cmdtest.Finish(t, begin(t, `{}`).Command("sh", "-c", "exec 9<.; CGISESSION_LOCK_FD=9 cgisession get"))
	},
	"data directory …: permission denied":                  asNobody,
	"unsafe: belongs to user …, not to the caller, user …": withForeignDirectory,
	"lets other users in; run cgisession doctor --repair": inNew("load --data-dir open", "",
		"mkdir open; chmod 777 open"),
	"its parent directory does not exist; create it": inNew("load --data-dir no/such"),
	"lets other users read it; chmod 600 it, and make a new key": inNew("load --secret-file key", "",
		"cgisession secret >key; chmod 644 key"),
	"key file …: no such file or directory":           inNew("load --secret-file no-such"),
	"a new id is needed, and nobody could be told: …": inNew("load --use-cookies false"),
	"called by a web server as a CGI script, …": func(t *testing.T) cmdtest.Ended {
		got := in(t.TempDir(), "GATEWAY_INTERFACE=CGI/1.1", "SCRIPT_FILENAME="+cmdtest.Program).Call(t)
		got.Stdout, _, _ = strings.Cut(got.Stdout, "Status: 500")
		return got
	},
}

// inNew returns what calls the program with the arguments, as a shell reads them, in a new
// directory without a session. What follows is a variable, and what the shell does first.
func inNew(args string, more ...string) func(*testing.T) cmdtest.Ended {
	more = append(more, "", "")
	return func(t *testing.T) cmdtest.Ended {
		return cmdtest.Finish(t, in(t.TempDir(), more[0]).Command("sh", "-c", more[1]+"\nexec cgisession "+args))
	}
}

// onFullDisk needs root, to mount a file system of one page.
func onFullDisk(t *testing.T) cmdtest.Ended {
	if os.Geteuid() != 0 {
		t.Skip("not root: no disk to fill")
	}
	dir := t.TempDir()
	mount := exec.Command("mount", "-t", "tmpfs", "-o", "size=4k,mode=700", "full", dir)
	if out, err := mount.CombinedOutput(); err != nil {
		t.Skipf("no disk to fill: %s", out)
	}
	t.Cleanup(func() { exec.Command("umount", dir).Run() })
	must(t, os.WriteFile(filepath.Join(dir, "full"), make([]byte, 4096), 0o600))
	return in(dir).Call(t, "set", "a=1")
}

// asNobody has a user look at another's directory.
func asNobody(t *testing.T) cmdtest.Ended {
	if os.Geteuid() != 0 {
		t.Skip("not root: no other user")
	}
	r := begin(t, `{}`)
	return cmdtest.Finish(t, r.Command("setpriv", "--reuid=65534", "--clear-groups", "--regid=65534",
		openedProgram(t), "get"))
}

// openedProgram returns a copy of the program that all users can run.
func openedProgram(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath(cmdtest.Program)
	must(t, err)
	text, err := os.ReadFile(path)
	must(t, err)
	dir, err := os.MkdirTemp("", "manual-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	must(t, os.WriteFile(dir+"/cgisession", text, 0o755))
	return dir + "/cgisession"
}

// withForeignDirectory has root use another user's directory.
func withForeignDirectory(t *testing.T) cmdtest.Ended {
	if os.Geteuid() != 0 {
		t.Skip("not root: no other user")
	}
	r := begin(t, `{}`)
	must(t, os.Chown(r.Dir+"/sessions", 65534, 65534))
	return r.Call(t, "get")
}

// Each message of the page is one that the program prints, with the exit code that the
// page says; so the two cannot drift apart.
func TestManualMessages(t *testing.T) {
	entries := troubleEntries(t, "MESSAGES")
	for _, e := range entries {
		provoke := troubleMessages[e.heading]
		if provoke == nil {
			t.Errorf("nothing provokes %q", e.heading)
			continue
		}
		t.Run(e.heading, func(t *testing.T) {
			got := provoke(t)
			want := strings.ReplaceAll(regexp.QuoteMeta(e.heading), "…", ".+")
			if !regexp.MustCompile(`\Acgisession: (.* )?` + want + `.*\n\z`).MatchString(got.Stderr) {
				t.Errorf("%+v", got)
			}
			if got.Stdout != "" || !strings.Contains(e.text, fmt.Sprintf("Exit code %d", got.Code)) {
				t.Errorf("not as the page says: %+v", got)
			}
		})
	}
	if len(entries) != len(troubleMessages) {
		t.Errorf("%d messages, and %d that are provoked", len(entries), len(troubleMessages))
	}
}

// troubleSymptoms shows each symptom of the page, and that it ends by what the page says.
// Those without a test here are the subject of others.
var troubleSymptoms = map[string]func(*testing.T){
	"The cookie is not set":                             cookieNotSet,
	"Every request begins a new session":                alwaysNew,
	`The log says "ambiguous cookies"`:                  ambiguousCookies,
	"get prints nothing":                                getPrintsNothing,
	"The script goes on without a session":              goesOnWithoutSession,
	"No redirect under busybox httpd":                   noRedirect,
	"The cookie is not Secure behind a proxy":           notSecure,
	"Visitors are logged out after a link or a payment": loggedOutByLink,
	"A visitor sees an old page, or another's":          cachedPage,
	"A job in the background has no session":            jobWithoutSession,
	"A call ends with exit code 2":                      littleAddressSpace,
	"Every call exits 78 with --type redis":             nil, // whether the second program is there, its own tests see
}

func TestManualSymptoms(t *testing.T) {
	var headings []string
	for _, e := range troubleEntries(t, "SYMPTOMS") {
		headings = append(headings, e.heading)
		if show := troubleSymptoms[e.heading]; show != nil {
			t.Run(e.heading, show)
		}
	}
	slices.Sort(headings)
	if want := slices.Sorted(maps.Keys(troubleSymptoms)); !slices.Equal(headings, want) {
		t.Errorf("the page has %q; tests are for %q", headings, want)
	}
}

// cookies returns how many cookies the shell script prints.
func (r request) cookies(t *testing.T, script string) int {
	t.Helper()
	got := cmdtest.Finish(t, r.Command("sh", "-c", script))
	if got.Code != 0 {
		t.Errorf("%s: %+v", script, got)
	}
	return strings.Count(got.Stdout, "Set-Cookie: ")
}

func cookieNotSet(t *testing.T) {
	r := begin(t, `{}`)
	for script, want := range map[string]int{
		"cgisession load": 1, "x=$(cgisession load)": 0, "cgisession set a=1 >/dev/null": 0,
		`eval "$(cgisession load --sh)"; cgisession set a=1 >/dev/null`: 1,
	} {
		if n := r.client("").cookies(t, script); n != want {
			t.Errorf("%s: %d cookies", script, n)
		}
	}
	if n := r.client(cmdtest.Visitor).cookies(t, "cgisession load"); n != 0 {
		t.Errorf("on a second visit: %d cookies", n)
	}
}

func alwaysNew(t *testing.T) {
	r := begin(t, `{}`).client(cmdtest.Visitor).with("CGISESSION_LOG_FILE=log")
	said := func() string {
		text, _ := os.ReadFile(r.Dir + "/log")
		os.Remove(r.Dir + "/log")
		return string(text)
	}
	for script, says := range map[string]string{
		"CGISESSION_DATA_DIR=other":                                              "refused unknown id",
		"unset CGISESSION_DATA_DIR; export TMPDIR=.":                             "refused unknown id",
		"(umask 077; cgisession secret >key); export CGISESSION_SECRET_FILE=key": "refused token",
		"export CGISESSION_COOKIE_NAME=shop":                                     "",
	} {
		if n, log := r.cookies(t, script+"; cgisession load"), said(); n != 1 || !strings.Contains(log, says) {
			t.Errorf("%s: %d cookies, log %q", script, n, log)
		}
	}
	sessionsIdleSince(t, r.Dir, time.Minute)
	if r.with("CGISESSION_TIMEOUT=30m").cookies(t, "cgisession info >/dev/null") != 0 ||
		r.with("CGISESSION_TIMEOUT=30").cookies(t, "cgisession load") != 1 {
		t.Error("30 is no number of seconds")
	}
}

func ambiguousCookies(t *testing.T) {
	r := begin(t, `{}`).client("")
	r.with("CGISESSION_ADOPT_ID=another-session-here").Must(t, "load")
	for other, ambiguous := range map[string]bool{"another-session-here": true, "leads-nowhere-at-all": false} {
		two := r.with("HTTP_COOKIE=cgisession_id=" + other + "; cgisession_id=" + cmdtest.Visitor)
		got := two.with("SERVER_NAME=shop.example.com").with("CGISESSION_LOG_FILE=-").Call(t, "load")
		if got.Code != 0 || strings.Contains(got.Stderr, `"ambiguous cookies"`) != ambiguous ||
			(len(cmdtest.NewIDs(got.Stdout)) == 1) != ambiguous {
			t.Errorf("%s: %+v", other, got)
		}
		if deletes := strings.Contains(got.Stdout, "cgisession_id=; "); deletes != ambiguous {
			t.Errorf("%s: the other cookies are deleted: %v", other, deletes)
		}
	}
}

// sessionsIdleSince makes the sessions below a directory look unused for so long.
func sessionsIdleSince(t *testing.T, dir string, idle time.Duration) {
	t.Helper()
	files, err := filepath.Glob(dir + "/sessions/??/*")
	must(t, err)
	for _, file := range files {
		must(t, os.Chtimes(file, time.Time{}, time.Now().Add(-idle)))
	}
}

func getPrintsNothing(t *testing.T) {
	r := begin(t, `{"name":"Ann"}`)
	want := func(r request, want cmdtest.Ended, args ...string) {
		t.Helper()
		if got := r.Call(t, args...); got != want {
			t.Errorf("%q: %+v", args, got)
		}
	}
	want(r.client(""), cmdtest.Ended{Code: 1}, "get", "name")
	want(r, cmdtest.Ended{Code: 1}, "get", "nam")
	want(r, cmdtest.Ended{Stdout: "{\"name\":\"Ann\"}\n"}, "get")
	want(r, cmdtest.Ended{Stdout: "\"Ann\"\n"}, "get", "/name")
	want(r.client(""), cmdtest.Ended{Stdout: "\n"}, "get", "--raw", "--default-text", "", "name")
}

func goesOnWithoutSession(t *testing.T) {
	safe := theBlock(t, troublePage, "The script goes on without a session", "sh", 0)
	unsafe := strings.Replace(safe, " || echo exit 1", "", 1)
	r := begin(t, `{"user":"Ann"}`).client(cmdtest.Visitor)
	for script, want := range map[string]cmdtest.Ended{
		safe:   {Code: 1},
		unsafe: {Stdout: "Content-Type: text/plain\n\nHello stranger.\n"},
	} {
		if got := cmdtest.Finish(t, r.Command("sh", "-c", script)); got.Stdout != "Content-Type: text/plain\n\nHello Ann.\n" {
			t.Errorf("%+v", got)
		}
		got := cmdtest.Finish(t, r.with("CGISESSION_MAX_SIZE=none").Command("sh", "-c", script))
		got.Stderr = ""
		if got != want {
			t.Errorf("where load fails: %+v, want %+v", got, want)
		}
	}
}

// httpd serves scripts by busybox httpd, and returns where.
func httpd(t *testing.T, scripts map[string]string) (url string) {
	t.Helper()
	needs(t, "busybox")
	dir := t.TempDir()
	must(t, os.Mkdir(dir+"/cgi-bin", 0o700))
	for name, text := range scripts {
		cmdtest.WriteScript(t, dir+"/cgi-bin/"+name, text)
	}
	cmdtest.Serve(t, func(port int) []*exec.Cmd {
		url = "http://" + cmdtest.Address(port) + "/cgi-bin/"
		return []*exec.Cmd{in(dir).Command("busybox", "httpd", "-f", "-p", cmdtest.Address(port), "-h", dir)}
	})
	return url
}

func noRedirect(t *testing.T) {
	needs(t, "curl")
	right := theBlock(t, troublePage, "No redirect under busybox httpd", "sh", 0)
	const status, set = "echo 'Status: 303 See Other'\n", "eval \"$new\"\n"
	wrong := strings.Replace(right, status+set, set+status, 1)
	url := httpd(t, map[string]string{"right": right, "wrong": wrong})
	for name, status := range map[string]string{"right": " 303 ", "wrong": " 200 "} {
		head := cmdtest.Fetch(t, url+name).Head
		if first, _, _ := strings.Cut(head, "\n"); !strings.Contains(first, status) || !strings.Contains(head, "Set-Cookie: ") {
			t.Errorf("%s: %s", name, head)
		}
	}
}

func notSecure(t *testing.T) {
	load := func(env ...string) cmdtest.Ended { return in(t.TempDir(), env...).Call(t, "load") }
	for want, got := range map[bool]cmdtest.Ended{
		false: load("HTTP_X_FORWARDED_PROTO=https"),
		true:  load("CGISESSION_COOKIE_SECURE=always"),
	} {
		if got.Code != 0 || strings.Contains(got.Stdout, "; Secure") != want {
			t.Errorf("%+v", got)
		}
	}
	if got := load("CGISESSION_COOKIE_NAME=__Host-id"); got.Code != 64 {
		t.Errorf("%+v", got)
	}
	if got := load("CGISESSION_COOKIE_NAME=__Host-id", "CGISESSION_COOKIE_SECURE=always"); got.Code != 0 {
		t.Errorf("%+v", got)
	}
}

// loggedOutByLink: what a browser sends then is no cookie; see the browsers' own tests.
func loggedOutByLink(t *testing.T) {
	r := begin(t, `{}`).client("")
	if n := r.cookies(t, "cgisession load"); n != 1 {
		t.Errorf("load: %d cookies", n)
	}
	if n := r.cookies(t, `eval "$(cgisession load --lazy --sh)"; cgisession get --default 0`); n != 0 {
		t.Errorf("load --lazy: %d cookies", n)
	}
}

func cachedPage(t *testing.T) {
	for setting, want := range map[string]string{
		"": "Cache-Control: no-store\n", "private": "Cache-Control: private\n", "off": "",
	} {
		got := in(t.TempDir(), "CGISESSION_CACHE_CONTROL="+setting).Call(t, "load")
		if _, line, _ := strings.Cut(got.Stdout, "\n"); line != want {
			t.Errorf("%q: %+v", setting, got)
		}
	}
}

func jobWithoutSession(t *testing.T) {
	const job = `eval "$(cgisession load --sh)"
(while kill -0 $$; do :; done; cgisession info; echo $? >new; mv new code) >/dev/null 2>&1 &`
	for port, want := range map[string]string{"": "1\n", "REMOTE_PORT=40000": "0\n"} {
		r := begin(t, `{}`).client(cmdtest.Visitor).with("GATEWAY_INTERFACE=CGI/1.1").with(port)
		if got := cmdtest.Finish(t, r.Command("sh", "-c", job)); got.Code != 0 {
			t.Fatalf("%+v", got)
		}
		var text []byte
		cmdtest.Until(t, "end of the job", func() (ended bool) {
			var err error
			text, err = os.ReadFile(r.Dir + "/code")
			return err == nil
		})
		if string(text) != want {
			t.Errorf("%q: exit code %s", port, text)
		}
	}
}

func littleAddressSpace(t *testing.T) {
	r := begin(t, `{"n":1}`)
	if got := cmdtest.Finish(t, r.Command("sh", "-c", "ulimit -v 300000 && exec cgisession incr n")); got.Code != 2 {
		t.Errorf("%+v", got)
	}
	if n := r.Must(t, "get", "n"); n != "1" {
		t.Errorf("n is %s", n)
	}
}
