package cmd

import (
	"errors"
	goflag "flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
)

// client stands for a word that a client sent, in a command line.
const client = "\x00"

// clientPlaces are the places for words of a client, besides those in README, manual and
// examples.
var clientPlaces = []string{
	"get -- %", "get --raw -- % %", "get name -- % %", "--raw -- get -- %", "pop --raw -- %", "pop -- %", "incr -- %", "incr --by 2 -- %",
	"unset -- % %", "destroy -- % %", "show -- %", "show --data -- %", "load --sh -- %", "append -- % %",
	"set a=%", "set a=% b=%", "set a:=%", "set --sh a@=%", "set -- %", "set --text -- % %", "set --text -- % % % %", "set --text a %", "set --sh --text -- % %",
	"set --text=true -- % %", "set -text -- % %", "--text set -- % %", "--sh --text set -- % %",
	"get --text -- %", "get --raw --text -- % %", "pop --text -- %", "pop --raw --text -- %", "incr --text -- %", "incr --by 2 --text -- %", "unset --text -- % %", "get --default-text % a", "get --default-text=% a",
	"append --text a %", "append --text -- % %", "append --text a % % %", "append a --text -- % %", "append --durable --text a b % %",
	"--text append a % %", "--text append -- % %", "--timeout 1h --text append a %",
	"csrf --check=%", "csrf --check %", "csrf -check=%", "csrf -check %", "--check=% csrf", "--check % csrf",
	"get --id=% a", "get --id % a", "get a --id=%", "get a --id %", "--id=% get a", "--id % get a", "load --id=% --sh", "load --id % --sh", "run --id=% sh %", "run --id % sh %",
	"get --default=% a", "get --default % a", "incr --by=% n", "incr --by % n", "list --user=%", "list --user %", "list --user=% --json",
	"destroy --user=%", "destroy --user %", "regenerate --user=%", "regenerate --user % --sh", "regenerate --user=% --sh", "--user=% regenerate",
	"run sh %", "run sh -c x % %", "edit jq --arg x % %", "edit jq %", "lock sh % %", "lock --timeout 1h sh %",
}

// Words of a client are never flags, whatever they are, in any place where the
// README, the manual and the examples have such words, and in all others that are meant for
// them.
func TestClientWords(t *testing.T) {
	var lines [][]string
	for _, place := range clientPlaces {
		lines = append(lines, strings.Fields(strings.ReplaceAll(place, "%", client)))
	}
	documented := documentedCalls(t)
	if len(documented) < 8 {
		t.Errorf("README, manual and examples have %d calls with words of a client: %q", len(documented), documented)
	}
	words := clientWords()
	g := wholeGrammar()
	random := rand.New(rand.NewPCG(6, 12))
	for _, line := range append(lines, documented...) {
		want, err := g.parse(line)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		for _, word := range words {
			g.check(t, line, want, func() string { return word })
			if strings.Count(strings.Join(line, ""), client) > 1 {
				g.check(t, line, want, func() string { return words[random.IntN(len(words))] })
			}
		}
	}
}

// clientWords returns every flag in every spelling, and what else begins with a dash.
func clientWords() []string {
	words := []string{"", "-", "--", "---", "--=", "-=", "-h", "--help", "--help=x", "-help", "--version", "-v", "-1", "-0.5", "--x", "-\xff", "--\n", "=", "a=b", "help", "h"}
	for _, f := range allFlags() {
		for _, name := range f.Names() {
			for _, spelling := range []string{"-%s", "--%s", "-%s=v", "--%s=v", "--%s=", "-%s=", "---%s"} {
				words = append(words, fmt.Sprintf(spelling, name))
			}
		}
	}
	slices.Sort(words)
	return slices.Compact(words) // most verbs share them
}

// check wants the line to be split as want, with the client's words in their places.
func (g grammar) check(t *testing.T, line, want []string, next func() string) {
	t.Helper()
	var args, sent []string
	for _, arg := range line {
		for strings.Contains(arg, client) {
			word := next()
			arg = strings.Replace(arg, client, word, 1)
			sent = append(sent, word)
		}
		args = append(args, arg)
	}
	want = slices.Clone(want)
	for i, part := range want {
		for strings.Contains(part, client) {
			part, sent = strings.Replace(part, client, sent[0], 1), sent[1:]
		}
		want[i] = part
	}
	got, err := g.parse(args)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q is split into %q, %v; want %q", args, got, err, want)
	}
}

// grammar is what the program knows of its command line.
type grammar struct {
	flags    []cli.Flag
	verbs    []verb
	commands []*cli.Command
}

// parse returns the verb, each flag with its value, and the other arguments, in the order of
// the line but for flags that stand first, as Run has them.
func (g grammar) parse(args []string) ([]string, error) {
	leading, err := split(args, g.flags, true)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(g.verbs, func(v verb) bool { return v.name == leading.others[0] })
	if i < 0 {
		return nil, fmt.Errorf("no verb %q", leading.others[0])
	}
	p, err := split(append(leading.words, leading.others[1:]...), g.commands[i].Flags, g.verbs[i].wraps)
	if err != nil {
		return nil, err
	}
	parts := []string{g.verbs[i].name, fmt.Sprint(p.help)}
	for _, f := range p.flags {
		parts = append(parts, "--"+f.Names()[0], f.value)
	}
	return append(append(parts, "arguments"), p.others...), nil
}

// documentedCalls returns the calls in the README, the manual and the examples that have a
// variable in them, with client in its place.
func documentedCalls(t *testing.T) [][]string {
	t.Helper()
	files := []string{"../README.md"}
	for _, pattern := range []string{"../scripts/examples/*.[ps]*", "manual/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	var calls [][]string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, rest := range strings.Split(string(text), "cgisession ") {
			if words := shellWordsOf(rest); i > 0 && strings.Contains(strings.Join(words, ""), client) && !strings.HasPrefix(words[0], client) {
				calls = append(calls, words)
			}
		}
	}
	return calls
}

// shellWordsOf returns the words of the command that text begins with, up to what
// ends it, with client in place of variables and of commands.
func shellWordsOf(text string) (words []string) {
	word, quote, open := "", byte(0), false
	end := func() {
		if open {
			words = append(words, word)
		}
		word, open = "", false
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\n', quote == 0 && strings.IndexByte("|;&)<>`", c) >= 0, quote == 0 && c == '#' && !open && len(words) > 0:
			end()
			return words
		case c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, open = c, true
		case quote == 0 && c == ' ':
			end()
		case c == '$' && quote != '\'':
			length := expansion(text[i:])
			if !strings.HasPrefix(text[i:], "$((") { // a number
				word += client
			}
			i, open = i+length-1, true
		default:
			word, open = word+string(c), true
		}
	}
	end()
	return words
}

// expansion returns the length of $name, $1, $@, ${…} or $(…).
func expansion(text string) int {
	depth := 0
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '(' || c == '{':
			depth++
		case c == ')' || c == '}':
			if depth--; depth == 0 {
				return i + 1
			}
		case depth > 0:
		case i == 1 && strings.IndexByte("@#?*", c) >= 0:
			return 2
		case c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z'):
			return i
		}
	}
	return len(text)
}

// FuzzSplit splits the lines of a text as a verb's command line, and again with the
// lines of another text behind "--".
func FuzzSplit(f *testing.F) {
	g := wholeGrammar()
	for i, place := range clientPlaces {
		line := strings.Join(strings.Fields(strings.ReplaceAll(place, "%", "--id")), "\n")
		f.Add(uint8(i), i%2 == 0, line, "--raw\n--\nx")
	}
	for i, word := range clientWords() {
		f.Add(uint8(i), i%3 == 0, "a\n"+word+"\n--sh\n-\n--\n"+word, word)
	}
	f.Fuzz(func(t *testing.T, verb uint8, leading bool, line, tail string) {
		flags := g.commands[int(verb)%len(g.commands)].Flags
		checkSplit(t, strings.Split(line, "\n"), strings.Split(tail, "\n"), flags, leading)
	})
}

// TestSplit splits command lines of random words, most of them flags of the verb.
func TestSplit(t *testing.T) {
	g, words := wholeGrammar(), clientWords()
	random := rand.New(rand.NewPCG(14, 6))
	pick := func(words ...string) string { return words[random.IntN(len(words))] }
	accepted, ended, helped := 0, 0, 0
	for range 20000 {
		flags := g.commands[random.IntN(len(g.commands))].Flags
		var line []string
		for range random.IntN(6) {
			switch n := random.IntN(8); {
			case n == 0:
				line = append(line, pick(words...))
			case n < 4 || flags == nil:
				line = append(line, pick("a", "-", "", "--", "KEY=-x", "--help"))
			default:
				line = append(line, pick("-", "--")+pick(flags[random.IntN(len(flags))].Names()...)+pick("", "", "=v", "="))
			}
		}
		p, ok := checkSplit(t, line, []string{"--raw", "--", "x"}, flags, random.IntN(2) == 0)
		switch {
		case !ok:
			continue
		case p.help:
			helped++
		case len(p.words)+len(p.others) < len(line):
			ended++
		}
		accepted++
	}
	if accepted < 5000 || ended < 500 || helped < 500 {
		t.Errorf("%d lines were accepted, of them %d with a -- and %d with --help", accepted, ended, helped)
	}
}

func wholeGrammar() grammar {
	return grammar{allFlags(), verbs(), commands(&call{stdout: new(output)})}
}

// checkSplit splits a line and wants what is true of any line. It returns the parts,
// and whether the line was accepted.
func checkSplit(t *testing.T, line, tail []string, known []cli.Flag, leading bool) (parsedArgs, bool) {
	t.Helper()
	p, err := split(line, known, leading)
	want, wantErr := splitByFlag(line, known, leading)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%q: %v; package flag has %v", line, err, wantErr)
	}
	if err != nil {
		if usage := (usageError{}); !errors.As(err, &usage) {
			t.Fatalf("%q: %v is no usage error", line, err)
		}
		return p, false
	}
	if got := fmt.Sprintf("%q %v %q", spelled(p.flags), p.help, p.others); got != want {
		t.Fatalf("%q: %s; package flag has %s", line, got, want)
	}
	checkAccounted(t, line, p)
	if !p.help {
		checkTail(t, line, tail, p, known, leading)
	}
	return p, true
}

// spelled returns flags as name=value, a switch without a value as name=true.
func spelled(flags []givenFlag) (texts []string) {
	for _, g := range flags {
		if !g.hasValue {
			g.value = "true"
		}
		texts = append(texts, g.name+"="+g.value)
	}
	return texts
}

// checkAccounted wants each word of the line in one part, except the "--" that ends
// the flags, and what follows --help.
func checkAccounted(t *testing.T, line []string, p parsedArgs) {
	t.Helper()
	left := slices.Clone(line)
	for _, part := range slices.Concat(p.words, p.others) {
		i := slices.Index(left, part)
		if i < 0 {
			t.Fatalf("%q: %q is not of the line", line, part)
		}
		left = slices.Delete(left, i, i+1)
	}
	if len(left) > 0 && !p.help && !slices.Equal(left, []string{"--"}) {
		t.Fatalf("%q: %q are lost", line, left)
	}
}

// checkTail wants nothing after "--", nor after a lastFlag, to be a flag.
func checkTail(t *testing.T, line, tail []string, before parsedArgs, known []cli.Flag, leading bool) {
	t.Helper()
	p, err := split(slices.Concat(line, []string{"--"}, tail), known, leading)
	if err != nil || !slices.Equal(p.words, before.words) || !slices.Equal(p.others[len(p.others)-len(tail):], tail) {
		t.Fatalf("%q, -- and %q are split into %q and %q, %v", line, tail, p.words, p.others, err)
	}
	for _, f := range known {
		if last, ok := f.(lastFlag); ok {
			p, err := split(slices.Concat([]string{"--" + last.Name}, line), known, leading)
			if err != nil || len(p.flags) != 1 || !slices.Equal(p.others, p.flags[0].Flag.(lastFlag).arguments(line)) {
				t.Fatalf("--%s and %q are split into %q and %q, %v", last.Name, line, p.words, p.others, err)
			}
		}
	}
}

// splitByFlag is split by means of package flag, which parses flags up to the first
// argument and is called again for what follows that.
func splitByFlag(line []string, known []cli.Flag, leading bool) (string, error) {
	var flags, others []string
	spelling := make(map[cli.Flag]string)
	for {
		var last *lastFlag
		rest, err := parseByFlag(line, known, func(f cli.Flag, name, value string) error {
			if before := spelling[f]; before != "" && before != name {
				return errors.New("two spellings")
			}
			spelling[f] = name
			flags = append(flags, name+"="+value)
			if l, ok := f.(lastFlag); ok {
				last = &l
				return errors.New("stop here")
			}
			return nil
		})
		parsed := line[:len(line)-len(rest)]
		switch {
		case errors.Is(err, goflag.ErrHelp):
			name, _, _ := strings.Cut(strings.TrimLeft(parsed[len(parsed)-1], "-"), "=")
			return fmt.Sprintf("%q true %q", append(flags, name+"=true"), others), nil
		case last != nil && len(others) > last.before:
			return "", errors.New("too many arguments before the last flag")
		case last != nil:
			return fmt.Sprintf("%q false %q", flags, append(others, last.arguments(rest)...)), nil
		case err != nil:
			return "", err
		case leading || len(rest) == 0 || endsByDashes(parsed, known):
			return fmt.Sprintf("%q false %q", flags, append(others, rest...)), nil
		}
		others, line = append(others, rest[0]), rest[1:]
	}
}

// endsByDashes reports whether the last word is the "--" that ends flags, and not a
// flag's value: then the flags are complete without it.
func endsByDashes(parsed []string, known []cli.Flag) bool {
	n := len(parsed) - 1
	if n < 0 || parsed[n] != "--" {
		return false
	}
	_, err := parseByFlag(parsed[:n], known, func(cli.Flag, string, string) error { return nil })
	return err == nil
}

// parseByFlag has package flag parse the flags that a line begins with, and returns
// the rest of the line.
func parseByFlag(line []string, known []cli.Flag, seen func(f cli.Flag, name, value string) error) ([]string, error) {
	set := goflag.NewFlagSet("", goflag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.Usage = func() {}
	for _, f := range known {
		for _, name := range f.Names() {
			set.Var(seenFlag{!takesValue(f), func(value string) error { return seen(f, name, value) }}, name, "")
		}
	}
	err := set.Parse(line)
	return set.Args(), err
}

// A seenFlag reports a flag that package flag has parsed.
type seenFlag struct {
	isSwitch bool
	report   func(value string) error
}

func (s seenFlag) String() string   { return "" }
func (s seenFlag) IsBoolFlag() bool { return s.isSwitch }
func (s seenFlag) Set(value string) error {
	if s.isSwitch && value == "" {
		return errors.New("no value after =")
	}
	return s.report(value)
}

// BenchmarkLine compares the parser with the library's, for the flags of load.
func BenchmarkLine(b *testing.B) {
	c := &call{options: defaults(), stdout: new(output)}
	command := loadCommand(c)
	command.Action = func(*cli.Context) error { return nil }
	args := []string{"cgisession", "load"}
	b.Run("line.go", func(b *testing.B) {
		for b.Loop() {
			p, err := split(args[2:], command.Flags, false)
			if err != nil || p.run(command) != nil {
				b.Fatal(err)
			}
		}
	})
	for _, n := range []int{0, 10, 20, len(command.Flags)} {
		b.Run(fmt.Sprintf("library, %d flags", n), func(b *testing.B) {
			for b.Loop() {
				some := *command // the library adds its help flag to it
				some.Flags, some.HideHelpCommand = command.Flags[:n:n], true
				if err := library(&some).Run(args); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// library returns the library's App, as small as it can be.
func library(command *cli.Command) *cli.App {
	return &cli.App{
		Name:     "cgisession",
		Compiled: time.Unix(1, 0), // else the library calls stat(2) on the program's file
		Commands: []*cli.Command{command},
	}
}
