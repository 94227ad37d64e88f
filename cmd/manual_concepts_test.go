package cmd_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

// The pages of the manual that explain how things work say what is so: their scripts
// are run here against what they claim, beyond that they run at all.

// A conceptBlock is a block of code of a page, and the heading above it.
type conceptBlock struct{ heading, language, code string }

// conceptBlocks returns the blocks of a page of the manual.
func conceptBlocks(t *testing.T, page string) (blocks []conceptBlock) {
	t.Helper()
	var b conceptBlock
	inside := false
	for line := range strings.Lines(conceptPage(t, page)) {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && !inside:
			b.language, b.code, inside = strings.TrimSpace(fence), "", true
		case isFence:
			blocks, inside = append(blocks, b), false
		case inside:
			b.code += line
		case strings.HasPrefix(line, "#"):
			b.heading = strings.TrimSpace(strings.TrimLeft(line, "#"))
		}
	}
	return blocks
}

func conceptPage(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile("manual/" + page + ".md")
	must(t, err)
	return string(text)
}

// theBlock returns the n-th block in the language under a heading of a page.
func theBlock(t *testing.T, page, heading, language string, n int) string {
	t.Helper()
	for _, b := range conceptBlocks(t, page) {
		if b.heading != heading || b.language != language {
			continue
		}
		if n == 0 {
			return b.code
		}
		n--
	}
	t.Fatalf("%s: no such block in %s under %s", page, language, heading)
	return ""
}

// conceptCrowd is how many scripts of the manual run at once.
const conceptCrowd = 6

// Each way to lock a session that cgisession-locks(7) shows keeps it locked from a read
// to a write: of many scripts that double one number at once, none is lost.
func TestManualLocks(t *testing.T) {
	page := "cgisession-locks.7"
	shell := theBlock(t, page, "LOCK IN A SHELL SCRIPT", "sh", 0)
	perl := theBlock(t, page, "LOCK IN PERL", "perl", 0)
	python := theBlock(t, page, "LOCK IN PYTHON", "python", 0)
	// What the page says of shells that keep descriptors to themselves.
	passed := strings.NewReplacer("--fd 9", "--fd 9 9<&9", "--default 1)", "--default 1 9<&9)",
		"$((n * 2))", "$((n * 2)) 9<&9").Replace(shell)
	for name, run := range map[string][]string{
		"dash": {"dash", "-ec", shell}, "bash": {"bash", "-ec", shell}, "busybox": {"busybox", "ash", "-ec", shell},
		"posh": {"posh", "-ec", shell}, "yash": {"yash", "-ec", shell}, "zsh": {"zsh", "-ec", shell},
		"ksh93": {"ksh93", "-ec", passed}, "mksh": {"mksh", "-ec", passed},
		"perl": {"perl", "-w", "-e", perl}, "python3": {"python3", "-c", python},
	} {
		t.Run(name, func(t *testing.T) {
			needs(t, run[0])
			r := begin(t, `{"n":1}`).client(cmdtest.Visitor)
			cmdtest.AtOnce(conceptCrowd, func(int) {
				if got := cmdtest.Finish(t, r.Command(run[0], run[1:]...)); got != (cmdtest.Ended{}) {
					t.Errorf("%+v", got)
				}
			})
			if n := r.Must(t, "get", "n"); n != strconv.Itoa(1<<conceptCrowd) {
				t.Errorf("n is %s, want %d", n, 1<<conceptCrowd)
			}
		})
	}
	for _, name := range []string{"ksh93", "mksh"} {
		t.Run(name+" keeps descriptors to itself", func(t *testing.T) {
			needs(t, name)
			r := begin(t, `{"n":1}`).client(cmdtest.Visitor)
			got := cmdtest.Finish(t, r.Command(name, "-ec", shell))
			if got.Code == 0 || !strings.Contains(got.Stderr, "CGISESSION_LOCK_FD is a descriptor of another file") {
				t.Errorf("%+v", got)
			}
		})
	}
}

// The lock of the page's second script in Python is there, and passed on, until it ends.
func TestManualLockInherited(t *testing.T) {
	needs(t, "python3")
	code := theBlock(t, "cgisession-locks.7", "LOCK IN PYTHON", "python", 1)
	const other = "env -u CGISESSION_LOCK_FD cgisession incr n --lock-timeout 0 2>/dev/null"
	inside := "\nraise SystemExit(os.system('" + other + "') >> 8)\n"
	r := begin(t, `{"n":1}`).client(cmdtest.Visitor)
	if got := cmdtest.Finish(t, r.Command("python3", "-c", code+inside)); got != (cmdtest.Ended{Code: 75}) {
		t.Errorf("%+v", got)
	}
	if n := r.Must(t, "get", "n", "--lock-timeout", "0"); n != "2" {
		t.Errorf("n is %s", n)
	}
}

// Who locks a command, as the page shows, sells each seat once.
func TestManualLockCommand(t *testing.T) {
	_, inside, _ := strings.Cut(theBlock(t, "cgisession-locks.7", "LOCK A COMMAND", "sh", 0), "seats:=2\n")
	r := begin(t, fmt.Sprintf(`{"seats":%d}`, conceptCrowd)).client(cmdtest.Visitor)
	cmdtest.AtOnce(conceptCrowd, func(int) {
		if got := cmdtest.Finish(t, r.Command("sh", "-c", inside)); got != (cmdtest.Ended{}) {
			t.Errorf("%+v", got)
		}
	})
	got := cmdtest.Finish(t, r.Command("sh", "-c", inside))
	if got != (cmdtest.Ended{Code: 1}) || r.Must(t, "get", "seats") != "0" {
		t.Errorf("sold out: %+v", got)
	}
}

// A job in the background keeps the lock, unless its descriptor is closed.
func TestManualBackground(t *testing.T) {
	code := theBlock(t, "cgisession-locks.7", "WHAT GOES WRONG", "sh", 0)
	code = strings.Replace(code, "exec sleep 3", "echo $$; exec sleep 60", 1)
	code = strings.Replace(code, ">/dev/null 2>&1 &", ">/dev/null 2>&1 & job=$!", 1) + "\n"
	const end = "\nstatus=$?; kill $job; exit $status\n"
	// The job that closes it may take a moment to do so; one that does not keeps it.
	const change = "cgisession set "
	kept := strings.Replace(code, ") 9<&- >", ") >", 1)
	if kept == code || !strings.Contains(kept, change) {
		t.Fatal("no descriptor closed, or no change")
	}
	kept = strings.Replace(kept, change, change+"--lock-timeout 0 ", 1)
	for text, want := range map[string]int{code: 0, kept: 75} {
		r := begin(t, `{}`).client(cmdtest.Visitor)
		if got := cmdtest.Finish(t, r.Command("sh", "-c", text+end)); got.Code != want {
			t.Errorf("%s\n%+v, want %d", text, got, want)
		}
	}
}

// manualReader writes the reader of cgisession-file(5) to a file, and returns a function
// that runs it.
func manualReader(t *testing.T) func(files ...string) []string {
	t.Helper()
	needs(t, "python3")
	reader := filepath.Join(t.TempDir(), "read.py")
	must(t, os.WriteFile(reader, []byte(theBlock(t, "cgisession-file.5", "A READER", "python", 0)), 0o600))
	return func(files ...string) []string {
		t.Helper()
		got := cmdtest.Finish(t, exec.Command("python3", append([]string{reader}, files...)...))
		if got.Code != 0 || got.Stderr != "" {
			t.Fatalf("%+v", got)
		}
		return strings.Split(strings.TrimSuffix(got.Stdout, "\n"), "\n")
	}
}

// The manual's reader sees in each session file of testdata what the program does.
func TestManualReaderOfTestdata(t *testing.T) {
	read := manualReader(t)
	text, err := os.ReadFile("../testdata/sessions/want.txt")
	must(t, err)
	var files, want []string
	for line := range strings.Lines(string(text)) {
		if name, holds, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			files, want = append(files, "../testdata/sessions/"+name), append(want, holds)
		}
	}
	if len(files) < 50 {
		t.Fatalf("only %d files", len(files))
	}
	for i, got := range read(files...) {
		if got != want[i] {
			t.Errorf("%s: %s, want %s", files[i], got, want[i])
		}
	}
}

// And it reads what the program has written.
func TestManualReaderOfSessions(t *testing.T) {
	read := manualReader(t)
	dir := t.TempDir()
	one := func(id string) request { return in(dir, "CGISESSION_ADOPT_ID="+id) }
	want := map[string]string{}
	const small, long, wiped, old, moved, named = "small-small-small", "long-long-long-long", "wiped-wiped-wiped",
		"old-old-old-old-old", "moved-moved-moved", "named-named-named"
	one(small).Must(t, "set", "--text", "n", `a "quote" \ and {"crc":"`, "é", "€")
	one(small).Must(t, "set", "num:=1.10e400")
	want[small] = `version 2 {"n":"a \"quote\" \\ and {\"crc\":\"","é":"€","num":1.10e400}`

	for n := range 4 {
		one(long).Must(t, "set", "text="+strings.Repeat(strconv.Itoa(n), 3000*(n+1)))
	}
	want[long] = fmt.Sprintf(`version 4 {"text":"%s"}`, strings.Repeat("3", 12000))

	one(wiped).Must(t, "set", "secret=1")
	one(wiped).Must(t, "delete")
	want[wiped] = "version 2 {}"

	one(old).Must(t, "set", "a=1")
	one(old).Must(t, "regenerate", "--grace", "1h", "--new-id", moved)
	want[moved] = `version 2 {"a":"1"}`

	one(named).Must(t, "regenerate", "--user", "ann", "--note", "Firefox", "--new-id", named+"2")
	want[named+"2"] = "version 1 {} of ann"

	for id, text := range want {
		if got := read(one(id).file(id)); len(got) != 1 || got[0] != text {
			t.Errorf("%s: %.200q, want %.200q", id, got, text)
		}
	}
	leads := "moved " + filepath.Base(one(moved).file(moved)) + " "
	if tombstone := read(one(old).file(old))[0]; !strings.HasPrefix(tombstone, leads) {
		t.Errorf("the old id: %q, want %s", tombstone, leads)
	}
}

// What the example in cgisession-file(5) shows is what the program makes, but for the
// time and the checksum; and as it stands there, the program reads it.
func TestManualFileExample(t *testing.T) {
	const page, heading, id = "cgisession-file.5", "AN EXAMPLE", "an-id-for-the-manual"
	steps := strings.SplitAfterN(theBlock(t, page, heading, "sh", 0), "\n", 5)
	r := in(t.TempDir())
	vary := regexp.MustCompile(`"crc":"[0-9a-f]{8}"|"created":\d+`)
	script := steps[0]
	for n, step := range steps[1:4] {
		script += step
		shown := exampleFile(t, theBlock(t, page, heading, "text", n))
		got := cmdtest.Finish(t, in(t.TempDir()).Command("sh", "-euc", script+`cat "$(cgisession lock-path)"`))
		if got.Code != 0 || vary.ReplaceAllString(got.Stdout, "") != vary.ReplaceAllString(shown, "") {
			t.Errorf("after step %d: %+v", n+1, got)
		}
		must(t, os.MkdirAll(filepath.Dir(r.file(id)), 0o700))
		must(t, os.WriteFile(r.file(id), []byte(shown), 0o600))
		want := []string{`{"n":1}`, `{"n":2}`, `{"n":"new"}`}[n]
		if got := r.with("CGISESSION_ADOPT_ID="+id).Must(t, "get"); got != want {
			t.Errorf("step %d is read as %s, want %s", n+1, got, want)
		}
	}
}

// exampleFile makes a session's file of a block that shows the offset of each record.
func exampleFile(t *testing.T, block string) string {
	t.Helper()
	text := bytes.Repeat([]byte("\n"), 4096)
	for line := range strings.Lines(block) {
		offset, record, _ := strings.Cut(line, " ")
		at, err := strconv.Atoi(offset)
		must(t, err)
		copy(text[at:], strings.TrimLeft(record, " "))
	}
	return string(text)
}
