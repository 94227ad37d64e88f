package cmd_test

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

// clientFlags returns every n-th of what a client may send in the hope that it
// is a flag: those of all kinds, in all spellings.
func clientFlags(n int) []string {
	all := []string{"--", "-", "-h", "--help", "--version", "-v", "---", "-1", "--=x", "--no-such-flag"}
	for _, flag := range []string{
		"adopt-id=" + nobody, "id=" + nobody, "id", "id-fd=0", "data-dir=canary", "data-dir", "log-file=canary", "secret-file=canary", "type=memory",
		"key=other", "cookie-name=other", "cookie-expires=false", "cookie-path=/x", "use-cookies=false", "timeout=1", "lifetime=1", "durable", "max-size=2",
		"no-lock", "raw", "nul", "sh", "json", "text", "text=false", "stdin", "default=1", "by=5", "user=root", "grace=1h", "check=x", "check-fd=0", "data",
		"env=X_", "lock", "fd=9", "repair", "except-current", "show-id", "expire", "if-version=0", "dry-run",
	} {
		all = append(all, "-"+flag, "--"+flag, "---"+flag)
	}
	var some []string
	for i := 0; i < len(all); i += n {
		some = append(some, all[i])
	}
	return some
}

// A word of a client stays a word, in the real program: it is stored and found, and
// nothing else happens, least of all to the session of another.
func TestClientWordsStayWords(t *testing.T) {
	for _, word := range clientFlags(cmdtest.Full(5, 2)) {
		r := begin(t, `{}`)
		if got := r.client("").Call(t, "set", "--adopt-id", nobody, "name=victim"); got.Code != 0 {
			t.Fatalf("no victim: %+v", got)
		}
		before, err := os.ReadFile(r.file(nobody))
		must(t, err)
		want := func(code int, stdout string, args ...string) {
			t.Helper()
			if got := r.Call(t, args...); got.Code != code || got.Stdout != stdout || (got.Stderr != "") != (code == 64 || code == 1 && args[0] == "destroy") {
				t.Errorf("%q: %+v; want exit code %d, %q", args, got, code, stdout)
			}
		}
		want(0, "", "set", "a="+word)
		want(0, "", "set", "--text", "--", word, word, "b", word)
		want(0, "", "set", "--text", "--", "c", word)
		want(0, "2\n", "append", "--text", "--", "list", word, word)
		want(0, "4\n", "append", "list", "--text", "--", word, word)
		want(0, word+"\n", "get", "--raw", "--", word)
		want(0, word+"\n", "get", "--raw", "--text", "--", word)
		want(0, word+"\n", "get", "--raw", "--default-text", word, "absent")
		wantData(t, r, map[string]any{"a": word, "b": word, "c": word, word: word, "list": []any{word, word, word, word}})
		want(0, word+"\n", "pop", "--raw", "--", word)
		want(0, "1\n", "incr", "--", word)
		want(0, "", "unset", "--", word, word)
		want(0, "1\n", "append", "--text", "--", word, word)
		want(0, `["`+word+`"]`+"\n", "pop", "--text", "--", word)
		want(0, "1\n", "incr", "--text", "--", word)
		want(0, "", "unset", "--text", "--", word)
		want(1, "", "csrf", "--check="+word)
		want(1, "", "csrf", "--check", word)
		want(64, "", "destroy", "--", word)
		want(64, "", "show", "--", word)
		want(0, word+"\n", "run", "printf", "%s\\n", word)
		want(0, word+"\n", "lock", "printf", "%s\\n", word)
		want(0, "", "edit", "sh", "-c", `[ "$1" = "$2" ] && echo "{}"`, "sh", word, word)
		want(0, "", "list", "--user="+word)
		want(0, "", "list", "--user", word)
		want(0, "", "destroy", "--user="+word)
		want(1, "", "destroy", "--user=ann", "--", word)
		want(1, "", "destroy", "--user="+word, "--", word)
		if got := r.client("").Call(t, "get", "--id="+word); got != (cmdtest.Ended{Code: 1}) {
			t.Errorf("--id=%s: %+v", word, got)
		}
		after, err := os.ReadFile(r.file(nobody))
		must(t, err)
		if string(after) != string(before) {
			t.Errorf("%q: the victim's session was changed", word)
		}
		if entries, err := os.ReadDir(r.Dir); err != nil || len(entries) != 1 {
			t.Errorf("%q: there is now %v, %v", word, entries, err)
		}
	}
}

// wantData wants the session to hold the data, as JSON has them.
func wantData(t *testing.T, r request, want map[string]any) {
	t.Helper()
	var data map[string]any
	got := r.Call(t, "get")
	if err := json.Unmarshal([]byte(got.Stdout), &data); err != nil || !reflect.DeepEqual(data, want) {
		t.Errorf("%+v: %v; want %q", got, err, want)
	}
}

// After --text keys are the client's, too: any text, byte for byte, in every verb.
func TestTextKeys(t *testing.T) {
	r := begin(t, `{"name":{"x":1}}`)
	keys := []string{
		"", "--", "/", "/~2", "a~1b", "/name/x", "/name", "~", "~1", "a=b", "a:", "a@", "a:=1", "@=/etc/passwd", "-", "/-",
		"é能\u202e", "\x01\x1f\x7f", `"\u0061`, strings.Repeat("k", 5000),
	}
	want := map[string]any{"name": map[string]any{"x": 1.0}}
	args := []string{"set", "--text", "--"}
	for i, key := range keys {
		args = append(args, key, "v"+keys[len(keys)-1-i])
		want[key] = "v" + keys[len(keys)-1-i]
	}
	if got := r.Call(t, args...); got != (cmdtest.Ended{}) {
		t.Fatalf("%+v", got)
	}
	wantData(t, r, want)
	for i, key := range keys {
		wantCall(t, r, "v"+keys[len(keys)-1-i]+"\n", "get", "--raw", "--text", "--", key)
		wantCall(t, r, "v"+keys[len(keys)-1-i]+"\n", "pop", "--raw", "--text", "--", key)
		wantCall(t, r, "1\n", "incr", "--text", "--", key)
		wantCall(t, r, "", "unset", "--text", "--", key)
		wantCall(t, r, "2\n", "append", "--text", "--", key, key, "--")
		want[key] = []any{key, "--"}
	}
	wantData(t, r, want)
	for _, key := range keys { // without the "--" too, one at a time
		wantCall(t, r, "", "unset", "--text", key)
		wantCall(t, r, "", "set", "--text", key, key)
		wantCall(t, r, key+"\n", "get", "--raw", "--text", key)
		wantCall(t, r, key+"\n", "pop", "--raw", "--text", key)
		wantCall(t, r, "1\n", "incr", "--text", key)
		wantCall(t, r, "", "unset", "--text", key)
		wantCall(t, r, "", "set", "--text", "--", key, "")
		wantCall(t, r, "", "unset", "--text", "--", key)
		wantCall(t, r, "2\n", "append", "--text", "--", key, key, "--")
	}
	wantCall(t, r, "1\n", "append", "list", "--text", "--")
	wantCall(t, r, `["--"]`+"\n", "pop", "list")
	wantData(t, r, want)
	got := r.Call(t, append([]string{"get", "--text", "--"}, keys...)...)
	delete(want, "name")
	var object map[string]any
	if err := json.Unmarshal([]byte(got.Stdout), &object); err != nil || !reflect.DeepEqual(object, want) {
		t.Errorf("get --text: %+v: %v; want %q", got, err, want)
	}
}

// wantCall wants a call to print stdout and nothing else.
func wantCall(t *testing.T, r request, stdout string, args ...string) {
	t.Helper()
	if got := r.Call(t, args...); got != (cmdtest.Ended{Stdout: stdout}) {
		t.Errorf("%q: %+v; want %q", args, got, stdout)
	}
}
