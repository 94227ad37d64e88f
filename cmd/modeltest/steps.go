package modeltest

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

// A Target is the program with some store.
type Target struct {
	// Request says where the sessions are.
	Request cmdtest.Request
	// Age makes the session with this id one that was last used two hours ago.
	Age func(id string)
}

// Compare has each target and the model do the same random steps, and demands the
// same answers.
func Compare(t *testing.T, seed uint64, n int, targets ...Target) {
	rng := rand.New(rand.NewPCG(seed, 17))
	m := New()
	ids := make([]map[string]string, len(targets)) // the target's id by the model's
	for i := range ids {
		ids[i] = map[string]string{unknown: "unknownunknownunknownunknown2345"}
	}
	var done []Step
	codes := map[int]int{}
	for range n {
		s := m.random(rng)
		next := m.Next()
		want := m.Do(s)
		done = append(done, s)
		codes[want.Code]++
		for i, target := range targets {
			if got := target.do(t, s, ids[i], next); got != want {
				for _, step := range done[max(0, len(done)-12):] {
					t.Log(step)
				}
				t.Fatalf("seed %d, target %d, step %d: %+v\nwant %+v", seed, i, len(done), got, want)
			}
		}
	}
	t.Logf("answers by exit code: %v", codes)
}

const unknown = "unknown"

// do has the target do a step, and returns its answer in the model's terms.
func (target Target) do(t *testing.T, s Step, ids map[string]string, next string) Answer {
	id := ids[s.Claim.ID]
	if s.Idle {
		target.Age(id)
		return Answer{}
	}
	variable := "HTTP_COOKIE=cgisession_id=" + id
	if s.Claim.Bound {
		variable = "CGISESSION_ID=" + id
	}
	got := target.Request.With(variable).Give(t, s.Stdin, s.Args...)
	stdout := got.Stdout
	if found := newID.FindStringSubmatch(stdout); found != nil && found[1] != id {
		ids[next] = found[1]
		stdout = strings.ReplaceAll(stdout, found[1], next)
	}
	if id != "" {
		stdout = strings.ReplaceAll(stdout, id, s.Claim.ID)
	}
	if s.Args[0] == "info" && got.Code == 0 {
		stdout = "{" + version.FindString(stdout) + "}\n"
	}
	if s.Args[0] == "load" {
		stdout = omitted.ReplaceAllString(stdout, "")
	}
	return Answer{Code: got.Code, Stdout: stdout}
}

var (
	newID   = regexp.MustCompile(`Set-Cookie: cgisession_id=([a-z2-7]{32});`)
	version = regexp.MustCompile(`"version":\d+`)
	omitted = regexp.MustCompile(`"(token|request|user|handle|path)":"[^"]*",|"(created|accessed)":\d+,|` +
		`"(timeout|lifetime)":(null|\d+),|"minted":false,|"env":{[^}]*},`)
)

var (
	keys = []string{"a", "n", "list", "o", "ü k", "", "/o/p", "/o/p/q", "/list/0", "/list/1", "/list/-", "/n", "/o~1x", "/list/-/z", "/list/01", "/~", "/a~2", "//"}

	values = []string{`1`, `-7`, `0.50`, `9007199254740993`, `"text"`, `"with \"quotes\""`, `null`, `true`, `[]`, `[1,[2],{"k":3}]`, `{}`, `{"p":1}`, `{"p":{"q":[0]},"x":null}`}

	texts = []string{"", "text", "a=b", "--stdin", "ü", `"`, "-1", "line\nend"}

	objects = []string{`{}`, `{"a":1}`, `{"n":41,"list":[1,2]}`, `{"o":{"p":{"q":null}}}`, `{"o":{"p":{"q":null,"r":1}},"a":null}`, `{"list":"gone"}`}
)

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }

// random returns a step of one of a few visitors, or of a stranger.
func (m *Model) random(rng *rand.Rand) Step {
	c := Claim{Bound: rng.IntN(3) == 0}
	switch n := rng.IntN(20); {
	case n == 0:
		c.ID = unknown
	case n > 1 && m.made > 0:
		c.ID = "new" + strconv.Itoa(max(0, m.made-1-rng.IntN(5)))
	}
	if rng.IntN(25) == 0 && m.sessions[c.ID] != nil {
		return Step{Claim: c, Idle: true}
	}
	s := Step{Claim: c}
	s.Args, s.Stdin = randomCall(rng, m.sessions[c.ID])
	if rng.IntN(3) == 0 {
		s.Args = slices.Insert(s.Args, 1, "--timeout=1h")
	}
	return s
}

func randomCall(rng *rand.Rand, s *session) (args []string, stdin string) {
	switch rng.IntN(22) {
	case 0, 1, 2:
		return []string{"load", "--json"}, ""
	case 3, 4:
		args = []string{"get"}
		for range rng.IntN(4) {
			args = append(args, pick(rng, keys))
		}
		return args, ""
	case 5, 6, 7, 8:
		args = []string{"set"}
		if rng.IntN(4) == 0 {
			args, stdin = append(args, "--stdin"), pick(rng, objects)
		}
		for range 1 + rng.IntN(3) {
			args = append(args, assignment(rng))
		}
		return args, stdin
	case 9:
		return []string{"unset", pick(rng, keys), pick(rng, keys)}, ""
	case 10:
		return []string{"pop", pick(rng, keys)}, ""
	case 11, 12:
		return []string{"incr", pick(rng, keys)}, ""
	case 13:
		return []string{"incr", pick(rng, keys), "--by", pick(rng, []string{"2", "-3", "0.25"})}, ""
	case 14, 15:
		return []string{"append", "--", pick(rng, keys), pick(rng, values), pick(rng, values)}, ""
	case 16:
		return []string{"save"}, pick(rng, objects)
	case 17:
		expected := rng.IntN(3)
		if s != nil && rng.IntN(2) == 0 {
			expected = s.version
		}
		return []string{"save", "--if-version", strconv.Itoa(expected)}, pick(rng, objects)
	case 18:
		return []string{"delete"}, ""
	case 19:
		if rng.IntN(2) == 0 {
			return []string{"invalidate", "--expire"}, ""
		}
		return []string{"invalidate"}, ""
	case 20:
		return []string{"regenerate"}, ""
	}
	return []string{pick(rng, []string{"info", "cookie"})}, ""
}

func assignment(rng *rand.Rand) string {
	if rng.IntN(2) == 0 {
		return pick(rng, keys) + "=" + pick(rng, texts)
	}
	return pick(rng, keys) + ":=" + pick(rng, values)
}

// parse returns the value of a text that steps use.
func parse(text string) node {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	return parseNext(d)
}

func parseNext(d *json.Decoder) node {
	token, err := d.Token()
	if err != nil && err != io.EOF {
		panic(err)
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '[' {
			a := &array{}
			for d.More() {
				a.items = append(a.items, parseNext(d))
			}
			d.Token()
			return a
		}
		o := newObject()
		for d.More() {
			name, _ := d.Token()
			o.set(name.(string), parseNext(d))
		}
		d.Token()
		return o
	case json.Number:
		return token.String()
	case string:
		return quote(token)
	case nil:
		return "null"
	}
	return fmt.Sprint(token)
}
