package store

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// RFC 7396, appendix A, each pair as a member, since data and patch are objects
// here; a member that the appendix replaces by null is removed.
func TestMergeRFC7396(t *testing.T) {
	for _, tt := range []struct{ original, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, ``},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		want := `{}`
		if tt.want != "" {
			want = `{"v":` + tt.want + `}`
		}
		got := mustData(t, `{"v":`+tt.original+`}`).Merge(mustData(t, `{"v":`+tt.patch+`}`))
		if string(got) != want {
			t.Errorf("%s merged with %s = %s, want %s", tt.original, tt.patch, got, want)
		}
	}
}

func TestMergeKeepsText(t *testing.T) {
	d := mustData(t, `{"z":0.10,"\u0061":{"n":1e400,"x":1},"gone":1,"b":[1,2]}`)
	patch := mustData(t, `{"new\/":{"k":null,"l":[null]},"gone":null,"a":{"x":9007199254740993,"y":-0},"b":"s","never":null}`)
	want := `{"z":0.10,"\u0061":{"n":1e400,"x":9007199254740993,"y":-0},"b":"s","new\/":{"l":[null]}}`
	if got := d.Merge(patch); string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := d.Merge(Empty); string(got) != string(d) {
		t.Errorf("merged with {}: %s", got)
	}
}

func oracleMerge(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	at, ok := target.(map[string]any)
	if !ok {
		at = map[string]any{}
	}
	for name, change := range changes {
		if change == nil {
			delete(at, name)
		} else {
			at[name] = oracleMerge(at[name], change)
		}
	}
	return at
}

func TestMergeRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 3000 {
		d, patch := mustData(t, randomObject(rng, 4)), mustData(t, randomObject(rng, 4))
		got := d.Merge(patch)
		if parsed, err := ParseData(got); err != nil || string(parsed) != string(got) {
			t.Fatalf("%s merged with %s = %s: %v", d, patch, got, err)
		}
		want := oracleMerge(oracleTree(t, d), oracleTree(t, patch))
		if diff := cmp.Diff(want, oracleTree(t, got)); diff != "" {
			t.Fatalf("%s merged with %s = %s\n%s", d, patch, got, diff)
		}
	}
}
