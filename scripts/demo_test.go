// Package scripts tests scripts that a person runs.
package scripts

import (
	"bufio"
	"fmt"
	"html"
	"image"
	_ "image/png"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// startDemo starts the demo, and returns its first line on standard output. The test
// ends the demo as ^C does, and wants nothing to be left behind.
func startDemo(t *testing.T) string {
	t.Helper()
	tmp := t.TempDir()
	said, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { said.Close() })
	demo := exec.Command("./demo")
	demo.Env = append(os.Environ(), "TMPDIR="+tmp)
	demo.Stderr = said
	demo.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// To all processes of the group.
		if err := syscall.Kill(-demo.Process.Pid, syscall.SIGINT); err != nil {
			t.Error(err)
		}
		if err := demo.Wait(); err != nil {
			t.Errorf("after ^C: %v", err)
		}
		left, err := os.ReadDir(tmp)
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	text, _ := os.ReadFile(said.Name())
	if err != nil {
		t.Fatalf("the demo does not say where it is: %v; %s", err, text)
	}
	if !strings.HasPrefix(string(text), "Building cgisession (about a minute the first time)...\n") {
		t.Errorf("the demo does not say first what it does: %q", text)
	}
	return strings.TrimSpace(line)
}

// Without Go, or with one that is too old, the demo says what it takes.
func TestDemoWithoutGo(t *testing.T) {
	for goSays, want := range map[string]string{
		"":                              `there is no "go" on the PATH`,
		"go version go1.19.8 linux/arm": "it takes Go 1.26 or newer to build it, and this is go version go1.19.8",
	} {
		dir := t.TempDir()
		for _, name := range []string{"sh", "dirname", "mktemp", "rm", "env"} {
			path, err := exec.LookPath(name)
			if err == nil {
				err = os.Symlink(path, filepath.Join(dir, name))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if goSays != "" {
			old := "#!/bin/sh\n[ \"$1\" = version ] || exit 1\necho " + goSays + "\n"
			if err := os.WriteFile(filepath.Join(dir, "go"), []byte(old), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		tmp := t.TempDir()
		demo := exec.Command("./demo")
		demo.Env = []string{"PATH=" + dir, "TMPDIR=" + tmp}
		said, err := demo.CombinedOutput()
		if demo.ProcessState.ExitCode() != 1 || !strings.Contains(string(said), want) {
			t.Errorf("%v: %s", err, said)
		}
		if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}

// A visitor has cookies, and no JavaScript.
type visitor struct {
	http.Client
	base string
}

func newVisitor(t *testing.T, base string) visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return visitor{http.Client{Jar: jar}, base}
}

// get returns a page, and wants each text in it.
func (v visitor) get(t *testing.T, path string, texts ...string) string {
	t.Helper()
	answer, err := v.Get(v.base + path)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, answer, texts)
}

func (v visitor) post(t *testing.T, path string, form url.Values, texts ...string) {
	t.Helper()
	answer, err := v.PostForm(v.base+path, form)
	if err != nil {
		t.Fatal(err)
	}
	read(t, answer, texts)
}

func read(t *testing.T, answer *http.Response, texts []string) string {
	t.Helper()
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		if !strings.Contains(string(page), text) {
			t.Errorf("%s: no %q in the page:\n%s", answer.Request.URL, text, page)
		}
	}
	return string(page)
}

// The tour leads from the easiest example to the hardest, and each page shows what the
// script does, its source, and the way on.
func TestTour(t *testing.T) {
	v := newVisitor(t, startDemo(t))
	index := v.get(t, "", "cookie with a random id")
	var stops []string
	for _, m := range regexp.MustCompile(`<li><a href="tour/([^"]+)">`).FindAllStringSubmatch(index, -1) {
		stops = append(stops, m[1])
	}
	first := []string{"counter.sh", "counter.pl", "counter.py", "guestbook.sh", "login.sh", "cart.pl", "wizard.sh"}
	if len(stops) < len(first) || !slices.Equal(stops[:len(first)], first) {
		t.Fatalf("the order is %q", stops)
	}
	for i, name := range stops {
		source, err := os.ReadFile("examples/" + name)
		if err != nil {
			t.Fatal(err)
		}
		line := strings.Split(string(source), "\n")[1]
		want := []string{
			"<p>" + html.EscapeString(strings.TrimPrefix(line, "# ")) + "</p>", `<a href="/">← All pages</a>`,
			fmt.Sprintf("%d of %d", i+1, len(stops)), `src="/` + name + `"`, `src="session"`,
		}
		if i+1 < len(stops) {
			want = append(want, fmt.Sprintf(`<a href="%s">Next: `, stops[i+1]))
		}
		page := v.get(t, "tour/"+name, want...)
		if !strings.Contains(html.UnescapeString(page), string(source)) {
			t.Errorf("%s: not the whole source", name)
		}
		does := strings.TrimSuffix(strings.TrimPrefix(want[0], "<p>"), "</p>")
		v.get(t, "", `<b>`+name+`</b></a>: `+does+` <span class="small"><a href="`+name+`">`)
	}
	v.get(t, "tour/form.sh", "404") // it is no script, but a part of them
	v.get(t, "form.sh", "404")
	v.get(t, "tour/tour.txt", "404")
}

// What the session holds is the visitor's own, and never what opens it. To look
// begins no session and marks no access.
func TestTourSession(t *testing.T) {
	base := startDemo(t)
	v, other := newVisitor(t, base), newVisitor(t, base)
	v.get(t, "tour/counter.sh")
	v.get(t, "tour/session", "There is no session")
	v.get(t, "counter.sh", "Visit 1.")
	v.get(t, "tour/session", `&#34;visits&#34;: 1`, "No user has logged in", "version 2")
	v.get(t, "tour/session", "version 2", `<noscript><meta http-equiv="refresh"`)
	v.get(t, "counter.pl", "Visit 2.")
	v.get(t, "counter.py", "Visit 3.")
	login := v.get(t, "login.sh", `(it is "sesame")`)
	_, rest, _ := strings.Cut(login, `name="csrf" value="`)
	token, _, _ := strings.Cut(rest, `"`)
	v.post(t, "login.sh", url.Values{"csrf": {token}, "action": {"log-in"}, "name": {"<Ann>"}, "password": {"sesame"}}, "&lt;Ann&gt;")
	page := v.get(t, "tour/session", "User <b>&lt;Ann&gt;</b>", `&#34;visits&#34;: 3`, "ends in 29m")
	site, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	cookies := v.Jar.Cookies(site)
	if len(cookies) != 1 || strings.Contains(page, cookies[0].Value) {
		t.Errorf("cookies %q, one of them in the page", cookies)
	}
	other.get(t, "tour/session", "There is no session")
	other.get(t, "", "tour")
	if all := other.Jar.Cookies(site); len(all) != 0 {
		t.Errorf("to look began a session: %q", all)
	}
}

// The README's picture can be taken again: Chromium logs in on the tour, whose frames
// show it, and the picture shows something.
func TestPicture(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tour.png")
	if os.Getenv("CI") != "true" {
		t.Skip("CI=true takes the picture again")
	}
	if said, err := exec.Command("./picture", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	for _, name := range []string{file, "examples/tour.png"} {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		picture, format, err := image.Decode(f)
		if err != nil || format != "png" {
			t.Fatalf("%s: %s, %v", name, format, err)
		}
		if info, err := f.Stat(); err != nil || info.Size() > 150_000 {
			t.Errorf("%s: %d bytes, %v", name, info.Size(), err)
		}
		size := picture.Bounds()
		if size.Dx() < 600 || size.Dy() < 400 {
			t.Errorf("%s: %v", name, size)
		}
		// A blank page has few colors, and the most frequent one nearly everywhere.
		seen := make(map[any]int)
		most := 0
		for y := size.Min.Y; y < size.Max.Y; y++ {
			for x := size.Min.X; x < size.Max.X; x++ {
				color := picture.At(x, y)
				seen[color]++
				most = max(most, seen[color])
			}
		}
		if all := size.Dx() * size.Dy(); len(seen) < 50 || most*100 > all*95 {
			t.Errorf("%s: %d colors, the first on %d %% of it", name, len(seen), most*100/all)
		}
	}
}
