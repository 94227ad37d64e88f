package cmd_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
	"cgisession/cmd/manual"
)

// A manualBlock is a block of code in the manual.
type manualBlock struct {
	page, heading, language, code string
}

// manualBlocks returns the blocks of all pages by their names: page, heading and
// language, and a number from the second one on.
func manualBlocks() map[string]manualBlock {
	found := make(map[string]manualBlock)
	for _, p := range manual.Pages() {
		b := manualBlock{page: p.Title()}
		inside := false
		for line := range strings.Lines(p.Source) {
			fence, isFence := strings.CutPrefix(line, "```")
			switch {
			case isFence && !inside:
				b.language, b.code, inside = strings.TrimSpace(fence), "", true
			case isFence:
				first := b.page + ", " + b.heading + ", " + b.language
				name := first
				for n := 2; found[name].code != ""; n++ {
					name = fmt.Sprintf("%s, %d", first, n)
				}
				found[name], inside = b, false
			case inside:
				b.code += line
			case strings.HasPrefix(line, "#"):
				b.heading = strings.TrimSpace(strings.TrimLeft(line, "#"))
			}
		}
	}
	return found
}

// systemPath finds what belongs to the machine that the tests run on, perhaps as root:
// its directories but in the first line, its low ports, and programs that change it.
var systemPath = regexp.MustCompile(`(?m)^[^#\n].*(/etc/|/var/|/srv/|/opt/|/usr/(lib|share|sbin|local)/)|` +
	`\s-p \d+\b|\b(systemctl|useradd|apt|apt-get|dpkg|rpm|apk|chown|runuser|su|sudo|mount|semanage)\s|\binstall -d`)

// manualElsewhere has the blocks that other tests run, with the function that does.
// Blocks that are a whole file below scripts need no row: the tests beside it run it.
var manualElsewhere = map[string]string{
	"cgisession-migration(7), FROM PHP'S SESSIONS, php":  "TestManualFromPHP",
	"cgisession-redis(7), A USER FOR THE SITE, redis":    "TestACL",
	"cgisession-redis(7), A USER FOR THE SITE, redis, 2": "TestACLCluster",
	"cgisession-redis(7), A USER FOR THE SITE, redis, 3": "TestACLSentinel",
}

// Each block of the manual runs, word for word as it stands there. Blocks of text are
// there to be read only.
func TestManualBlocks(t *testing.T) {
	elsewhere, files := functionsOfTests(t), scriptFiles(t)
	blocks := manualBlocks()
	for name, b := range blocks {
		test, ok := manualBlockTests[name]
		function := manualElsewhere[name]
		run := map[string]func(*testing.T, manualBlock){
			"sh": runsInShell, "perl": runsInPerl, "python": runsInPython, "console": showsOutput,
			"conf": configures,
		}[b.language]
		switch {
		case b.language == "text", slices.Contains(files, b.code):
		case ok:
			t.Run(name, func(t *testing.T) { test(t, b.code) })
		case function != "" && strings.Contains(elsewhere, "\nfunc "+function+"("):
		case b.language != "conf" && systemPath.MatchString(b.code):
			t.Errorf("the block %s would change this machine: it must be a file below scripts that tests run, "+
				"or have a row in manualElsewhere:\n%s", name, b.code)
		case run != nil && function == "":
			t.Run(name, func(t *testing.T) { run(t, b) })
		default:
			t.Errorf("no test runs the block %s (%q):\n%s", name, function, b.code)
		}
	}
	named := slices.AppendSeq(slices.Collect(maps.Keys(manualBlockTests)), maps.Keys(manualElsewhere))
	for _, name := range named {
		page, _, _ := strings.Cut(name, ", ")
		if _, written := manual.Find(page); written && blocks[name].code == "" {
			t.Errorf("no block %s", name)
		}
	}
}

// functionsOfTests returns the text of all tests.
func functionsOfTests(t *testing.T) (text string) {
	t.Helper()
	must(t, filepath.WalkDir("..", func(path string, _ os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			var code []byte
			code, err = os.ReadFile(path)
			text += string(code)
		}
		return err
	}))
	return text
}

// scriptFiles returns the files below scripts that tests beside them run.
func scriptFiles(t *testing.T) (all []string) {
	t.Helper()
	for _, dir := range []string{"cron", "examples", "production", "systemd"} {
		names, err := filepath.Glob("../scripts/" + dir + "/*")
		must(t, err)
		for _, name := range names {
			if text, err := os.ReadFile(name); err == nil {
				all = append(all, string(text))
			}
		}
	}
	return all
}

// inCGI returns a request of the visitor, who has a session without data, with the
// variables that the pieces of scripts in the manual take for granted.
func inCGI(t *testing.T) request {
	t.Helper()
	r := begin(t, `{}`).client(cmdtest.Visitor)
	for _, setting := range []string{
		"GATEWAY_INTERFACE=CGI/1.1", "REQUEST_METHOD=GET", "REMOTE_PORT=40000", "HTTP_USER_AGENT=Browser/1.0",
		"SCRIPT_NAME=/page.sh", "name=Ann Lee", "user=ann", "field=colour", "text=it's \"red\"", "token=none",
	} {
		r = r.with(setting)
	}
	return r
}

// runsInShell runs a script as a web server does, and a piece of one by sh -eu.
func runsInShell(t *testing.T, b manualBlock) { runsBlock(t, b, "sh", "-eu", "-c") }

func runsInPerl(t *testing.T, b manualBlock) { runsBlock(t, b, "perl", "-w", "-e") }

func runsInPython(t *testing.T, b manualBlock) { runsBlock(t, b, "python3", "-c") }

func runsBlock(t *testing.T, b manualBlock, command ...string) {
	t.Helper()
	needs(t, command[0])
	if strings.HasPrefix(b.code, "#!") {
		answers(t, b.code)
		return
	}
	got := cmdtest.Finish(t, inCGI(t).Command(command[0], append(command[1:], b.code)...))
	if got.Code != 0 || got.Stderr != "" {
		t.Errorf("%+v", got)
	}
}

// answers: a server runs the script, on a first and on a second visit; it ends with 0,
// answers with a page or a redirect, and writes nothing to the server's log.
func answers(t *testing.T, code string) {
	t.Helper()
	b := servePage(t, "#!/bin/sh\n./block\necho $? >>ended\n", nil)
	cmdtest.WriteScript(t, b.dir+"/block", withProgram(code))
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for range 2 {
		response, err := b.Get(b.url)
		must(t, err)
		_, err = io.Copy(io.Discard, response.Body) // else a script that prints much meets a closed pipe
		must(t, err)
		response.Body.Close()
		if s := response.StatusCode; s != http.StatusOK && s != http.StatusSeeOther {
			t.Error(response.Status)
		}
	}
	ended := func() string {
		text, _ := os.ReadFile(b.dir + "/ended")
		return string(text)
	}
	cmdtest.Until(t, "end of the script", func() bool { return strings.Count(ended(), "\n") == 2 })
	said, err := os.ReadFile(b.stderr.Name())
	must(t, err)
	if ended() != "0\n0\n" || len(said) > 0 {
		t.Errorf("it ended with %q and said %q", ended(), said)
	}
}

// withProgram has the first line of a script find the program that is tested.
func withProgram(code string) string {
	return strings.Replace(code, "#!/usr/local/bin/cgisession ", "#!"+cmdtest.Program+" ", 1)
}

// servePage is serve, with files beside the script: their names and texts.
func servePage(t *testing.T, code string, files map[string]string) *browser {
	t.Helper()
	b := serve(t, withProgram(code))
	if form := manualBlocks()["cgisession-recipes(7), READ A FORM, sh"].code; form != "" {
		must(t, os.WriteFile(b.dir+"/form.sh", []byte(form), 0o644))
	}
	for name, text := range files {
		cmdtest.WriteScript(t, b.dir+"/"+name, text)
	}
	return b
}

// text returns the page that the browser gets.
func (b *browser) text(t *testing.T) string {
	t.Helper()
	response, err := b.Get(b.url)
	must(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	must(t, err)
	return string(text)
}

var siteName = regexp.MustCompile(`(?m)^\[(.+)\]$`)

// configures: the program takes the lines as its configuration, with each section.
func configures(t *testing.T, b manualBlock) {
	file := filepath.Join(t.TempDir(), "conf")
	must(t, os.WriteFile(file, []byte(b.code), 0o600))
	calls := [][]string{{"config", "--config", file}}
	for _, site := range siteName.FindAllStringSubmatch(b.code, -1) {
		calls = append(calls, []string{"config", "--config", file, "--site", site[1]})
	}
	for _, call := range calls {
		if got := in(t.TempDir()).Call(t, call...); got.Code != 0 || !strings.Contains(got.Stdout, " "+file+":") {
			t.Errorf("%q: %+v", call, got)
		}
	}
}

// showsOutput runs a session at a terminal: lines that begin with "$ " are commands, and
// what follows each is what it prints.
func showsOutput(t *testing.T, b manualBlock) {
	if !strings.HasPrefix(b.code, "$ ") {
		t.Fatalf("it begins with no command:\n%s", b.code)
	}
	// An empty variable counts as unset: the tests' own set-up is not the manual's.
	r := begin(t, `{}`).client(cmdtest.Visitor).with("CGISESSION_CACHE_CONTROL=")
	for part := range strings.SplitSeq(b.code[len("$ "):], "\n$ ") {
		command, want, _ := strings.Cut(part, "\n")
		if strings.Contains(command, "python3 ") {
			needs(t, "python3")
		}
		got := cmdtest.Finish(t, r.Command("sh", "-c", command))
		if got.Code != 0 || got.Stderr != "" || !printsAs(got.Stdout, want) {
			t.Errorf("%s\n%+v\nwant\n%s", command, got, want)
		}
	}
}

// manualVaries is what differs from run to run.
var manualVaries = map[string]*regexp.Regexp{
	"ID":   regexp.MustCompile(`\b[a-z2-7]{32}\b`),
	"TIME": regexp.MustCompile(`\b1[0-9]{9}\b`),
	"DATE": regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`),
}

// printsAs reports whether a command printed what the manual shows, but for ids and
// times. A word that ends in "…" there is another one here.
func printsAs(got, want string) bool {
	for word, varies := range manualVaries {
		got, want = varies.ReplaceAllString(got, word), varies.ReplaceAllString(want, word)
	}
	pattern := regexp.QuoteMeta(strings.TrimSuffix(want, "\n"))
	pattern = regexp.MustCompile(`[^ "]*…`).ReplaceAllString(pattern, `[^ "]+`)
	return regexp.MustCompile(`\A` + pattern + `\n?\z`).MatchString(got)
}

// help lists each page, and prints it under each of its names.
func TestManualInHelp(t *testing.T) {
	r := in(t.TempDir())
	list := strings.Join(strings.Fields(r.Must(t, "help")), " ")
	for _, p := range manual.Pages() {
		for _, topic := range []string{p.Topic(), p.Name, p.Title()} {
			if got := r.Call(t, "help", topic); got != (cmdtest.Ended{Stdout: p.Text()}) {
				t.Errorf("help %s: %+v", topic, got)
			}
		}
		if !strings.Contains(list, " "+p.Topic()+" "+p.About()+" ") {
			t.Errorf("help does not list %s", p.Topic())
		}
	}
}
