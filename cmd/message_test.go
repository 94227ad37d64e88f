package cmd_test

import (
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
	"cgisession/store"
)

// misplaced are texts that open a session or a server, and that a script may give in
// the wrong place.
var misplaced = []string{
	cmdtest.Visitor, signed(cmdtest.Visitor), "customer-000000042",
	"Zk3_pQ9xVb7-Lm2RtY8wUc5NdJ1hGf6SeAoIzKx4TqBvPn0MyWlCrXjDgHuEiFsO", // as csrf prints it
	"mW3qT9vXb1_Zk7pLr5YcN8dJ2hGf6SeAoIu4KxPn0My",                      // as secret prints it
	"correct-horse battery+staple", "p\xc3\xa4ss\"word\\with\tall=kinds",
}

// A message never repeats what may be an id, a token or a password, in whatever
// place of whichever verb it was given.
func TestMessagesHideSecrets(t *testing.T) {
	r := in(t.TempDir())
	for _, secret := range misplaced { // so that it can be found, and is wrong
		must(t, os.Mkdir(r.Dir+"/"+secret, 0o777))
		must(t, os.Chmod(r.Dir+"/"+secret, 0o777))
	}
	var calls [][]string // each with %s for the secret
	seen := make(map[string]int)
	for _, verb := range verbNames(t, r) {
		flags := slices.DeleteFunc(flagNames(t, r, verb), func(flag string) bool {
			seen[flag]++
			return seen[flag] > cmdtest.Full(2, 8) // most verbs share them
		})
		calls = append(calls, misuses(verb, flags)...)
	}
	calls = append(calls, []string{"%s"}, []string{"-%s"}, []string{"--%s=1"}, []string{"%s", "--timeout"})
	if len(calls) < 600 {
		t.Fatalf("%d calls", len(calls))
	}
	const workers = 4
	refused := make([]int, workers)
	cmdtest.AtOnce(workers, func(worker int) {
		for i := worker; i < len(calls); i += workers {
			for j := range cmdtest.Full(1, 2) {
				if misuse(t, r, calls[i], misplaced[(i+j)%len(misplaced)]) {
					refused[worker]++
				}
			}
		}
	})
	if n := refused[0] + refused[1] + refused[2] + refused[3]; n < 300 {
		t.Errorf("only %d calls were refused", n)
	}
}

// misuses returns calls of the verb with %s in place of an argument.
func misuses(verb string, flags []string) [][]string {
	calls := [][]string{
		{verb, "%s"}, {verb, "--", "%s"}, {verb, "a", "%s"}, {verb, "%s", "a"}, {verb, "-%s"}, {verb, "--%s"}, {verb, "--%s=x"}, {verb, "---%s"},
		{verb, "%s=x"}, {verb, "%s:=x"}, {verb, "a:=%s"}, {verb, "a=1", "b@=%s"}, {verb, "b:@=%s"}, {verb, "a", "{%s"}, {verb, "--sh", "%s"},
		{verb, "--text", "%s"}, {verb, "--text", "a", "%s\xff"}, {verb, "--fd", "9", "%s"}, {verb, "--timeout", "1h", "--data-dir=%s"},
		{"%s", verb}, {"--%s", verb}, {"--sh=%s", verb}, {"--timeout=%s", verb},
	}
	for _, flag := range flags {
		calls = append(calls, []string{verb, "--" + flag, "%s"}, []string{verb, "-" + flag + "=%s"}, []string{verb, "a", "--" + flag + "=%s", "--data-dir"},
			[]string{"--" + flag, "%s", verb}, []string{"CGISESSION_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_")) + "=%s", verb, "a"})
	}
	return calls
}

// misuse makes the call, and reports whether it was refused.
func misuse(t *testing.T, r request, call []string, secret string) bool {
	t.Helper()
	var args []string
	for _, arg := range call {
		args = append(args, strings.ReplaceAll(arg, "%s", secret))
	}
	r.Env = []string{"CGISESSION_DATA_DIR=sessions", "HTTP_COOKIE=cgisession_id=nobodynobodynobodynobodynobody23"}
	if strings.HasPrefix(args[0], "CGISESSION_") {
		r.Env, args = append(r.Env, args[0]), args[1:]
	}
	got := r.Call(t, args...)
	said := got.Stderr
	if got.Code != 0 || slices.Contains(args, "doctor") {
		said += got.Stdout
	}
	const telling = 8 // bytes in a row
	for i := range len(secret) - telling + 1 {
		if part := secret[i : i+telling]; strings.Contains(said, part) && !strings.Contains("customer-battery", part) {
			t.Errorf("%q: exit code %d, and in the message is a part of what may be a secret: %q", call, got.Code, said)
			break
		}
	}
	return got.Code == 64
}

// verbNames returns the verbs, as the help lists them.
func verbNames(t *testing.T, r request) []string {
	t.Helper()
	_, list, _ := strings.Cut(r.Call(t, "--help").Stdout, "COMMANDS:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	var names []string
	for _, found := range regexp.MustCompile(`(?m)^   ([a-z-]+) `).FindAllStringSubmatch(list, -1) {
		names = append(names, found[1])
	}
	if len(names) < 20 {
		t.Fatalf("verbs: %q", names)
	}
	return names
}

// flagNames returns the verb's flags, as its help lists them.
func flagNames(t *testing.T, r request, verb string) []string {
	t.Helper()
	var names []string
	for _, found := range regexp.MustCompile(`(?m)^   --([a-z-]+)`).FindAllStringSubmatch(r.Call(t, verb, "--help").Stdout, -1) {
		names = append(names, found[1])
	}
	if len(names) < 5 && !slices.Contains([]string{"secret", "completion", "help", "version"}, verb) {
		t.Fatalf("flags of %s: %q", verb, names)
	}
	return names
}

// Nor where that looks like a path or a handle, or is shown as the path that it would
// be.
func TestMessagesHideSecretsInPaths(t *testing.T) {
	key := strings.Repeat("0123456789abcdef", 4) // as openssl rand -hex 32 prints it
	r := in(t.TempDir())
	for _, tt := range []struct {
		secret string
		args   []string
	}{
		{cmdtest.Visitor, []string{"/" + cmdtest.Visitor}},
		{cmdtest.Visitor, []string{"set", "a=1", "/users/~/" + cmdtest.Visitor + "=1"}},
		{cmdtest.Visitor, []string{"regenerate", "--grace", "/" + cmdtest.Visitor}},
		{cmdtest.Visitor, []string{"get", "--cookie-name", "/" + signed(cmdtest.Visitor), "a"}},
		{cmdtest.Visitor, []string{"get", "--cookie-domain=/sid/" + cmdtest.Visitor + "?x", "a"}},
		{cmdtest.Visitor, []string{"doctor", "--data-dir", cmdtest.Visitor + "/"}},
		{"correct-horse-battery", []string{"doctor", "--data-dir", "correct-horse-battery//a"}},
		{key, []string{"load", "--secret-file", key}},
		{key, []string{"load", "--secret-file=" + key}},
		{key, []string{"CGISESSION_SECRET_FILE=" + key, "load"}},
		{key, []string{key}},
		{key, []string{"load", "--timeout", key}},
	} {
		env, args := r, tt.args
		if strings.HasPrefix(args[0], "CGISESSION_") {
			env.Env, args = args[:1], args[1:]
		}
		got := env.Call(t, args...)
		said := got.Stderr + got.Stdout
		if said == "" || strings.Contains(said, tt.secret[:store.MinID]) {
			t.Errorf("%q: %+v", tt.args, got)
		}
	}
}

// What an operator named is still told: a path, a short word, a handle, a flag.
func TestMessagesNamePaths(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o777))
	r := in(dir)
	long := strings.Repeat("d", 30)
	must(t, os.Mkdir(dir+"/"+long, 0o777))
	must(t, os.Chmod(dir+"/"+long, 0o777))
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"set", "a=1", "--data-dir", dir + "/" + long}, "data directory " + dir + "/" + long + ": unsafe"},
		{[]string{"load", "--secret-file", "./" + long}, "key file ./" + long + ": not a regular file"},
		{[]string{"load", "--secret-file", "nowhere"}, "key file nowhere: no such file"},
		{[]string{"set", "cart:=x"}, `key "cart": bad JSON`},
		{[]string{"get", "--frob"}, "--frob"},
		{[]string{"get", "--invalidate-corrupt", "--cookie-partitioned"}, "--cookie-partitioned needs --cookie-secure always"},
		{[]string{"load", "--cookie-domain", "shop.long-company.example:80"}, "shop.long-company.example:80"},
		{[]string{"destroy", handle("cgisession_id", cmdtest.Visitor)}, "no session " + handle("cgisession_id", cmdtest.Visitor)},
		{[]string{"load", "--sh", "COMMAND=/x", "CGISESSION_LOCK_TOKEN"}, "variable CGISESSION_LOCK_TOKEN means"},
	} {
		if got := r.Call(t, tt.args...); got.Code == 0 || !strings.Contains(got.Stderr, tt.want) {
			t.Errorf("%q: %+v; want %q", tt.args, got, tt.want)
		}
	}
}

// A message about JSON says what is wrong and where, and holds no byte of it: all
// messages there are, whatever the text, are a few.
func TestMessagesHideValues(t *testing.T) {
	const doc = `{"Ωmega":["\u03a9Ξ\ud835\udd18",-12.5e+7,{"λ":true,"ψ":null}],"π":{"σ":"\"\\\/"}}`
	r := begin(t, `{"Ω":"ΞΞΞΞΞΞΞΞ","n":1}`)
	kinds := make(map[string]bool)
	number := regexp.MustCompile(`\d+`)
	check := func(args ...string) {
		got := r.Call(t, args...)
		if got.Code == 0 {
			return
		}
		_, kind, _ := strings.Cut(got.Stderr, "bad JSON")
		kind = strings.Replace(kind, "; for a string write --default-text TEXT", "", 1)
		kinds[number.ReplaceAllString(kind, "N")] = true
		for _, c := range got.Stderr {
			if c > 0x7f || strings.Contains(got.Stderr, `\`) || strings.Contains(got.Stderr, "omega") {
				t.Errorf("%q: the message holds bytes of the value: %q", args, got.Stderr)
				return
			}
		}
	}
	bad := []string{"", "\xff", "\x01", "\x1b", "Ω", `\x`, `\ud800`, `\udc00`, `\ud800\u0041`, `"`, "'", "`", "}", ",", "]", "1", "t", `"λ":1,`}
	random := rand.New(rand.NewPCG(12, 18))
	for range cmdtest.Full(300, 1200) {
		at := random.IntN(len(doc))
		text := doc[:at] + bad[random.IntN(len(bad))] + doc[min(len(doc), at+random.IntN(3)):]
		switch random.IntN(4) {
		case 0:
			check("set", "a:="+text)
		case 1:
			check("append", "list", "--", text)
		case 2:
			check("get", "--default", text, "none")
		case 3:
			check("edit", "printf", "%s", text)
		}
	}
	for _, text := range bad {
		check("set", "a="+text)
		check("incr", "n", "--by", text+"Ω")
		check("set", "--text", "Ω"+text, "Ω"+text)
	}
	if len(kinds) < 8 || len(kinds) > 20 {
		t.Errorf("%d kinds of messages: %v", len(kinds), kinds)
	}
	for _, text := range []string{`{"a":"\ud800"}`, `{"a":"\ud800\u0041"}`, "{\"a\":\"Ω\x01\"}", `{"Ω":1,"Ω":2}`} {
		if got := r.Give(t, text, "save"); got.Code != 65 || strings.ContainsAny(got.Stderr, "Ω\\") {
			t.Errorf("save of %q: %+v", text, got)
		}
	}
}
