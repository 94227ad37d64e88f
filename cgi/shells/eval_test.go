package shells

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"cgisession/cgi"
	"cgisession/cmd/cmdtest"
)

// A locale is one of those in which the shells run, with the characters that it
// can hold.
type locale struct {
	name    string
	source  string // of localedef; empty: the system has it
	charset string
}

var locales = []locale{
	{"C", "", "ASCII"},
	{"C.UTF-8", "", "UTF-8"},
	{"zh_CN.GB18030", "zh_CN", "GB18030"},
	{"zh_CN.GBK", "zh_CN", "GBK"},
	{"zh_TW.BIG5", "zh_TW", "BIG5"},
	{"ja_JP.SHIFT_JIS", "ja_JP", "SHIFT_JIS"},
	{"ja_JP.EUC-JP", "ja_JP", "EUC-JP"},
	{"ko_KR.JOHAB", "ko_KR", "JOHAB"},
}

// needLocales skips the test unless /proc shows what a shell has set and the
// locales could be made. It returns their directory, for LOCPATH.
func needLocales(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat("/proc/self/environ"); err != nil {
		t.Skip(err)
	}
	for _, needed := range []string{"localedef", "iconv"} {
		if _, err := exec.LookPath(needed); err != nil {
			t.Skip(err)
		}
	}
	if _, err := os.Stat("/usr/share/i18n/charmaps"); err != nil {
		t.Skip(err)
	}
	dir, err := makeLocales()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// makeLocales makes the locales that the system does not have, once.
var makeLocales = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(filepath.Dir(cmdtest.Program), "locales")
	err := os.Mkdir(dir, 0o700)
	for _, l := range locales {
		if l.source == "" || err != nil {
			continue
		}
		// It ends with 1 after a warning, such as that 5C is no backslash.
		text, _ := exec.Command("localedef", "-c", "-i", l.source, "-f", l.charset, "--no-archive", filepath.Join(dir, l.name)).CombinedOutput()
		c := exec.Command("locale", "charmap")
		c.Env = []string{"LOCPATH=" + dir, "LC_ALL=" + l.name}
		if charmap, e := c.Output(); string(charmap) != l.charset+"\n" {
			err = fmt.Errorf("%s has the characters of %q, %v: %s", l.name, charmap, e, text)
		}
	}
	return dir, err
})

// pieces are what values are made of that try to get out of their quotes.
var pieces = []string{
	";touch RUN;#", "$(touch RUN)", "`touch RUN`", "';touch RUN;#", `\';touch RUN;#`, "|touch RUN;", "\ntouch RUN\n", ";id>RUN;#",
	"'", "''", `'"'"'`, `'\''`, `"`, `\`, "`", "$", "(", ")", "{", "}", "|", "~", "!", "#", "=", "&", "<", ">", " ", "\t", "\n", "\r", "\x00", "\x01", "\x7f",
	"0", "A", "z", "能", "能0", "é", "\xa4\\", "\x81", "\xbd", "\x84\x31\xa5", "\x8f\xa1", "\xff", "\x83\\'", "\xe8\x83", "\x8e",
}

// hostile returns a value of random bytes and pieces.
func hostile(r *rand.Rand) string {
	var value strings.Builder
	for range 1 + r.IntN(8) {
		switch r.IntN(4) {
		case 0: // a byte that begins a character in some locale, and one that may end it
			value.Write([]byte{byte(0x80 + r.IntN(128)), byte(0x21 + r.IntN(94))})
		case 1:
			for range 1 + r.IntN(6) {
				value.WriteByte(byte(r.IntN(256)))
			}
		default:
			value.WriteString(pieces[r.IntN(len(pieces))])
		}
	}
	return value.String()
}

// characters returns a line of random characters and pieces, in UTF-8.
func characters(r *rand.Rand) string {
	var value strings.Builder
	for range 1 + r.IntN(8) {
		switch r.IntN(6) {
		case 0:
			value.WriteRune(rune(0x4E00 + r.IntN(0x5200))) // CJK
		case 1:
			value.WriteRune(rune(0xAC00 + r.IntN(11172))) // Hangul
		case 2:
			value.WriteRune(rune(0x3041 + r.IntN(180))) // Kana
		case 3:
			value.WriteRune(rune(0xA0 + r.IntN(0x400))) // Latin, Greek, Cyrillic
		default:
			if piece := pieces[r.IntN(len(pieces))]; utf8.ValidString(piece) && !strings.ContainsAny(piece, "\n\x00") {
				value.WriteString(piece)
			}
		}
	}
	return value.String()
}

// hostiles returns values for one eval. The fewer they are the more likely is it
// that yash, which refuses what its locale cannot hold, evaluates them.
func hostiles(r *rand.Rand) []string {
	texts := make([]string, 1+r.IntN(values))
	for i := range texts {
		texts[i] = hostile(r)
	}
	if len(texts) > 1 {
		i := r.IntN(len(texts) - 1)
		texts[i], texts[i+1] = "能0", ";id>RUN;#"
	}
	return texts
}

// texts returns the values of n evals in the characters of the locale, made by
// iconv(1), which leaves out those that it does not have.
func (l locale) texts(t *testing.T, r *rand.Rand, n int) [][]string {
	t.Helper()
	var lines strings.Builder
	for range n * values {
		lines.WriteString(characters(r) + "\n")
	}
	c := exec.Command("iconv", "-c", "-f", "UTF-8", "-t", l.charset)
	c.Stdin = strings.NewReader(lines.String())
	text, _ := c.Output() // exits with 1 if it left out any
	all := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(all) != n*values {
		t.Fatalf("iconv to %s: %d lines of %d", l.charset, len(all), n*values)
	}
	return slices.Collect(slices.Chunk(all, values))
}

// values is how many values one eval is given, each with a word behind it.
const values = 40

// code returns the text for eval: the values, and a word behind each.
func code(texts []string) string {
	var code strings.Builder
	for i, text := range texts {
		fmt.Fprintf(&code, " v%d=%s w%d=%s", i, cgi.Quote(text), i, cgi.Quote(word(i)))
	}
	return code.String()[1:] + "\n"
}

func word(i int) string { return fmt.Sprintf("word %d", i) }

// evalAll evaluates the texts t0 to tN-1, each in a shell of its own, and leaves
// what the variables then are in e0 to eN-1. If eval fails there is no such file.
const evalAll = `
	id() { touch RUN-id; }
	i=0
	while [ $i -lt $1 ]; do
		(
			set -a
			eval "$(cat t$i)" || exit
			exec cat /proc/self/environ >e$i
		)
		i=$((i + 1))
	done`

// Nothing of what a client sends runs in eval, in any shell and locale, and no
// later word is another one. It comes out as it is, in C and C.UTF-8 any bytes,
// elsewhere what the locale can hold. But yash knows characters only: it refuses
// bytes that are none, and those that are parted by a quote.
func TestEval(t *testing.T) {
	locpath := needLocales(t)
	held := cmdtest.Full(1, 5) // evals of what the locale can hold
	for i, l := range locales {
		t.Run(l.name, func(t *testing.T) {
			texts := l.texts(t, rand.New(rand.NewPCG(1, uint64(i))), held)
			bytes := l.charset == "ASCII" || l.charset == "UTF-8"
			onEachShell(t, func(t *testing.T, shell []string) {
				p := newPlace(t, "LOCPATH="+locpath, "LC_ALL="+l.name)
				r := rand.New(rand.NewPCG(2, uint64(i)))
				evals := slices.Clone(texts)
				for range cmdtest.Full(4, 60) {
					evals = append(evals, hostiles(r))
				}
				p.eval(t, shell, evals, func(i int) bool {
					if shell[0] == "yash" {
						return bytes && i < held
					}
					return bytes || i < held
				})
			})
		})
	}
}

// eval evaluates each list of values. Those that are to come out as they are
// must do so.
func (p place) eval(t *testing.T, shell []string, evals [][]string, exact func(i int) bool) {
	t.Helper()
	for i, texts := range evals {
		p.write(t, fmt.Sprint("t", i), code(texts))
	}
	_, stderr := p.run(t, shell, evalAll, fmt.Sprint(len(evals)))
	p.wantNothingRun(t)
	failed := 0
	for i, texts := range evals {
		environ := p.read(t, fmt.Sprint("e", i))
		if environ == "" {
			failed++
			if exact(i) {
				t.Errorf("eval failed: %q\n%s", texts, stderr)
			}
			continue
		}
		wantVariables(t, environ, texts, exact(i))
	}
	t.Logf("%d of %d evals failed", failed, len(evals))
}

// wantVariables checks what one eval has set, in an environment as /proc has it.
func wantVariables(t *testing.T, environ string, texts []string, exact bool) {
	t.Helper()
	got := make(map[string]string)
	for variable := range strings.SplitSeq(environ, "\x00") {
		name, text, _ := strings.Cut(variable, "=")
		got[name] = text
	}
	for n, text := range texts {
		if w := got[fmt.Sprint("w", n)]; w != word(n) {
			t.Errorf("a word after %q is %q", texts, w)
		}
		want := strings.ReplaceAll(text, "\x00", "")
		if v := got[fmt.Sprint("v", n)]; v != want && exact {
			t.Errorf("%q is %q", want, v)
		}
	}
}

// Nor does any of a session's data run, whose characters are those of UTF-8
// whatever the locale; and the header lines are lines.
func TestEvalSession(t *testing.T) {
	locpath := needLocales(t)
	r := rand.New(rand.NewPCG(3, 0))
	texts := []string{"能0", ";id>RUN;#"}
	var names []string
	data := make(map[string]string)
	for i := range cmdtest.Full(20, 100) {
		if i >= len(texts) {
			texts = append(texts, characters(r))
		}
		data[fmt.Sprint("v", i)], data[fmt.Sprint("w", i)] = texts[i], word(i)
		names = append(names, fmt.Sprint("v", i), fmt.Sprint("w", i))
	}
	text, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range locales {
		t.Run(l.name, func(t *testing.T) {
			onEachShell(t, func(t *testing.T, shell []string) {
				p := newPlace(t, "LOCPATH="+locpath, "LC_ALL="+l.name)
				p.write(t, "data", string(text))
				p.env = append(p.env, "CGISESSION_DATA_DIR="+p.dir+"/sessions", "CGISESSION_ADOPT_ID=session-of-the-test")
				stdout, stderr := p.run(t, shell, evalSession, strings.Join(names, " "))
				p.wantNothingRun(t)
				if l := strings.Split(stdout, "\n"); len(l) < 2 || l[len(l)-1] != "" || slices.ContainsFunc(l[:len(l)-1], func(line string) bool {
					return !strings.Contains(line, ": ") || strings.Contains(line, `\`)
				}) {
					t.Errorf("header lines: %q\n%s", stdout, stderr)
				}
				exact := shell[0] != "yash" || l.charset == "UTF-8"
				for _, name := range []string{"e0", "e1"} {
					if environ := p.read(t, name); environ != "" || exact {
						wantVariables(t, environ, texts, exact)
					}
				}
			})
		})
	}
}

// evalSession evaluates what load and get print of the names that are given.
const evalSession = `
	id() { touch RUN-id; }
	cgisession save <data >cookie || exit
	eval "$(cgisession load --cookie-expires 1h --sh)"
	code=$(eval "cgisession load --sh $1") # zsh does not split $1
	(set -a; eval "$code" >headers && exec cat /proc/self/environ >e0)
	code=$(eval "cgisession get --sh $1")
	(set -a; eval "$code" && exec cat /proc/self/environ >e1)`
