package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"cgisession/store/storetest/oracle"
)

func mustData(t testing.TB, text string) Data {
	t.Helper()
	d, err := ParseData([]byte(text))
	if err != nil {
		t.Fatalf("ParseData(%q): %v", text, err)
	}
	return d
}

func mustValue(t testing.TB, text string) Value {
	t.Helper()
	v, err := ParseValue([]byte(text))
	if err != nil {
		t.Fatalf("ParseValue(%q): %v", text, err)
	}
	return v
}

// nested returns n arrays, one in the other.
func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

func TestParseDataKeepsText(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{`{}`, `{}`},
		{" \t\r\n{ } \n", `{}`},
		{`{"b" : 1, "a" : [ 1 , 2 ], "" : null}`, `{"b":1,"a":[1,2],"":null}`},
		{`{"n":[9007199254740993,1e400,0.10,-0,-0.0,1E+05]}`, `{"n":[9007199254740993,1e400,0.10,-0,-0.0,1E+05]}`},
		{`{"\u0061\/":"\u00e9 \ud83d\ude00 é < > & \u2028 a  b"}`, `{"\u0061\/":"\u00e9 \ud83d\ude00 é < > & \u2028 a  b"}`},
		{`{"a":{"x":1},"b":{"x":1}}`, `{"a":{"x":1},"b":{"x":1}}`},
	} {
		got, err := ParseData([]byte(tt.in))
		if err != nil || string(got) != tt.want {
			t.Errorf("ParseData(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

func TestParseDataRefuses(t *testing.T) {
	for _, tt := range []struct{ in, message string }{
		{``, "bad JSON: unexpected EOF at byte 0"},
		{`{"a":1`, "bad JSON: unexpected EOF at byte 6"},
		{`[1]`, "the data must be a JSON object, not an array"},
		{`"s"`, "not a string"},
		{`-1`, "not a number"},
		{`true`, "not a boolean"},
		{`null`, "not null"},
		{`{} {}`, "at byte 3"},
		{`{}x`, "at byte 2"},
		{`{"a":1,}`, "at byte 7"},
		{`{"a":1,"\u0061":2}`, `duplicate object member name at byte 7`},
		{`{"x":[{"y":{"d":1,"d":2}}]}`, `duplicate object member name at byte 18`},
		{"{\"a\":\"\xff\"}", "invalid UTF-8 at byte 6"},
		{"{\"\xc3\":1}", "invalid UTF-8 at byte 2"},
		{`{"a":"\ud800"}`, "at byte 6"},
		{`{"a":"\ud800\ud800"}`, "at byte 6"},
		{`{"a":"\udc00"}`, "at byte 6"},
		{`{"a":NaN}`, "at byte 5"},
		{`{"a":01}`, "at byte 6"},
		{`{"a":/* */1}`, "at byte 5"},
		{"{\"a\":\"\n\"}", "at byte 6"},
		{"\ufeff{}", "at byte 0"},
		{`{a:1}`, "at byte 1"},
		{`{"a":` + nested(20000) + `}`, "nested deeper than 512 levels"},
		{strings.Repeat(`{"a":`, 20000), "nested deeper than 512 levels"},
		{`{"` + strings.Repeat("k", 5000) + `":1,"` + strings.Repeat("k", 5000) + `":2}`, `name at byte 5006`},
	} {
		name := tt.in[:min(len(tt.in), 40)]
		got, err := ParseData([]byte(tt.in))
		if got != nil || !errors.Is(err, ErrBadJSON) {
			t.Errorf("ParseData(%q) = %q, %v; want ErrBadJSON", name, got, err)
			continue
		}
		if message := err.Error(); !strings.Contains(message, tt.message) || strings.Contains(message, "\n") || len(message) > 200 {
			t.Errorf("ParseData(%q): message %q; want one short line with %q", name, message, tt.message)
		}
	}
}

func TestMaxDepth(t *testing.T) {
	if _, err := ParseValue([]byte(nested(MaxDepth))); err != nil {
		t.Errorf("MaxDepth levels: %v", err)
	}
	if _, err := ParseValue([]byte(nested(MaxDepth + 1))); !errors.Is(err, ErrBadJSON) {
		t.Errorf("MaxDepth+1 levels: %v", err)
	}
	if _, err := ParseValue([]byte("[" + nested(MaxDepth) + ",[]]")); !errors.Is(err, ErrBadJSON) {
		t.Errorf("MaxDepth+1 levels, not in the last element: %v", err)
	}
	if _, err := ParseValue([]byte(`["` + strings.Repeat("[", 2*MaxDepth) + `\"["]`)); err != nil {
		t.Errorf("brackets in a string: %v", err)
	}
	if _, err := ParseValue([]byte("[" + strings.Repeat("[[]],", 2*MaxDepth) + "0]")); err != nil {
		t.Errorf("brackets side by side: %v", err)
	}

	steps := strings.Repeat("/a", MaxDepth-1)
	for _, tt := range []struct {
		key, value string
		ok         bool
	}{
		{steps, "[]", true},
		{steps, "[[]]", false},
		{steps + "/a", "1", true},
		{steps + "/a", "[]", false},
		{steps + "/a/a", "1", false},
		{"k", nested(MaxDepth - 1), true},
		{"k", nested(MaxDepth), false},
	} {
		d, err := Empty.Set(tt.key, mustValue(t, tt.value))
		if tt.ok {
			mustData(t, string(d))
		}
		if ok := err == nil; ok != tt.ok || !ok && !errors.Is(err, ErrBadStep) {
			t.Errorf("Set at %d steps, value %.9s: %v", strings.Count(tt.key, "/"), tt.value, err)
		}
	}

	d := mustData(t, `{"k":`+nested(MaxDepth-1)+`}`)
	if _, _, err := d.Append(`/k`+strings.Repeat("/0", MaxDepth-2), Value("1")); err != nil {
		t.Errorf("Append at MaxDepth: %v", err)
	}
	if _, _, err := d.Append(`/k`+strings.Repeat("/0", MaxDepth-2), Value("[]")); !errors.Is(err, ErrBadStep) {
		t.Errorf("Append past MaxDepth: %v", err)
	}
	mustData(t, string(d.Merge(mustData(t, strings.Repeat(`{"k":`, MaxDepth)+"1"+strings.Repeat("}", MaxDepth)))))
}

func TestStringValue(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", `""`},
		{"é<&>\u2028/", "\"é<&>\u2028/\""},
		{"a\"\\\n\x00\x7f", "\"a\\\"\\\\\\n\\u0000\x7f\""},
		{"\ufffd", "\"\ufffd\""},
	} {
		v, err := StringValue(tt.in)
		if err != nil || string(v) != tt.want {
			t.Errorf("StringValue(%q) = %s, %v; want %s", tt.in, v, err, tt.want)
		}
		if v.Text() != tt.in {
			t.Errorf("StringValue(%q).Text() = %q", tt.in, v.Text())
		}
	}
	v, err := StringValue("\ufffdab\xffc")
	if v != nil || !errors.Is(err, ErrBadJSON) || !strings.Contains(err.Error(), "at byte 5") {
		t.Errorf("StringValue of no UTF-8 = %q, %v", v, err)
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		`"\u0061\/\ud83d\ude00\n"`: "a/😀\n",
		`1e400`:                    "1e400",
		`null`:                     "null",
		`{"a":"\u0061"}`:           `{"a":"\u0061"}`,
	} {
		if got := mustValue(t, in).Text(); got != want {
			t.Errorf("%s: Text = %q, want %q", in, got, want)
		}
	}
}

// RFC 6901 §5, without "", which is the whole document there and a member here.
func TestGetRFC6901(t *testing.T) {
	d := mustData(t, `{
		"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3,
		"g|h": 4, "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8}`)
	for key, want := range map[string]string{
		"/foo": `["bar","baz"]`, "/foo/0": `"bar"`, "/": "0", "/a~1b": "1", "/c%d": "2", "/e^f": "3",
		"/g|h": "4", `/i\j`: "5", `/k"l`: "6", "/ ": "7", "/m~0n": "8",
		// The same members by name.
		"": "0", "a/b": "1", `i\j`: "5", "m~n": "8",
	} {
		v, ok, err := d.Get(key)
		if !ok || err != nil || string(v) != want {
			t.Errorf("Get(%q) = %s, %v, %v; want %s", key, v, ok, err, want)
		}
	}
}

func TestGet(t *testing.T) {
	d := mustData(t, `{"a":[1,{"b":null}],"s":"text","~1":1,"\u00e9\"":2,"n":[],"o":{"-":3,"00":4}}`)
	for _, tt := range []struct {
		key, want string // want "" is absent
	}{
		{"a", `[1,{"b":null}]`},
		{"/a/1/b", "null"},
		{"/a/0", "1"},
		{"/a/2", ""},
		{"/a/-", ""},
		{"/a/-0", ""},
		{"/a/+0", ""},
		{"/a/00", ""},
		{"/a/01", ""},
		{"/a/1e0", ""},
		{"/a/18446744073709551616", ""},
		{"/a/", ""},
		{"/a/1/b/c", ""},
		{"/s/0", ""},
		{"/~01", "1"},
		{"/~1", ""},
		{"é\"", "2"},
		{"/é\"", "2"},
		{"\xe9", ""},
		{"/n/0", ""},
		{"/o/-", "3"},
		{"/o/00", "4"},
		{"o/-", ""},
		{"", ""},
		{"/", ""},
	} {
		v, ok, err := d.Get(tt.key)
		if err != nil || ok != (tt.want != "") || string(v) != tt.want {
			t.Errorf("Get(%q) = %q, %v, %v; want %q", tt.key, v, ok, err, tt.want)
		}
	}
	for _, key := range []string{"/a~2", "/~", "/a/~", "/a~/b", "/missing/~9", "/~0~"} {
		if v, ok, err := d.Get(key); ok || !errors.Is(err, ErrBadKey) {
			t.Errorf("Get(%q) = %q, %v, %v; want ErrBadKey", key, v, ok, err)
		}
	}
}

func TestSet(t *testing.T) {
	const bad = "error"
	for _, tt := range []struct{ data, key, value, want string }{
		{`{}`, "k", `1`, `{"k":1}`},
		{`{}`, "", `1`, `{"":1}`},
		{`{}`, "a/b", `1`, `{"a/b":1}`},
		{`{}`, "k\"\n", `1`, `{"k\"\n":1}`},
		{`{"b":0.10,"\u0061":2,"c":1e400}`, "a", `9007199254740993`, `{"b":0.10,"\u0061":9007199254740993,"c":1e400}`},
		{`{"b":1}`, "a", `{"x":[]}`, `{"b":1,"a":{"x":[]}}`},
		{`{}`, "/a/b/c", `1`, `{"a":{"b":{"c":1}}}`},
		{`{"a":{}}`, "/a/b/c", `1`, `{"a":{"b":{"c":1}}}`},
		{`{"a":{"x":0},"z":9}`, "/a/b~1/c~0", `1`, `{"a":{"x":0,"b/":{"c~":1}},"z":9}`},
		{`{"a":[1,2,3]}`, "/a/1", `"x"`, `{"a":[1,"x",3]}`},
		{`{"a":[1,{"b":2}]}`, "/a/1/b", `3`, `{"a":[1,{"b":3}]}`},
		{`{"a":[]}`, "/a/-", `1`, `{"a":[1]}`},
		{`{"a":[1],"b":2}`, "/a/-", `[2]`, `{"a":[1,[2]],"b":2}`},
		{`{"a":[1]}`, "/a/-/b/c", `2`, `{"a":[1,{"b":{"c":2}}]}`},
		{`{"a":[[]]}`, "/a/0/-", `2`, `{"a":[[2]]}`},
		{`{}`, "/a/-", `1`, `{"a":[1]}`},
		{`{}`, "/a/-/-", `1`, `{"a":[[1]]}`},
		{`{}`, "/a/-/b/-", `1`, `{"a":[{"b":[1]}]}`},
		{`{"x":{}}`, "/x/a/-/b", `1`, `{"x":{"a":[{"b":1}]}}`},
		{`{"a":[]}`, "/a/-/-", `1`, `{"a":[[1]]}`},
		{`{"a":[]}`, "/a/-/b/-/c", `1`, `{"a":[{"b":[{"c":1}]}]}`},
		{`{}`, "/-", `1`, `{"-":1}`},
		{`{}`, "/-/-", `1`, `{"-":[1]}`},
		{`{"a":{}}`, "/a/-", `1`, `{"a":{"-":1}}`},
		{`{"a":{"-":1}}`, "/a/-", `2`, `{"a":{"-":2}}`},
		{`{}`, "-", `1`, `{"-":1}`},
		{`{"a":[1]}`, "/a/1", `2`, `{"a":[1,2]}`},
		{`{"a":[]}`, "/a/0", `1`, `{"a":[1]}`},
		{`{"a":[]}`, "/a/0/b", `1`, `{"a":[{"b":1}]}`},
		{`{"a":[[1]]}`, "/a/1/-", `2`, `{"a":[[1],[2]]}`},
		{`{}`, "/a/0", `1`, `{"a":{"0":1}}`},
		{`{"a":{"b":1}}`, "/a", `null`, `{"a":null}`},
		{`{"a":[1]}`, "/a/2", `1`, bad},
		{`{"a":[1]}`, "/a/01", `1`, bad},
		{`{"a":[1]}`, "/a/1e0", `1`, bad},
		{`{"a":[]}`, "/a/-0", `1`, bad},
		{`{"a":[1]}`, "/a/00", `1`, bad},
		{`{"a":[1]}`, "/a/-1", `1`, bad},
		{`{"a":[1]}`, "/a/x", `1`, bad},
		{`{"a":[1]}`, "/a/", `1`, bad},
		{`{"a":[]}`, "/a/1/b", `1`, bad},
		{`{"a":1}`, "/a/b", `1`, bad},
		{`{"a":null}`, "/a/b", `1`, bad},
		{`{"a":"s"}`, "/a/0", `1`, bad},
		{`{"a":true}`, "/a/-", `1`, bad},
	} {
		d := mustData(t, tt.data)
		got, err := d.Set(tt.key, mustValue(t, tt.value))
		switch {
		case tt.want == bad:
			if got != nil || !errors.Is(err, ErrBadStep) {
				t.Errorf("%s: Set(%q, %s) = %s, %v; want ErrBadStep", tt.data, tt.key, tt.value, got, err)
			}
		case err != nil || string(got) != tt.want:
			t.Errorf("%s: Set(%q, %s) = %s, %v; want %s", tt.data, tt.key, tt.value, got, err, tt.want)
		}
		if string(d) != tt.data {
			t.Errorf("%s: Set(%q, %s) changed the data it was called on", tt.data, tt.key, tt.value)
		}
	}
	for _, key := range []string{"/a~", "\xff", "/a/\xff/b"} {
		if d, err := Empty.Set(key, Value("1")); d != nil || !errors.Is(err, ErrBadKey) {
			t.Errorf("Set(%q) = %s, %v; want ErrBadKey", key, d, err)
		}
	}
}

func TestUnset(t *testing.T) {
	for _, tt := range []struct{ data, key, want string }{
		{`{"a":1}`, "a", `{}`},
		{`{"a":1,"b":2,"c":3}`, "a", `{"b":2,"c":3}`},
		{`{"a":1,"b":2,"c":3}`, "b", `{"a":1,"c":3}`},
		{`{"a":1,"b":2,"c":3}`, "c", `{"a":1,"b":2}`},
		{`{"a":[1]}`, "/a/0", `{"a":[]}`},
		{`{"a":[1,2,3],"b":0}`, "/a/0", `{"a":[2,3],"b":0}`},
		{`{"a":[1,2,3],"b":0}`, "/a/1", `{"a":[1,3],"b":0}`},
		{`{"a":[1,2,3],"b":0}`, "/a/2", `{"a":[1,2],"b":0}`},
		{`{"a":{"b":{"c":1}}}`, "/a/b", `{"a":{}}`},
		{`{"a":{"\u0062":1,"c":","}}`, "/a/b", `{"a":{"c":","}}`},
		{`{"a":1}`, "b", ""},
		{`{"a":1}`, "/a/b", ""},
		{`{"a":[1]}`, "/a/1", ""},
		{`{"a":[1]}`, "/a/-", ""},
		{`{"a":[1]}`, "\xff", ""},
	} {
		d := mustData(t, tt.data)
		got, removed, err := d.Unset(tt.key)
		want := tt.want
		if want == "" {
			want = tt.data
		}
		if err != nil || removed != (tt.want != "") || string(got) != want {
			t.Errorf("%s: Unset(%q) = %s, %v, %v; want %s", tt.data, tt.key, got, removed, err, want)
		}
		if string(d) != tt.data {
			t.Errorf("%s: Unset(%q) changed the data it was called on", tt.data, tt.key)
		}
	}
	if d, removed, err := Empty.Unset("/~2"); d != nil || removed || !errors.Is(err, ErrBadKey) {
		t.Errorf("Unset(/~2) = %s, %v, %v; want ErrBadKey", d, removed, err)
	}
}

func TestAppend(t *testing.T) {
	for _, tt := range []struct {
		data, key string
		values    []string
		want      string // "" is ErrBadStep
		n         int
	}{
		{`{}`, "a", []string{"1"}, `{"a":[1]}`, 1},
		{`{}`, "/x/a", []string{"1", `{"b":[]}`}, `{"x":{"a":[1,{"b":[]}]}}`, 2},
		{`{"a":[],"b":1}`, "a", []string{"0.10", "1e400"}, `{"a":[0.10,1e400],"b":1}`, 2},
		{`{"a":[1,[2,3]],"b":1}`, "a", []string{`"x"`}, `{"a":[1,[2,3],"x"],"b":1}`, 3},
		{`{"a":[1,[2,3]]}`, "/a/1", []string{`4`}, `{"a":[1,[2,3,4]]}`, 3},
		{`{"a":[1]}`, "/a/-", []string{`4`}, `{"a":[1,[4]]}`, 1},
		{`{"a":[1]}`, "/a/1", []string{`4`}, `{"a":[1,[4]]}`, 1},
		{`{}`, "/a/-", []string{`4`}, `{"a":[[4]]}`, 1},
		{`{"a":[1]}`, "a", nil, `{"a":[1]}`, 1},
		{`{"a":{}}`, "a", []string{"1"}, "", 0},
		{`{"a":null}`, "a", []string{"1"}, "", 0},
		{`{"a":"[]"}`, "a", []string{"1"}, "", 0},
		{`{"a":1}`, "/a/b", []string{"1"}, "", 0},
		{`{"a":[1]}`, "/a/7", []string{"1"}, "", 0},
	} {
		var vs []Value
		for _, text := range tt.values {
			vs = append(vs, mustValue(t, text))
		}
		d := mustData(t, tt.data)
		got, n, err := d.Append(tt.key, vs...)
		if tt.want == "" {
			if got != nil || !errors.Is(err, ErrBadStep) {
				t.Errorf("%s: Append(%q) = %s, %v; want ErrBadStep", tt.data, tt.key, got, err)
			}
		} else if err != nil || n != tt.n || string(got) != tt.want {
			t.Errorf("%s: Append(%q) = %s, %d, %v; want %s, %d", tt.data, tt.key, got, n, err, tt.want, tt.n)
		}
		if string(d) != tt.data {
			t.Errorf("%s: Append(%q) changed the data it was called on", tt.data, tt.key)
		}
	}
	if _, _, err := Empty.Append("/~", Value("1")); !errors.Is(err, ErrBadKey) {
		t.Errorf("Append at /~: %v", err)
	}
}

func TestMembers(t *testing.T) {
	var got []string
	for name, v := range mustData(t, `{"b":1,"\u0061\n":[1,{"x":2}],"":"s,}"}`).Members() {
		got = append(got, name, string(v))
	}
	want := []string{"b", "1", "a\n", `[1,{"x":2}]`, "", `"s,}"`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name := range mustData(t, `{"a":1,"b":2}`).Members() {
		if name != "a" {
			t.Error("went on after break")
		}
		break
	}
}

func TestKeysInMessages(t *testing.T) {
	long := strings.Repeat("k", 1000)
	d := mustData(t, `{"a":1,"l":[1,2]}`)
	for _, tt := range []struct {
		key, message string
	}{
		{"/a/b\n", `key "/a/b\n": "b\n" leads into a number; unset that first`},
		{"/l/3", `key "/l/3": "3" is no index of an array of 2; - appends to it`},
		{"/a/" + long, `key "/a/` + long[:61] + `"…: "` + long[:64] + `"… leads into a number; unset that first`},
	} {
		if _, err := d.Set(tt.key, Value("1")); err == nil || err.Error() != tt.message {
			t.Errorf("Set(%.20q): %v\nwant %s", tt.key, err, tt.message)
		}
	}
}

// Appending to a value that was read must not write into the data.
func TestValuesDoNotGrowIntoData(t *testing.T) {
	d := mustData(t, `{"a":1,"b":2}`)
	v, _, _ := d.Get("a")
	_ = append(v, "XXX"...)
	for _, v := range d.Members() {
		_ = append(v, "XXX"...)
	}
	if string(d) != `{"a":1,"b":2}` {
		t.Errorf("the data became %s", d)
	}
}

// dataNames are the names in random documents and keys: those with a meaning to
// JSON Pointer, to JSON, or to neither.
var dataNames = []string{"a", "b", "", "0", "1", "-", "a/b", "m~n", "~1", "é", "q\"\\\n", "😀"}

// randomJSON returns a text of random shape, whitespace, escapes and numbers.
func randomJSON(rng *rand.Rand, depth int) string {
	space := func() string { return []string{"", "", " ", "\n\t"}[rng.IntN(4)] }
	kind := rng.IntN(8)
	if depth == 0 {
		kind += 2
	}
	var list []string
	switch kind {
	case 0:
		for range rng.IntN(5) {
			list = append(list, space()+randomJSON(rng, depth-1)+space())
		}
		return "[" + strings.Join(list, ",") + "]"
	case 1:
		return randomObject(rng, depth)
	case 2:
		return []string{"0", "-0", "0.10", "1e400", "9007199254740993", "-1.5E+3"}[rng.IntN(6)]
	case 3:
		return []string{"null", "true", "false"}[rng.IntN(3)]
	}
	return randomString(rng, dataNames[rng.IntN(len(dataNames))]+`]},:"[{`)
}

func randomObject(rng *rand.Rand, depth int) string {
	var list []string
	for _, i := range rng.Perm(len(dataNames))[:rng.IntN(6)] {
		list = append(list, " "+randomString(rng, dataNames[i])+" : "+randomJSON(rng, depth-1))
	}
	return "{" + strings.Join(list, " ,") + "}"
}

// randomString quotes text and escapes all characters of it, or only those that need it.
func randomString(rng *rand.Rand, text string) string {
	quoted, _ := json.Marshal(text)
	if rng.IntN(3) > 0 {
		return string(quoted)
	}
	var b strings.Builder
	for _, r := range text {
		if r > 0xffff {
			b.WriteRune(r)
			continue
		}
		fmt.Fprintf(&b, `\u%04x`, r)
	}
	return `"` + b.String() + `"`
}

// randomKey returns a key that often leads to something in tree, and its steps.
func randomKey(rng *rand.Rand, tree any) (string, []string) {
	var steps []string
	for len(steps) == 0 || rng.IntN(3) > 0 {
		step := dataNames[rng.IntN(len(dataNames))]
		switch at := tree.(type) {
		case map[string]any:
			if names := slices.Sorted(maps.Keys(at)); len(names) > 0 && rng.IntN(5) > 0 {
				step = names[rng.IntN(len(names))]
			}
		case []any:
			if rng.IntN(3) > 0 {
				step = strconv.Itoa(rng.IntN(len(at) + 1))
			}
		}
		steps = append(steps, step)
		tree, _ = oracleGet(tree, []string{step})
	}
	if len(steps) == 1 && !strings.HasPrefix(steps[0], "/") && rng.IntN(2) == 0 {
		return steps[0], steps
	}
	return oraclePointer(steps), steps
}

func oraclePointer(steps []string) string {
	var b strings.Builder
	for _, step := range steps {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(step))
	}
	return b.String()
}

// oracleTree decodes text by encoding/json, numbers as text.
func oracleTree(t testing.TB, text []byte) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		t.Fatalf("encoding/json on %q: %v", text, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		t.Fatalf("encoding/json on %q: no end after the value: %v", text, err)
	}
	return tree
}

func oracleIndex(list []any, step string) (int, bool) {
	for i := range list {
		if fmt.Sprint(i) == step {
			return i, true
		}
	}
	return 0, false
}

func oracleGet(tree any, steps []string) (any, bool) {
	if len(steps) == 0 {
		return tree, true
	}
	switch at := tree.(type) {
	case map[string]any:
		if next, ok := at[steps[0]]; ok {
			return oracleGet(next, steps[1:])
		}
	case []any:
		if i, ok := oracleIndex(at, steps[0]); ok {
			return oracleGet(at[i], steps[1:])
		}
	}
	return nil, false
}

// oracleNew is what a missing parent becomes before step.
func oracleNew(step string) any {
	if step == "-" {
		return []any{}
	}
	return map[string]any{}
}

// oracleSet sets v in tree, which it may change.
func oracleSet(tree any, steps []string, v any) (_ any, ok bool) {
	if len(steps) == 0 {
		return v, true
	}
	switch at := tree.(type) {
	case map[string]any:
		next, there := at[steps[0]]
		if !there && len(steps) > 1 {
			next = oracleNew(steps[1])
		}
		at[steps[0]], ok = oracleSet(next, steps[1:], v)
		return at, ok
	case []any:
		if steps[0] == "-" || steps[0] == fmt.Sprint(len(at)) {
			var next any
			if len(steps) > 1 {
				next = oracleNew(steps[1])
			}
			next, ok := oracleSet(next, steps[1:], v)
			return append(at, next), ok
		}
		if i, there := oracleIndex(at, steps[0]); there {
			at[i], ok = oracleSet(at[i], steps[1:], v)
			return at, ok
		}
	}
	return tree, false
}

// oracleUnset removes the last of steps, which lead to something, from tree.
func oracleUnset(tree any, steps []string) any {
	switch at := tree.(type) {
	case map[string]any:
		if len(steps) == 1 {
			delete(at, steps[0])
			break
		}
		at[steps[0]] = oracleUnset(at[steps[0]], steps[1:])
	case []any:
		i, _ := oracleIndex(at, steps[0])
		if len(steps) == 1 {
			return slices.Delete(at, i, i+1)
		}
		at[i] = oracleUnset(at[i], steps[1:])
	}
	return tree
}

// checkEdits does to d at key, and to a tree of it, the same, and compares.
func checkEdits(t *testing.T, d Data, key string, steps []string, v Value) {
	t.Helper()
	before := string(d)
	compare := func(what string, got []byte, want any) {
		t.Helper()
		parsed, err := ParseValue(got)
		if err != nil {
			t.Fatalf("%s of %q in %s gave %s: %v", what, key, d, got, err)
		}
		if string(parsed) != string(got) {
			t.Fatalf("%s of %q in %s gave %s, not compact", what, key, d, got)
		}
		if diff := cmp.Diff(want, oracleTree(t, got)); diff != "" {
			t.Fatalf("%s of %q in %s gave %s\n%s", what, key, d, got, diff)
		}
	}

	want, there := oracleGet(oracleTree(t, d), steps)
	got, ok, err := d.Get(key)
	if err != nil || ok != there {
		t.Fatalf("Get(%q) in %s = %s, %v, %v; want %v, %v", key, d, got, ok, err, want, there)
	}
	if ok {
		compare("Get", got, want)
	}

	unset, removed, err := d.Unset(key)
	if err != nil || removed != there {
		t.Fatalf("Unset(%q) in %s = %s, %v, %v; want %v", key, d, unset, removed, err, there)
	}
	want = oracleTree(t, d)
	if there {
		want = oracleUnset(want, steps)
	}
	compare("Unset", unset, want)

	want, possible := oracleSet(oracleTree(t, d), steps, oracleTree(t, v))
	set, err := d.Set(key, v)
	if (err == nil) != possible {
		t.Fatalf("Set(%q) in %s = %s, %v; want success %v", key, d, set, err, possible)
	}
	if possible {
		compare("Set", set, want)
		if got, ok, _ := set.Get(key); there && (!ok || string(got) != string(v)) {
			t.Fatalf("Set(%q, %s) in %s, then Get = %s, %v", key, v, d, got, ok)
		}
	} else if !errors.Is(err, ErrBadStep) {
		t.Fatalf("Set(%q) in %s: %v; want ErrBadStep", key, d, err)
	}
	if string(d) != before {
		t.Fatalf("an edit at %q changed its data from %s to %s", key, before, d)
	}
}

func TestEditsRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	gets, sets := 0, 0
	for range 5000 {
		d := mustData(t, randomObject(rng, 4))
		key, steps := randomKey(rng, oracleTree(t, d))
		v := mustValue(t, randomJSON(rng, 2))
		checkEdits(t, d, key, steps, v)
		if _, ok, _ := d.Get(key); ok {
			gets++
		}
		if _, err := d.Set(key, v); err == nil {
			sets++
		}
	}
	if gets < 500 || sets < 500 || sets > 4500 {
		t.Errorf("%d keys there, %d settable: too few of a kind to prove much", gets, sets)
	}
}

func FuzzParseData(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` {"a" : [1e400, 0.10, -0] , "b":{"c":{"d":1,"d":2}}} `, `{"a":1,"\u0061":2}`, `{"a":"\ud800"}`,
		`{"a":"\ud83d\ude00\\u\""}`, "{\"\xff\":1}", `[1]`, `"s"`, `tru`, `{}{}`, nested(513), `{"a":/**/1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		before := string(text)
		v, err := ParseValue(text)
		if want := oracle.StrictJSON(text, MaxDepth); (err == nil) != want {
			t.Fatalf("ParseValue(%q) = %q, %v; want success %v", text, v, err, want)
		}
		d, dataErr := ParseData(text)
		if want := err == nil && v[0] == '{'; (dataErr == nil) != want {
			t.Fatalf("ParseData(%q) = %q, %v; want success %v", text, d, dataErr, want)
		}
		if string(text) != before {
			t.Fatalf("parsing changed %q to %q", before, text)
		}
		if err != nil {
			if !errors.Is(err, ErrBadJSON) || !errors.Is(dataErr, ErrBadJSON) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("ParseValue(%q): %q, %q", text, err, dataErr)
			}
			return
		}
		var want bytes.Buffer
		if err := json.Compact(&want, text); err != nil || want.String() != string(v) {
			t.Fatalf("ParseValue(%q) = %q; json.Compact gives %q, %v", text, v, &want, err)
		}
		if dataErr != nil {
			return
		}
		got := map[string]any{}
		for name, v := range d.Members() {
			got[name] = oracleTree(t, v)
		}
		if diff := cmp.Diff(oracleTree(t, text), any(got)); diff != "" {
			t.Fatalf("Members of %q: %s", text, diff)
		}
	})
}

func FuzzEdit(f *testing.F) {
	for _, key := range []string{"a", "", "/", "/a/b", "/l/0", "/l/-", "/l/-/x", "/l/01", "/l/2", "/new/-/-/x/-", "/m~0n/~1", "/~2", "/é"} {
		f.Add([]byte(`{"a":{"b":null},"l":[1,{"x":2}],"m~n":{},"\u00e9":"\"}"}`), key, []byte(`{"v":[0.10]}`))
	}
	f.Add([]byte(`{"a":[{"b":"`), "/a/0/b", []byte(`]`))
	f.Add([]byte(`{"a":x,"b"1}`), "a", []byte(`{"a":}`))
	f.Add([]byte(`{"a"""""`), "a", []byte(`[0`)) // a patch that is no object
	f.Fuzz(func(t *testing.T, text []byte, key string, value []byte) {
		// For a text that is not data, the only promise is to return.
		for _, raw := range []Data{text, nil} {
			raw.Get(key)
			raw.Set(key, value)
			raw.Unset(key)
			raw.Merge(value)
			Data(value).Merge(raw)
			raw.Add(key, "1")
			raw.Append(key, value)
			for name := range raw.Members() {
				raw.Get(name)
			}
			Value(raw).Text()
		}

		d, err := ParseData(text)
		if err != nil {
			return
		}
		v, err := ParseValue(value)
		if err != nil {
			return
		}
		steps := []string{key}
		if pointer, ok := strings.CutPrefix(key, "/"); ok {
			steps = strings.Split(pointer, "/")
			for i, step := range steps {
				steps[i] = strings.NewReplacer("~0", "~", "~1", "/").Replace(step)
			}
			if oraclePointer(steps) != key { // a ~ with nothing to escape
				if _, err := d.Set(key, v); !errors.Is(err, ErrBadKey) {
					t.Fatalf("Set(%q): %v; want ErrBadKey", key, err)
				}
				return
			}
		}
		if set, err := d.Set(key, v); errors.Is(err, ErrBadKey) {
			if utf8.ValidString(key) {
				t.Fatalf("Set(%q) = %s, %v", key, set, err)
			}
			return
		}
		if !utf8.ValidString(key) || len(steps) > 100 || strings.Count(string(v), "[")+strings.Count(string(v), "{") > 100 {
			return // a bad step before the bad name, or a matter of MaxDepth, which TestMaxDepth has
		}
		checkEdits(t, d, key, steps, v)
	})
}

// bigData returns data of about size bytes: members k0, k1, ..., in that order.
func bigData(tb testing.TB, size int) (d Data, last string) {
	var b strings.Builder
	b.WriteString(`{"k0":0`)
	for i := 1; b.Len() < size-2; i++ {
		last = "k" + strconv.Itoa(i)
		fmt.Fprintf(&b, `,%q:{"name":"a \"quoted\" name","list":[1,2.50,true,null]}`, last)
	}
	b.WriteString("}")
	return mustData(tb, b.String()), last
}

func TestGetAllocatesNothingPerMember(t *testing.T) {
	allocs := func(size int) float64 {
		d, last := bigData(t, size)
		return testing.AllocsPerRun(10, func() {
			if _, ok, _ := d.Get(last); !ok {
				t.Fatalf("%s is absent", last)
			}
		})
	}
	if small, large := allocs(1<<10), allocs(1<<20); small != large {
		t.Errorf("Get allocates %v times in 1 KB, %v times in 1 MB", small, large)
	}
}

func BenchmarkData(b *testing.B) {
	for name, size := range map[string]int{"1KB": 1 << 10, "1MB": 1 << 20} {
		d, last := bigData(b, size)
		run := func(what string, call func()) {
			b.Run(what+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(d)))
				for b.Loop() {
					call()
				}
			})
		}
		run("Get", func() { d.Get(last) })
		run("GetNested", func() { d.Get("/" + last + "/list/3") })
		run("Set", func() { d.Set("/"+last+"/list/-", Value("1")) })
		run("Add", func() { d.Add("k0", "1") })
		run("Merge", func() { d.Merge(d) })
		run("Parse", func() { ParseData(d) })
	}
}
