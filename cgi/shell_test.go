package cgi_test

import (
	"strings"
	"testing"

	"cgisession/cgi"
)

func TestQuote(t *testing.T) {
	for text, want := range map[string]string{
		"":              `''`,
		"plain":         `'plain'`,
		"it's":          `'it'"'"'s'`,
		"''":            `''"'"''"'"''`,
		"能":             `'能'`,
		"能0":            `'能''0'`,
		"能'":            `'能'"'"''`,
		"é\\è;":         `'é''\è'';'`,
		"\xbd\x000":     "'\xbd''0'",
		"\xe8\x00\x83":  "'\xe8\x83'",
		"\x83\\';id;#":  "'\x83''\\'\"'\"';id;#'",
		"\x7f\x80\x7f":  "'\x7f\x80''\x7f'",
		"two\nlines \\": "'two\nlines \\'",
	} {
		if got := cgi.Quote(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// Behind each run of bytes over 7F there is a quote, and none before it in the
// word has another meaning. cgi/shells has the shells read it.
func FuzzQuote(f *testing.F) {
	for _, seed := range []string{"能0", "it's", "\x83\\'", "\xbd\x000", "'\xff'\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		word := cgi.Quote(text)
		for i := range len(word) - 1 {
			if word[i] >= 0x80 && word[i+1] < 0x80 && word[i+1] != '\'' {
				t.Fatalf("%q: %q: byte %d runs into the next", text, word, i)
			}
		}
		read, quote := "", byte(0)
		for _, c := range []byte(word) {
			switch {
			case c == quote:
				quote = 0
			case quote != 0:
				read += string([]byte{c})
			case c == '\'' || c == '"':
				quote = c
			default:
				t.Fatalf("%q: %q: %q stands outside of quotes", text, word, c)
			}
		}
		if want := strings.ReplaceAll(text, "\x00", ""); read != want || quote != 0 {
			t.Errorf("%q: %q is read as %q", text, word, read)
		}
	})
}

func TestIsShellName(t *testing.T) {
	for _, name := range []string{"a", "Z", "_", "__", "name", "NAME_2", "_1", "a0", "z9Z", strings.Repeat("a", 1000)} {
		if !cgi.IsShellName(name) {
			t.Errorf("%q is refused", name)
		}
	}
	for _, name := range []string{"", "1", "9a", "-", "a-b", "a b", " a", "a ", "a\n", "\na", "a=", "a=b", "a.b", "a[0]", "a\x00", "$a", "a;b", "`a`", "é", "aé", "\xff", "a\xff", "@", "`", "[", "{", "/", ":", "ａ"} {
		if cgi.IsShellName(name) {
			t.Errorf("%q is allowed", name)
		}
	}
	for c := range 256 { // each byte, first and later, by the words of XBD 3.216
		text := string([]byte{byte(c)})
		letter := strings.Contains("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_", text)
		digit := strings.Contains("0123456789", text)
		if cgi.IsShellName(text) != letter || cgi.IsShellName("x"+text) != (letter || digit) || cgi.IsShellName("x"+text+"y") != (letter || digit) {
			t.Errorf("byte %#x", c)
		}
	}
}

// Letter case counts, and a reserved name inside of another one does not.
func TestIsReserved(t *testing.T) {
	for _, name := range strings.Fields(`name user email count cart id n visits title User_Name x_PATH last_login items total page lang theme error message
		csrf role step seats date login password file dir key value keys data index list size type color state result reply NAME COUNT APP_id App_PATH`) {
		if cgi.IsReserved(name) {
			t.Errorf("%s is refused", name)
		}
	}
	for _, name := range strings.Fields(`PATH _ IFS USER_ID LINES COLUMNS PGRP KSHUID KSHGID KSHEGID path argv status options COMMAND_NOT_FOUND_HANDLER YASH_AFTER_CD
		BASH_ENV NULLCMD LD_PRELOAD GIT_SSH_COMMAND NODE_OPTIONS HTTP_COOKIE QUERY_STRING CGISESSION_ID ignoreeof PERIOD MENUSCROLL
		DBI_PROFILE LIBMYSQL_PLUGIN_DIR PSQL_PAGER SYSTEM_WGETRC WGETRC MANPAGER PGPASSFILE ws_proxy`) {
		if !cgi.IsReserved(name) {
			t.Errorf("%s is allowed", name)
		}
	}
}

func TestIsReservedPrefix(t *testing.T) {
	for _, prefix := range []string{"APP_", "app_", "S_", "SESSION_", "WEB_", "MY_", "Cart_", "X_"} {
		if cgi.IsReservedPrefix(prefix) {
			t.Errorf("%s is refused", prefix)
		}
	}
	// The beginning of one name that is reserved, such as _JAVA_OPTIONS, is enough.
	for _, prefix := range []string{"NODE_", "GIT_", "R_", "GCONV_", "GLIBC_", "LD_", "PERL5_", "PYTHON_", "RUBY_", "LC_", "SSL_", "CGISESSION_", "HTTP_", "http_",
		"DOCKER_", "JAVA_", "_JAVA_", "_", "__", "XDG_", "REMOTE_", "SERVER_", "USER_", "PATH_", "npm_", "NPM_CONFIG_", "GIT_CONFIG_", "BASH_FUNC_", "no_", "MAIL_",
		"DBI_", "LIBMYSQL_", "PSQL_", "SYSTEM_", "RIPGREP_", "BC_", "APT_", "MAVEN_", "GUNICORN_", "ALSA_", "VK_", "openout_", "shell_", "smtp_"} {
		if !cgi.IsReservedPrefix(prefix) {
			t.Errorf("%s is allowed", prefix)
		}
	}
}
