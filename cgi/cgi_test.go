package cgi_test

import (
	"reflect"
	"strings"
	"testing"

	"cgisession/cgi"
)

// lookup returns what os.LookupEnv would, of these variables.
func lookup(variables map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		text, ok := variables[name]
		return text, ok
	}
}

// Servers say "https" in many words: "on" (Apache, nginx, lighttpd), "ON" (IIS),
// "1", or the name of a cipher; and "off" or nothing for http.
func TestHTTPS(t *testing.T) {
	for https, want := range map[string]bool{
		"on": true, "ON": true, "On": true, "oN": true, "1": true, "yes": true, "YES": true, "true": true, "TRUE": true,
		"enabled": true, "443": true, "https": true, "TLSv1.3": true, "00": true, "offline": true, " ": true, "2": true,
		"": false, "off": false, "OFF": false, "Off": false, "oFF": false, "0": false,
		"no": false, "NO": false, "No": false, "nO": false, "false": false, "FALSE": false, "False": false, "fAlSe": false,
	} {
		for scheme, over := range map[string]bool{
			"https": true, "HTTPS": true, "Https": true, "hTTPs": true,
			"": false, "http": false, "HTTP": false, "https ": false, "httpss": false, "on": false, "1": false,
		} {
			env, err := cgi.Read(lookup(map[string]string{"HTTPS": https, "REQUEST_SCHEME": scheme}))
			if err != nil || env.HTTPS != (want || over) {
				t.Errorf("HTTPS=%q REQUEST_SCHEME=%q: %v, %v", https, scheme, env.HTTPS, err)
			}
		}
	}
	env, err := cgi.Read(lookup(map[string]string{"HTTP_HTTPS": "on", "HTTP_REQUEST_SCHEME": "https", "HTTP_X_FORWARDED_PROTO": "https", "SERVER_PORT": "443", "SERVER_PROTOCOL": "HTTPS/1.1"}))
	if err != nil || env.HTTPS {
		t.Errorf("https by what a client sends, or by no word for it: %v, %v", env.HTTPS, err)
	}
}

// What the environment says, and what is read of it.
func TestRead(t *testing.T) {
	for _, row := range []struct {
		name      string
		variables map[string]string
		want      cgi.Env
	}{
		{"nothing", map[string]string{}, cgi.Env{TempDir: "/tmp"}},
		{"a request", map[string]string{"HTTP_COOKIE": "a=1", "SERVER_NAME": "www.example.com", "SCRIPT_NAME": "/cgi-bin/page"},
			cgi.Env{Cookie: "a=1", ServerName: "www.example.com", ScriptName: "/cgi-bin/page", TempDir: "/tmp"}},
		{"bytes that a client may send", map[string]string{"HTTP_COOKIE": "\xff\n;=", "SERVER_NAME": "\x00", "SCRIPT_NAME": "//.."},
			cgi.Env{Cookie: "\xff\n;=", ServerName: "\x00", ScriptName: "//..", TempDir: "/tmp"}},
		{"directories", map[string]string{"TMPDIR": "/var/tmp", "XDG_RUNTIME_DIR": "/run/user/33"},
			cgi.Env{TempDir: "/var/tmp", RuntimeDir: "/run/user/33"}},
		{"empty variables", map[string]string{"TMPDIR": "", "CGISESSION_LOCK_FD": "", "CGISESSION_ENV": ""}, cgi.Env{TempDir: "/tmp"}},
		{"a lock", map[string]string{"CGISESSION_LOCK_FD": "9", "CGISESSION_LOCK_TOKEN": "t"}, cgi.Env{TempDir: "/tmp", LockFD: 9, LockToken: "t"}},
		{"an outer run --env", map[string]string{"CGISESSION_ENV": "APP_a APP_b  PATH 1x a=b LD_PRELOAD\tAPP_c"},
			cgi.Env{TempDir: "/tmp", DataVariables: []string{"APP_a", "APP_b", "APP_c"}}},
		{"a session", map[string]string{"CGISESSION_ID": "x", "CGISESSION_IS_NEW": "1", "CGISESSION_WAS_INVALIDATED": "1", "CGISESSION_MINTED": "1", "CGISESSION_ADOPTED": "1", "CGISESSION_ACCESSED": "1764000000"},
			cgi.Env{TempDir: "/tmp", Request: cgi.Request{Named: true, ID: "x", IsNew: true, WasInvalidated: true, Minted: true, Adopted: true, Accessed: 1764000000}}},
		{"a session with empty companions", map[string]string{"CGISESSION_ID": "x", "CGISESSION_IS_NEW": "", "CGISESSION_ACCESSED": ""},
			cgi.Env{TempDir: "/tmp", Request: cgi.Request{Named: true, ID: "x"}}},
		{"after a log-out", map[string]string{"CGISESSION_ID": "", "CGISESSION_WAS_INVALIDATED": "1"},
			cgi.Env{TempDir: "/tmp", Request: cgi.Request{Named: true, WasInvalidated: true}}},
		{"companions without an id", map[string]string{"CGISESSION_IS_NEW": "yes", "CGISESSION_ACCESSED": "x"}, cgi.Env{TempDir: "/tmp"}},
		{"what a client names", map[string]string{"HTTP_TMPDIR": "/x", "HTTP_CGISESSION_ID": "x", "HTTP_CGISESSION_LOCK_FD": "7", "HTTP_SERVER_NAME": "x"}, cgi.Env{TempDir: "/tmp"}},
	} {
		got, err := cgi.Read(lookup(row.variables))
		if len(got.DataVariables) == 0 {
			got.DataVariables = nil
		}
		if err != nil || !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: %+v, %v; want %+v", row.name, got, err, row.want)
		}
	}
}

// A variable of this program that no call exports so is an error, which names the
// variable and does not repeat its value.
func TestReadRefuses(t *testing.T) {
	bad := map[string][]string{
		"CGISESSION_LOCK_FD":         {"0", "1", "2", "-3", "03x", "x-secret", "3.0", " 3", "0x9", "2147483648", "4294967299", "99999999999999999999"},
		"CGISESSION_IS_NEW":          {"0", "true", "x-secret", " ", "11"},
		"CGISESSION_WAS_INVALIDATED": {"0", "x-secret", "1 "},
		"CGISESSION_MINTED":          {"false", "x-secret", "\n"},
		"CGISESSION_ADOPTED":         {"yes", "x-secret", "2"},
		"CGISESSION_ACCESSED":        {"x-secret", "1.5", "9223372036854775808", "0x1"},
	}
	for name, texts := range bad {
		for _, text := range texts {
			_, err := cgi.Read(lookup(map[string]string{"CGISESSION_ID": "an-id-of-the-script", name: text}))
			if err == nil || !strings.HasPrefix(err.Error(), name+" must be ") || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s=%q: %v", name, text, err)
			}
		}
	}
}

func TestParseFD(t *testing.T) {
	for text, want := range map[string]int{"3": 3, "9": 9, "255": 255, "0010": 10, "+4": 4, "2147483647": 1<<31 - 1} {
		if fd, err := cgi.ParseFD(text); fd != want || err != nil {
			t.Errorf("%q: %d, %v", text, fd, err)
		}
	}
	for _, text := range []string{"", "0", "1", "2", "-1", "x", "3 ", "1e1", "2147483648", "4294967296", "4294967299", "18446744073709551619"} {
		if fd, err := cgi.ParseFD(text); fd != 0 || err == nil {
			t.Errorf("%q: %d, %v", text, fd, err)
		}
	}
}
