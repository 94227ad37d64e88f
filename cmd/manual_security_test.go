package cmd_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

const securityPage = "cgisession-security.7"

// Each promise names the tests that show it, and they exist.
func TestManualNamesTests(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	must(t, err)
	var source strings.Builder
	for _, name := range files {
		text, err := os.ReadFile(name)
		must(t, err)
		source.Write(text)
	}
	page := conceptPage(t, securityPage)
	named := regexp.MustCompile("`(Test[A-Za-z]+)`").FindAllStringSubmatch(page, -1)
	for _, name := range named {
		if !strings.Contains(source.String(), "\nfunc "+name[1]+"(t *testing.T) {") {
			t.Errorf("no test %s", name[1])
		}
	}
	for _, heading := range []string{"PROMISES UNDER LOAD", "PROMISES UNDER FAULTS"} {
		_, promises, _ := strings.Cut(page, "\n## "+heading+"\n")
		promises, _, _ = strings.Cut(promises, "\n## ")
		for _, promise := range strings.Split(promises, "\n- ")[1:] {
			if !strings.Contains(promise, "`Test") {
				t.Errorf("no test for: %s", promise)
			}
		}
	}
	if len(named) < 20 {
		t.Errorf("only %d tests named", len(named))
	}
}

// A change of keys, as the page makes it, ends no session and moves the cookies to the new
// key; without the old key the cookies from before are refused.
func TestManualKeys(t *testing.T) {
	begun, change, _ := strings.Cut(theBlock(t, securityPage, "KEYS", "sh", 1), "\n")
	r := in(t.TempDir(), "CGISESSION_SECRET_FILE=cgisession.key")
	token := regexp.MustCompile(`cgisession_id=([^;]+);`)
	run := func(cookie, script string) (set string) {
		t.Helper()
		got := cmdtest.Finish(t, r.client(cookie).with(r.Env[0]).Command("sh", "-euc", script))
		if got.Code != 0 {
			t.Fatalf("%s: %+v", script, got)
		}
		if m := token.FindStringSubmatch(got.Stdout); m != nil {
			return m[1]
		}
		return ""
	}
	old := run("", begun+"\ncgisession set a=1")
	renewed := run(old, change+"\ncgisession load")
	if renewed == "" || renewed == old || strings.Split(renewed, ".")[0] != strings.Split(old, ".")[0] {
		t.Fatalf("the cookie was %s, and is now %s", old, renewed)
	}
	run(renewed, "head -n 1 cgisession.key >new && mv new cgisession.key && chmod 600 cgisession.key")
	for cookie, want := range map[string]int{old: 1, renewed: 0} {
		if got := r.client(cookie).with(r.Env[0]).Call(t, "get"); got.Code != want {
			t.Errorf("%s: %+v", cookie, got)
		}
	}
}

// The page's form is changed by its own token only.
func TestManualCSRF(t *testing.T) {
	script := theBlock(t, securityPage, "FORMS OF OTHER SITES (CSRF)", "sh", 0)
	r := begin(t, `{}`).client(cmdtest.Visitor)
	ask := func(method, body string) cmdtest.Ended {
		c := r.with("REQUEST_METHOD="+method).Command("sh", "-c", script)
		c.Stdin = strings.NewReader(body)
		return cmdtest.Finish(t, c)
	}
	token := regexp.MustCompile(`value="([^"]{64})"`).FindStringSubmatch(ask("GET", "").Stdout)
	if token == nil {
		t.Fatal("no token in the form")
	}
	other := request{r.With("CGISESSION_ADOPT_ID=another-session-here")}
	other.Must(t, "load")
	forged := other.Must(t, "csrf")
	for body, want := range map[string]string{
		"csrf=" + token[1]:     "Content-Type: text/html\n",
		"csrf=" + token[1][1:]: "Status: 403",
		"csrf=" + forged:       "Status: 403",
		"csrf=":                "Status: 403",
		"":                     "Status: 403",
	} {
		if got := ask("POST", body); !strings.HasPrefix(got.Stdout, want) || got.Code != 0 {
			t.Errorf("%q: %+v", body, got)
		}
	}
	if n := r.Must(t, "get", "changes"); n != "1" {
		t.Errorf("%s changes", n)
	}
}

// In a directory where all users can make names, a hostile one can keep another out, and
// nothing else; and root can mend it, as the page says.
func TestManualHostileUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: no other users")
	}
	needs(t, "setpriv")
	program := openedProgram(t)
	top := filepath.Dir(program) + "/var"
	must(t, os.Mkdir(top, 0o700))
	must(t, os.Chmod(top, os.ModeSticky|0o733))
	as := func(uid int, args ...string) cmdtest.Ended {
		t.Helper()
		id := fmt.Sprint(uid)
		c := exec.Command("setpriv", append([]string{"--reuid=" + id, "--regid=" + id, "--clear-groups"}, args...)...)
		c.Dir = "/"
		return cmdtest.Finish(t, c)
	}
	const hostile, victim = 65533, 33
	place := fmt.Sprintf("%s/%d", top, victim)
	use := func() cmdtest.Ended { return as(victim, program, "set", "a=secret", "--data-dir", place) }

	for name, script := range map[string]string{
		"directory": "mkdir -m 777 $0", "file": "echo x >$0; chmod 666 $0",
		"symbolic link": "mkdir -m 777 $0x; ln -s $0x $0", "link to nowhere": "ln -s $0y $0",
	} {
		if got := as(hostile, "sh", "-c", script, place); got.Code != 0 {
			t.Fatalf("%s: %+v", name, got)
		}
		got := use()
		if got.Code != 77 || got.Stdout != "" ||
			!regexp.MustCompile("belongs to user|not a directory, or a symbolic link").MatchString(got.Stderr) {
			t.Errorf("%s: %+v", name, got)
		}
		if leaked, _ := filepath.Glob(top + "/*/*"); len(leaked) > 0 {
			t.Errorf("%s: there is now %q", name, leaked)
		}
		must(t, os.RemoveAll(place))
		must(t, os.RemoveAll(place+"x"))
	}

	if got := cmdtest.Finish(t, exec.Command("install", "-d", "-o", "33", "-g", "33", "-m", "700", place)); got.Code != 0 {
		t.Fatalf("%+v", got)
	}
	if got := use(); got.Code != 0 {
		t.Errorf("after root has made it: %+v", got)
	}
	for _, script := range []string{"ls " + top, "ls " + place, "rmdir " + place, "mv " + place + " " + place + "z"} {
		if got := as(hostile, "sh", "-c", script); got.Code == 0 {
			t.Errorf("a hostile user may: %s", script)
		}
	}
}
