package cmd

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// client stands for a word that a client sent, in a command line.
const client = "\x00"

// clientPlaces are the places for words of a client, besides those in README and
// examples.
var clientPlaces = []string{
	"get -- %", "get --raw -- % %", "get name -- % %", "--raw -- get -- %", "pop --raw -- %", "pop -- %", "incr -- %", "incr --by 2 -- %",
	"unset -- % %", "destroy -- % %", "show -- %", "show --data -- %", "load --sh -- %", "append -- % %",
	"set a=%", "set a=% b=%", "set a:=%", "set --sh a@=%", "set -- %", "set --text -- % %", "set --text -- % % % %", "set --text a %", "set --sh --text -- % %",
	"set --text=true -- % %", "set -text -- % %", "--text set -- % %", "--sh --text set -- % %",
	"append --text a %", "append --text -- % %", "append --text a % % %", "append a --text -- % %", "append --durable --text a b % %",
	"--text append a % %", "--text append -- % %", "--timeout 1h --text append a %",
	"csrf --check=%", "csrf --check %", "csrf -check=%", "csrf -check %", "--check=% csrf", "--check % csrf",
	"get --id=% a", "get --id % a", "get a --id=%", "get a --id %", "--id=% get a", "--id % get a", "load --id=% --sh", "load --id % --sh", "run --id=% sh %", "run --id % sh %",
	"get --default=% a", "get --default % a", "incr --by=% n", "incr --by % n", "list --user=%", "list --user %", "list --user=% --json",
	"destroy --user=%", "destroy --user %", "regenerate --user=%", "regenerate --user % --sh", "regenerate --user=% --sh", "--user=% regenerate",
	"run sh %", "run sh -c x % %", "edit jq --arg x % %", "edit jq %", "lock sh % %", "lock --timeout 1h sh %",
}

// Words of a client are never flags, whatever they are, in any place where the
// README and the examples have such words, and in all others that are meant for them.
func TestClientWords(t *testing.T) {
	var lines [][]string
	for _, place := range clientPlaces {
		lines = append(lines, strings.Fields(strings.ReplaceAll(place, "%", client)))
	}
	documented := documentedCalls(t)
	if len(documented) < 8 {
		t.Errorf("the README and the examples have %d calls with words of a client: %q", len(documented), documented)
	}
	words := clientWords()
	g := grammar{allFlags(), verbs(), (&call{stdout: new(output)}).commands()}
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

// documentedCalls returns the calls in the README and in the examples that have a variable in
// them, with client in its place.
func documentedCalls(t *testing.T) [][]string {
	t.Helper()
	files, err := filepath.Glob("../scripts/examples/*")
	if err != nil {
		t.Fatal(err)
	}
	var calls [][]string
	for _, file := range append(files, "../README.md") {
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
