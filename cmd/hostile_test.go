package cmd_test

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

// TestHostile gives the program what a client, a script or an operator should
// not: each row is one call, as a process of its own, among the sessions of
// three people. Besides what the row expects, check wants of every row that no
// session is harmed and that nothing appears outside of the sessions.
func TestHostile(t *testing.T) {
	sessions := makeSessions(t, site{t.TempDir()})
	for name, rows := range map[string][]row{
		"cookie":  cookieRows(),
		"log":     logRows(),
		"data":    dataRows(),
		"key":     keyRows(),
		"change":  changeRows(),
		"name":    nameRows(),
		"option":  optionRows(),
		"setting": settingRows(),
		"request": requestRows(),
		"command": commandRows(),
		"path":    pathRows(),
	} {
		seen := make(map[string]bool)
		for _, r := range rows {
			if seen[r.name] {
				t.Errorf("%s: two rows %q", name, r.name)
			}
			seen[r.name] = true
			t.Run(name+"/"+r.name, func(t *testing.T) {
				t.Parallel()
				s := site{t.TempDir()}
				s.fill(t, r, sessions)
				s.check(t, r)
			})
		}
	}
}

// A row is one call and what it must come to.
type row struct {
	name   string
	env    argv // NAME=value; without HTTP_COOKIE the client is Alice
	args   argv
	stdin  string
	code   int
	stdout string // a regular expression for all of it; lit makes one of a text
	stderr string // the same, for what follows "cgisession: " in its only line
	log    string // the same, for the log's lines, if the log goes to stderr
	data   string // Alice's data afterwards; empty: her session's file has no byte changed
	files  int    // new sessions
	ends   argv   // ids of the sessions that end
}

type argv = []string

// The sessions: two under the usual cookie name, one under another.
const (
	alice = "alicealicealicealicealicealice23"
	bob   = "bobbobbobbobbobbobbobbobbobbob23"
	carol = "carolcarolcarolcarolcarolcarol23"

	nobody = "nobodynobodynobodynobodynobody23" // an id as the others, but of no session

	// Data that shells, templates and line-based programs might trip over.
	aliceData = `{"name":"Alice","n":1,"list":[1,2],"o":{"a":"b"},"help":"me","h":2,"version":3,"timeout":4,"evil":"'; touch pwned; '\n$(touch pwned)"}`
)

// member returns Alice's data with one member more.
func member(text string) string { return strings.TrimSuffix(aliceData, "}") + "," + text + "}" }

const (
	secret      = "the web server's first secret 01"
	olderSecret = "the web server's older secret 02"
)

// mac returns what signs an id: 43 characters.
func mac(key, name, id string) string {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(name + "\x00" + id))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

func signed(id string) string { return id + "." + mac(secret, "cgisession_id", id) }

// handle returns what names the session's file.
func handle(name, id string) string {
	sum := sha256.Sum256([]byte(name + "\x00" + id))
	return hex.EncodeToString(sum[:])
}

// sessionFile returns the path of the session's file in a site.
func sessionFile(name, id string) string {
	h := handle(name, id)
	return "sessions/" + h[:2] + "/" + h
}

func lit(text string) string { return regexp.QuoteMeta(text) }

const (
	newID = `[a-z2-7]{32}`

	// newCookie is the line that tells a client of a new session.
	newCookie = `Set-Cookie: cgisession_id=` + newID + `; Path=/; HttpOnly; SameSite=Lax` + "\n"
)

// A site is a directory with the sessions and, beside them, the directory in
// which the program runs.
type site struct{ root string }

// makeSessions has the program make the three sessions, and returns the files.
func makeSessions(t *testing.T, s site) map[string]string {
	t.Helper()
	s.mkdir(t, "work", 0o700)
	for id, data := range map[string]string{alice: aliceData, bob: `{"name":"Bob"}`, carol: `{"name":"Carol"}`} {
		env := argv{"CGISESSION_ADOPT_ID=" + id}
		if id == carol {
			env = append(env, "CGISESSION_COOKIE_NAME=other_id")
		}
		if got := s.run(t, env, argv{"save"}, data); got.Code != 0 {
			t.Fatalf("no session to begin with: %+v", got)
		}
	}
	files := make(map[string]string)
	for _, name := range []string{sessionFile("cgisession_id", alice), sessionFile("cgisession_id", bob), sessionFile("other_id", carol)} {
		text, err := os.ReadFile(filepath.Join(s.root, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(text)
	}
	return files
}

// fill makes what the row finds: always the sessions and a file beside them,
// and in the working directory what the row names.
func (s site) fill(t *testing.T, r row, sessions map[string]string) {
	t.Helper()
	s.mkdir(t, "sessions", 0o700)
	for name, text := range sessions {
		s.mkdir(t, filepath.Dir(name), 0o700)
		s.write(t, name, text, 0o600)
	}
	s.write(t, "canary", "do not touch\n", 0o600)
	s.mkdir(t, "work", 0o700)
	named := strings.Join(append(r.args, r.env...), "\n")
	for name, f := range map[string]struct {
		text string
		mode fs.FileMode
	}{
		"text":           {"two\nlines\n\n", 0o600},
		"ff":             {"a\xffb", 0o600},
		"json":           {` {"a" : 1} `, 0o600},
		"big":            {strings.Repeat("x", 2<<20), 0o600},
		"key":            {secret + "\n", 0o600},
		"open-key":       {secret + "\n", 0o644},
		"short-key":      {"hunter2\n", 0o600},
		"no-key":         {"# none\n\n", 0o600},
		"no-interpreter": {"#!/nowhere/to/be/found\n", 0o700},
		"dir":            {"", fs.ModeDir | 0o700},
		"open":           {"", fs.ModeDir | 0o777},
		"link":           {"../sessions", fs.ModeSymlink},
		"key-link":       {"key", fs.ModeSymlink},
	} {
		switch {
		case !strings.Contains(named, name):
		case f.mode.IsDir():
			s.mkdir(t, "work/"+name, f.mode.Perm())
		case f.mode&fs.ModeSymlink != 0:
			if err := os.Symlink(f.text, filepath.Join(s.root, "work", name)); err != nil {
				t.Fatal(err)
			}
		default:
			s.write(t, "work/"+name, f.text, f.mode)
		}
	}
}

func (s site) mkdir(t *testing.T, name string, mode fs.FileMode) {
	t.Helper()
	path := filepath.Join(s.root, name)
	if err := os.MkdirAll(path, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

func (s site) write(t *testing.T, name, text string, mode fs.FileMode) {
	t.Helper()
	path := filepath.Join(s.root, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// run runs the program with the variables and no others but those of the site.
func (s site) run(t *testing.T, env, args argv, stdin string) cmdtest.Ended {
	t.Helper()
	return in(s.root+"/work", "CGISESSION_DATA_DIR=../sessions").With(env...).Give(t, stdin, args...)
}

// tree returns all that is under the site's directory, by path: its mode and,
// of a regular file, its text.
func (s site) tree(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(s.root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		text := []byte{}
		if info.Mode().IsRegular() {
			if text, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		name, err := filepath.Rel(s.root, path)
		all[name] = info.Mode().String() + "\n" + string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// check makes the row's call and then looks at what it said, and at what it did.
func (s site) check(t *testing.T, r row) {
	env := r.env
	if !strings.Contains("\n"+strings.Join(env, "\n"), "\nHTTP_COOKIE=") {
		env = append(argv{"HTTP_COOKIE=cgisession_id=" + alice}, env...)
	}
	before := s.tree(t)
	got := s.run(t, env, r.args, r.stdin)
	after := s.tree(t)

	if got.Code != r.code {
		t.Errorf("exit code %d, want %d", got.Code, r.code)
	}
	if got.Code != 0 && got.Stdout != "" {
		t.Errorf("exit code %d, but on stdout: %q", got.Code, got.Stdout)
	}
	if !regexp.MustCompile(`\A(?:` + r.stdout + `)\z`).MatchString(got.Stdout) {
		t.Errorf("stdout:\n%q\nwant\n%q", got.Stdout, r.stdout)
	}
	r.checkMessage(t, got.Stderr)
	s.checkChanges(t, r, before, after)
	s.checkNewID(t, strings.Join(append(env, r.args...), "\n"), got.Stdout, after)
	if !slices.Contains(r.ends, alice) {
		s.checkAlice(t, r)
	}
}

// checkMessage wants one line under the program's name, or none, and in it
// nothing that opens a session.
func (r row) checkMessage(t *testing.T, stderr string) {
	t.Helper()
	switch {
	case r.log != "":
		if !regexp.MustCompile(`\A(?:` + r.log + `)\z`).MatchString(stderr) {
			t.Errorf("log:\n%q\nwant\n%q", stderr, r.log)
		}
	case r.stderr == "" && stderr != "":
		t.Errorf("stderr: %q, want none", stderr)
	case r.stderr != "" && !regexp.MustCompile(`\Acgisession: (?:`+r.stderr+`)\n\z`).MatchString(stderr):
		t.Errorf("stderr:\n%q\nwant\n%q", stderr, "cgisession: "+r.stderr+"\n")
	case strings.Count(stderr, "\n") > 1:
		t.Errorf("stderr has more than one line: %q", stderr)
	}
	for _, id := range []string{alice, bob, carol, nobody} {
		for _, open := range []string{id, mac(secret, "cgisession_id", id), mac(olderSecret, "cgisession_id", id)} {
			if strings.Contains(stderr, open) {
				t.Errorf("stderr holds the id or the mac %s: %q", open, stderr)
			}
		}
	}
	for _, key := range []string{secret, olderSecret, "hunter2"} {
		if strings.Contains(stderr, key) {
			t.Errorf("stderr holds a key: %q", stderr)
		}
	}
}

var (
	shard   = regexp.MustCompile(`^sessions/[0-9a-f]{2}$`)
	session = regexp.MustCompile(`^sessions/([0-9a-f]{2})/([0-9a-f]{2})[0-9a-f]{62}$`)
)

// checkChanges wants everything as it was, but for Alice's session if the row
// changes it, and for as many new sessions as the row has.
func (s site) checkChanges(t *testing.T, r row, before, after map[string]string) {
	t.Helper()
	for name, was := range before {
		mayChange := r.data != "" && name == sessionFile("cgisession_id", alice)
		ends := slices.ContainsFunc(r.ends, func(id string) bool { return name == sessionFile("cgisession_id", id) })
		switch is, ok := after[name]; {
		case ok == ends:
			t.Errorf("%s is there: %v", name, ok)
		case ok && is != was && !mayChange:
			t.Errorf("%s was changed", name)
		}
	}
	files := 0
	for name, is := range after {
		if _, ok := before[name]; ok {
			continue
		}
		mode, _, _ := strings.Cut(is, "\n")
		parts := session.FindStringSubmatch(name)
		switch {
		case shard.MatchString(name) && mode == "drwx------":
		case parts != nil && parts[1] == parts[2] && mode == "-rw-------":
			files++
		default:
			t.Errorf("there is now %s %q", mode, name)
		}
	}
	if files != r.files {
		t.Errorf("%d new sessions, want %d", files, r.files)
	}
}

// checkNewID wants the cookie of a new session to lead to a file, and its id to
// be none that was sent.
func (s site) checkNewID(t *testing.T, sent, stdout string, after map[string]string) {
	t.Helper()
	for _, found := range regexp.MustCompile(`Set-Cookie: ([^=]+)=(`+newID+`)\b`).FindAllStringSubmatch(stdout, -1) {
		name, id := found[1], found[2]
		if _, ok := after[sessionFile(name, id)]; !ok {
			t.Errorf("the new cookie leads to no session")
		}
		if id != alice && strings.Contains(sent, id) {
			t.Errorf("the new id is one that was sent")
		}
	}
}

// checkAlice wants Alice's next request to find her session and its data.
func (s site) checkAlice(t *testing.T, r row) {
	t.Helper()
	got := s.run(t, argv{"HTTP_COOKIE=cgisession_id=" + alice}, argv{"load", "--json"}, "")
	data := cmp.Or(r.data, aliceData)
	head, ok := strings.CutSuffix(got.Stdout, data+"}\n")
	if got.Code != 0 || got.Stderr != "" || !ok || !regexp.MustCompile(`\A`+loadedHead(alice)+`\z`).MatchString(head) {
		t.Errorf("afterwards Alice's request ends with %+v; want the data\n%q", got, data)
	}
	if unchanged := strings.Contains(got.Stdout, `"version":1,`); unchanged != (r.data == "") {
		t.Errorf("afterwards Alice has %s", got.Stdout)
	}
}

// loaded matches what load --json prints of a session that was there.
func loaded(token, data string) string { return loadedHead(token) + lit(data+"}\n") }

// loadedMore matches the members that tell no more than info does.
const loadedMore = `"timeout":null,"lifetime":null,"minted":false,"user":"[^"]*","handle":"[0-9a-f]{64}","path":"[^"]+",`

// loadedHead matches what comes before the data.
func loadedHead(token string) string {
	id, _, _ := strings.Cut(token, ".")
	return lit(`{"headers":[],"id":"`+id+`","token":"`+token+`","is_new":false,"was_invalidated":false,"version":`) +
		`\d+,"created":\d{10},"accessed":\d{10},` + loadedMore + `"request":"[0-9a-f:]+","env":\{("CGISESSION_[A-Z_]+":"[^"]*",?)+\},"data":`
}
