package cmd_test

import (
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

const migrationPage = "cgisession-migration.7"

// The scripts of cgisession-migration(7) take sessions along that the other programs wrote
// themselves.

// A movedSite is one whose sessions were moved: the cookie's name, and where they are now.
type movedSite struct {
	request
	cookie string
}

func (s movedSite) client(id string) request {
	return request{s.With("HTTP_COOKIE="+s.cookie+"="+id, "CGISESSION_COOKIE_NAME="+s.cookie)}
}

// check wants the session of an old id to have the data; empty: not to be there.
func (s movedSite) check(t *testing.T, id, data string) {
	t.Helper()
	got := s.client(id).Call(t, "get")
	if want := (cmdtest.Ended{Stdout: data + "\n"}); data != "" && got != want {
		t.Errorf("%s: %+v, want %s", id, got, data)
	} else if data == "" && got.Code != 1 {
		t.Errorf("%s: %+v, want none", id, got)
	}
}

// movesOnce changes one of the moved sessions, and moves again: the change stays.
func (s movedSite) movesOnce(t *testing.T, id string, move func() cmdtest.Ended) {
	t.Helper()
	s.client(id).Must(t, "set", "after=the move")
	before := s.client(id).Must(t, "get")
	if got := move(); got.Stdout != "" {
		t.Errorf("a second move: %+v", got)
	}
	s.check(t, id, before)
}

// visits has the visitor with an old id call the page's script: the cookie gets a new id,
// under which the data are.
func (s movedSite) visits(t *testing.T, id string) {
	t.Helper()
	script := theBlock(t, migrationPage, "TWO WAYS", "sh", 0)
	got := cmdtest.Finish(t, s.client(id).Command("sh", "-c", script))
	set := regexp.MustCompile(`(?m)^Set-Cookie: `+s.cookie+`=([a-z2-7]{32});`).FindAllStringSubmatch(got.Stdout, -1)
	if got.Code != 0 || got.Stderr != "" || len(set) != 1 || !strings.HasSuffix(got.Stdout, "\n\nHello Ann.\n") {
		t.Fatalf("%+v", got)
	}
	again := cmdtest.Finish(t, s.client(set[0][1]).Command("sh", "-c", script))
	if strings.Contains(again.Stdout, "Set-Cookie") || !strings.HasSuffix(again.Stdout, "\n\nHello Ann.\n") {
		t.Errorf("by the new id: %+v", again)
	}
	for id, hello := range map[string]string{id: "Hello Ann.\n", "": "Hello stranger.\n"} {
		got := cmdtest.Finish(t, s.client(id).Command("sh", "-c", script))
		if strings.Contains(got.Stdout, "Set-Cookie") || !strings.HasSuffix(got.Stdout, hello) {
			t.Errorf("by the old id in its grace, or without one: %+v", got)
		}
	}
}

func TestManualFromCGISession(t *testing.T) {
	needs(t, "perl")
	if exec.Command("perl", "-MCGI::Session", "-e", "1").Run() != nil {
		t.Skip("no CGI::Session for Perl")
	}
	site := movedSite{in(t.TempDir()), "CGISESSID"}
	old := site.Dir + "/old files"
	must(t, os.Mkdir(old, 0o700))
	const write = `use CGI::Session; my $dir = shift;
my $s = CGI::Session->new("driver:file", undef, {Directory => $dir});
$s->param(user => 'Ann'); $s->param(n => 7); $s->param(latin => "caf\xe9"); $s->param(utf8 => "\xe2\x82\xac");
$s->param(wide => "\x{20ac}"); $s->param(list => [1, 'two', {three => undef}]); $s->param(object => bless {}, 'Thing');
$s->expire('+1h'); $s->flush; print $s->id, "\n";
$s = CGI::Session->new("driver:file", undef, {Directory => $dir});
$s->param(user => 'gone'); $s->expire(1); $s->flush;
$s->{_DATA}{_SESSION_ATIME} -= 100; $s->{_STATUS} |= 4; $s->flush; print $s->id, "\n";`
	got := cmdtest.Finish(t, site.Command("perl", "-e", write, old))
	ids := strings.Fields(got.Stdout)
	if got.Code != 0 || len(ids) != 2 {
		t.Fatalf("%+v", got)
	}
	move := func() cmdtest.Ended {
		script := theBlock(t, migrationPage, "FROM CGI::SESSION (PERL)", "perl", 1)
		return cmdtest.Finish(t, site.Command("perl", "-w", "-e", script, old))
	}
	if got := move(); got != (cmdtest.Ended{}) {
		t.Fatalf("%+v", got)
	}
	for key, want := range map[string]string{
		"user": `"Ann"`, "n": "7", "latin": `"café"`, "utf8": `"€"`, "wide": `"€"`, "list": `[1,"two",{"three":null}]`,
		"object": "null", "imported": "1",
	} {
		if got := site.client(ids[0]).Call(t, "get", key); got.Stdout != want+"\n" {
			t.Errorf("%s: %+v, want %s", key, got, want)
		}
	}
	site.check(t, ids[1], "")
	site.check(t, strings.Repeat("0", 32), "")
	site.movesOnce(t, ids[0], move)
	site.visits(t, ids[0])
}

func TestManualFromPHP(t *testing.T) {
	for _, php := range []string{"php-cgi", "php"} {
		t.Run(php, func(t *testing.T) {
			needs(t, php)
			site := movedSite{in(t.TempDir()), "PHPSESSID"}
			old := site.Dir + "/old files"
			must(t, os.Mkdir(old, 0o700))
			file := func(name, text string) string {
				path := filepath.Join(site.Dir, name)
				must(t, os.WriteFile(path, []byte(text), 0o600))
				return path
			}
			run := func(script string, args ...string) cmdtest.Ended {
				flags := map[string][]string{"php-cgi": {"-d", "register_argc_argv=1"}}[php]
				got := cmdtest.Finish(t, site.Command(php, slices.Concat(flags, []string{script}, args)...))
				if head, body, ok := strings.Cut(got.Stdout, "\r\n\r\n"); ok && strings.Contains(head, "Content-type: ") {
					got.Stdout = body // php-cgi prints header lines
				}
				return got
			}
			const write = `<?php ob_start(); session_save_path($argv[1]); ini_set('session.use_cookies', '0');
$ann = ['user' => 'Ann', 'n' => 7, 'f' => 1.0, 'list' => [1, 'two'], 'map' => ['a' => null],
	'euro' => '€', 'latin' => "caf\xe9", 'o' => (object) ['p' => true]];
foreach ([$ann, ['user' => 'old'], []] as $data) {
	session_id(bin2hex(random_bytes(16))); session_start(); $_SESSION = $data;
	session_write_close(); echo session_id(), "\n";
}`
			got := run(file("write.php", write), old)
			ids := strings.Fields(got.Stdout)
			if got.Code != 0 || len(ids) != 3 {
				t.Fatalf("%+v", got)
			}
			past := time.Now().Add(-time.Hour)
			must(t, os.Chtimes(old+"/sess_"+ids[1], past, past))
			script := file("import.php", theBlock(t, migrationPage, "FROM PHP'S SESSIONS", "php", 0))
			move := func() cmdtest.Ended { return run(script, old) }
			if got := move(); got.Code != 0 || got.Stdout != "" || got.Stderr != "" {
				t.Fatalf("%+v", got)
			}
			site.check(t, ids[0], `{"imported":true,"user":"Ann","n":7,"f":1.0,"list":[1,"two"],"map":{"a":null},`+
				`"euro":"€","latin":"caf�","o":{"p":true}}`)
			site.check(t, ids[1], "")
			site.check(t, ids[2], "")
			site.movesOnce(t, ids[0], move)
			site.visits(t, ids[0])
			if text, err := os.ReadFile(old + "/sess_" + ids[0]); err != nil || !strings.HasPrefix(string(text), "user|") {
				t.Errorf("the old file: %q, %v", text, err)
			}
		})
	}
}

func TestManualFromShell(t *testing.T) {
	script := theBlock(t, migrationPage, "FROM A SHELL LIBRARY", "sh", 0)
	for _, shell := range []string{"dash", "bash"} {
		t.Run(shell, func(t *testing.T) {
			needs(t, shell)
			site := movedSite{in(t.TempDir()), "session"}
			old := site.Dir + "/old files"
			must(t, os.Mkdir(old, 0o700))
			const id, plain = "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "no-line-feed-at-its-end"
			for name, text := range map[string]string{
				id: "user='Ann'\n# a comment\n\nn=7\nevil='; touch pwned; '\nrun=$(touch pwned)\n" +
					"dashes=--sh\nequals=a=b\nquoted=\"x y\"\n--sh=1\nback=a\\tb\n",
				plain: "user=Ann", "short": "user=Bob\n",
			} {
				must(t, os.WriteFile(filepath.Join(old, name), []byte(text), 0o600))
			}
			move := func() cmdtest.Ended {
				return cmdtest.Finish(t, site.Command(shell, "-euc", script, "import.sh", old+"/"+plain, old+"/short", old+"/"+id))
			}
			if got := move(); got.Code != 0 || got.Stdout != "" || strings.Count(got.Stderr, "not stored\n") != 1 {
				t.Fatalf("%+v", got)
			}
			site.check(t, id, `{"imported":"yes","user":"Ann","n":"7","evil":"; touch pwned; ","run":"$(touch pwned)",`+
				`"dashes":"--sh","equals":"a=b","quoted":"x y","back":"a\\tb"}`)
			site.check(t, plain, `{"imported":"yes","user":"Ann"}`)
			if _, err := os.Stat(site.Dir + "/pwned"); err == nil {
				t.Error("a value was run")
			}
			site.movesOnce(t, id, move)
			site.visits(t, id)
		})
	}
}
