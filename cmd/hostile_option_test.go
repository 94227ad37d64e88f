package cmd_test

import (
	"strings"
)

const (
	badTime     = `is not one: write seconds \("1800"\) or units \("30m", "7d", "1d12h"\), from 0 to 106751d`
	badBoolean  = `must be true or false`
	badSameSite = `--cookie-same-site "[^"]*" is not lax, strict or none`
	badExpires  = `--cookie-expires "[^"]*" is not true, false, a time above zero .*`
	badPath     = ` holds a character that browsers send in another form: write it percent-encoded, as URLs have it`
	badDomain   = ` is no host name: use labels of letters, digits, '-' and '_' \("example.com"\), or leave it out`
	badName     = ` holds a character that none may: use letters, digits, '-' and '_' in --cookie-name`
	badSize     = `must be bytes from 2 to 1073741824`
)

// optionRows have flags that are wrong, and flags whose text would break out
// of the header line. The option is named, and nothing is done.
func optionRows() []row {
	var rows []row
	for _, bad := range []struct{ name, flag, value, message string }{
		{"negative time", "timeout", "-5", `duration "-5" ` + badTime},
		{"time with a sign", "timeout", "+5", `duration "\+5" ` + badTime},
		{"unit that is none", "timeout", "1x", `duration "1x" ` + badTime},
		{"weeks", "timeout", "1w", `duration "1w" ` + badTime},
		{"no time", "timeout", "", `duration "" ` + badTime},
		{"blank before a time", "timeout", " 5", `duration " 5" ` + badTime},
		{"LF after a time", "timeout", "5\n", `duration "5\\n" ` + badTime},
		{"time in words", "timeout", "never", `duration "never" ` + badTime},
		{"NaN time", "timeout", "NaN", `duration "NaN" ` + badTime},
		{"infinite time", "lifetime", "Inf", `duration "Inf" ` + badTime},
		{"time with an exponent", "lifetime", "1e9", `duration "1e9" ` + badTime},
		{"hex time", "lifetime", "0x10", `duration "0x10" ` + badTime},
		{"time without end", "lifetime", "999999999999d", `duration "999999999999d" ` + badTime},
		{"Arabic digits", "lifetime", "\u0661\u0662", `duration "\x{661}\x{662}" ` + badTime},
		{"negative wait", "lock-timeout", "-1s", `duration "-1s" ` + badTime},
		{"negative expiry", "cookie-expires", "-1h", badExpires},
		{"zero expiry", "cookie-expires", "0", badExpires},
		{"expiry on no day", "cookie-expires", "2027-02-30", badExpires},
		{"expiry with more", "cookie-expires", "36h; Domain=evil.example", badExpires},
		{"expiry in year 10000", "cookie-expires", "10000-01-01T00:00:00Z", badExpires},
		{"size in words", "max-size", "1M", badSize},
		{"size of nothing", "max-size", "", badSize},
		{"size 0", "max-size", "0", badSize},
		{"size 1", "max-size", "1", badSize},
		{"negative size", "max-size", "-1", badSize},
		{"size without end", "max-size", "99999999999999999999", badSize},
		{"size over the most", "max-size", "1073741825", badSize},
		{"hex size", "max-size", "0x100", badSize},
		{"size with a fraction", "max-size", "2.5", badSize},
		{"boolean in words", "use-cookies", "yes", badBoolean},
		{"boolean 2", "use-cookies", "2", badBoolean},
		{"boolean of nothing", "cookie-http-only", "", badBoolean},
		{"boolean with a blank", "cookie-http-only", "true ", badBoolean},
		{"secure maybe", "cookie-secure", "maybe", "must be one of auto, always, never"},
		{"secure in capitals", "cookie-secure", "Always", "must be one of auto, always, never"},
		{"same site that is none", "cookie-same-site", "nil", badSameSite},
		{"same site with more", "cookie-same-site", "Lax; Domain=evil.example", badSameSite},
		{"store that is none", "type", "mysql", "must be one of file, dbm, memory, redis"},
		{"store of nothing", "type", "", "must be one of file, dbm, memory, redis"},
		{"directory of nothing", "data-dir", "", "must not be empty"},
		{"name of nothing", "cookie-name", "", "must not be empty"},
		{"path of nothing", "cookie-path", "", "must not be empty"},
		{"domain of nothing", "cookie-domain", "", "must not be empty"},
		{"key file of nothing", "secret-file", "", "must not be empty"},
		{"log of nothing", "log-file", "", "must not be empty"},
		{"id of nothing", "adopt-id", "", "must not be empty"},
	} {
		rows = append(rows, row{name: bad.name, args: argv{"set", "a=1", "--" + bad.flag, bad.value}, code: 64,
			stderr: `set: flag --` + bad.flag + `: ` + bad.message})
	}

	// More than one line, in each option that is a text.
	for _, flag := range []string{"data-dir", "cookie-name", "cookie-path", "cookie-domain", "secret-file", "log-file"} {
		for name, end := range map[string]string{"CR LF": "\r\n", "LF": "\n", "CR": "\r"} {
			rows = append(rows, row{name: name + " in " + flag, args: argv{"load", "--" + flag, "/a" + end + "Set-Cookie: evil=1"}, code: 64,
				stderr: `load: flag --` + flag + `: must be one line`})
		}
	}

	// What a browser would drop, or take for more than it is.
	for _, bad := range []struct {
		name    string
		flags   argv
		message string
	}{
		{"path injection", argv{"--cookie-path", "/; Domain=evil.example"}, `--cookie-path "/; Domain=evil.example"` + badPath},
		{"path with a comma and a blank", argv{"--cookie-path", "/a, b"}, `--cookie-path "/a, b"` + badPath},
		{"path with a tab", argv{"--cookie-path", "/a\tb"}, `--cookie-path "/a\\tb"` + badPath},
		{"path with U+2028", argv{"--cookie-path", "/\u2028"}, `--cookie-path "/\\u2028"` + badPath},
		{"path with 0xFF", argv{"--cookie-path", "/\xff"}, `--cookie-path "/\\xff"` + badPath},
		{"path with ESC", argv{"--cookie-path", "/\x1b[2J"}, `--cookie-path "/\\x1b\[2J"` + badPath},
		{"relative path", argv{"--cookie-path", "app"}, `--cookie-path "app" does not begin with '/'`},
		{"long path", argv{"--cookie-path", "/" + strings.Repeat("a", 1024)}, "--cookie-path is 1025 bytes long and browsers ignore it over 1024: shorten it"},
		{"domain injection", argv{"--cookie-domain", "example.com; Secure"}, `--cookie-domain "example.com; Secure"` + badDomain},
		{"domain with a port", argv{"--cookie-domain", "example.com:80"}, `--cookie-domain "example.com:80"` + badDomain},
		{"domain with a blank", argv{"--cookie-domain", " example.com"}, `--cookie-domain " example.com"` + badDomain},
		{"domain of dots", argv{"--cookie-domain", ".."}, `--cookie-domain "\.\."` + badDomain},
		{"domain that is not ASCII", argv{"--cookie-domain", "ex\u00e4mple.com"}, `--cookie-domain "ex\x{e4}mple.com"` + badDomain},
		{"URL for a domain", argv{"--cookie-domain", "https://example.com"}, `--cookie-domain "https://example.com"` + badDomain},
		{"name injection", argv{"--cookie-name", "a=b; x"}, `cookie name "a=b; x"` + badName},
		{"name with a blank", argv{"--cookie-name", "a b"}, `cookie name "a b"` + badName},
		{"name with an equal sign", argv{"--cookie-name", "a="}, `cookie name "a="` + badName},
		{"name with a comma", argv{"--cookie-name", "a,b"}, `cookie name "a,b"` + badName},
		{"name with a tab", argv{"--cookie-name", "a\tb"}, `cookie name "a\\tb"` + badName},
		{"name that is not ASCII", argv{"--cookie-name", "k\u00e4se"}, `cookie name "k\x{e4}se"` + badName},
		{"name with 0xFF", argv{"--cookie-name", "a\xff"}, `flag --cookie-name: must be UTF-8`},
		{"bad name by its alias", argv{"--key", "a;b"}, `cookie name "a;b"` + badName},
		{"long name", argv{"--cookie-name", strings.Repeat("n", 4090)}, `cookie name and value are 42\d\d bytes together and browsers take 4096: shorten --cookie-name`},
		{"same site none", argv{"--cookie-same-site", "none"}, "--cookie-same-site none needs --cookie-secure always: browsers drop the cookie otherwise"},
		{"same site None", argv{"--cookie-same-site", "None", "--cookie-secure", "never"}, "--cookie-same-site none needs --cookie-secure always: .*"},
		{"partitioned", argv{"--cookie-partitioned"}, "--cookie-partitioned needs --cookie-secure always: browsers drop the cookie otherwise"},
		{"expiry that is over", argv{"--cookie-expires", "2001-01-01"}, `--cookie-expires 2001-01-01T00:00:00Z is over: choose a date to come, or a time such as "36h"`},
		{"__Host- without Secure", argv{"--cookie-name", "__Host-a"}, `cookie name "__Host-a" needs --cookie-secure always: browsers drop it otherwise`},
		{"__HOST- without Secure", argv{"--cookie-name", "__HOST-a"}, `cookie name "__HOST-a" needs --cookie-secure always: .*`},
		{"__host- with a domain", argv{"--cookie-name", "__host-a", "--cookie-secure", "always", "--cookie-domain", "example.com"}, `cookie name "__host-a" allows no --cookie-domain: .*`},
		{"__hOsT- with a path", argv{"--cookie-name", "__hOsT-a", "--cookie-secure", "always", "--cookie-path", "/a"}, `cookie name "__hOsT-a" needs --cookie-path /: .*`},
		{"__Secure- without Secure", argv{"--cookie-name", "__Secure-a"}, `cookie name "__Secure-a" needs --cookie-secure always: .*`},
		{"__sEcUrE- without Secure", argv{"--cookie-name", "__sEcUrE-a", "--cookie-secure", "never"}, `cookie name "__sEcUrE-a" needs --cookie-secure always: .*`},
		{"__HTTP- for scripts", argv{"--cookie-name", "__HTTP-a", "--cookie-secure", "always", "--cookie-http-only", "false"}, `cookie name "__HTTP-a" needs --cookie-http-only true: .*`},
		{"__Host-Http- for scripts", argv{"--cookie-name", "__Host-Http-a", "--cookie-secure", "always", "--cookie-http-only", "false"}, `cookie name "__Host-Http-a" needs --cookie-http-only true: .*`},
	} {
		rows = append(rows,
			row{name: "load with " + bad.name, args: append(argv{"load"}, bad.flags...), code: 64, stderr: "load: " + bad.message},
			row{name: "set with " + bad.name, args: append(bad.flags[:len(bad.flags):len(bad.flags)], "set", "a=1"), code: 64, stderr: "set: " + bad.message})
	}

	return append(rows,
		// Flags that are none, here or at all.
		row{name: "no verb", code: 64, stderr: "no verb; cgisession --help lists them"},
		row{name: "empty verb", args: argv{""}, code: 64, stderr: `no verb ""; cgisession --help lists them`},
		row{name: "verb that is none", args: argv{"frob"}, code: 64, stderr: `no verb "frob"; cgisession --help lists them`},
		row{name: "verb in capitals", args: argv{"LOAD"}, code: 64, stderr: `no such verb; did you mean load\?`},
		row{name: "verb with LF", args: argv{"load\n"}, code: 64, stderr: `no such verb; did you mean load\?`},
		row{name: "path for a verb", args: argv{"../../canary"}, code: 64, stderr: `no verb "../../canary"; cgisession --help lists them`},
		row{name: "unknown flag", args: argv{"set", "a=1", "--frob"}, code: 64, stderr: "set: flag provided but not defined: --frob"},
		row{name: "unknown flag, first", args: argv{"--frob", "set", "a=1"}, code: 64, stderr: "flag provided but not defined: --frob"},
		row{name: "unknown flag, with LF", args: argv{"set", "a=1", "--fr\nob"}, code: 64, stderr: `set: flag provided but not defined: --fr\\nob`},
		row{name: "unknown flag, with a value", args: argv{"set", "a=1", "--idd=" + alice}, code: 64, stderr: `set: flag provided but not defined; did you mean --id\?`},
		row{name: "three dashes", args: argv{"set", "a=1", "---id", "x"}, code: 64, stderr: "set: bad flag syntax: write --NAME, and =VALUE or VALUE after it"},
		row{name: "dash and equal sign", args: argv{"set", "a=1", "--=x"}, code: 64, stderr: "set: bad flag syntax: write --NAME, and =VALUE or VALUE after it"},
		row{name: "completion", args: argv{"set", "a=1", "--generate-bash-completion"}, code: 64, stderr: "set: flag provided but not defined: --…"},
		row{name: "--lazy of load", args: argv{"get", "--lazy"}, code: 64, stderr: "get: flag provided but not defined: --lazy"},
		row{name: "--raw of get", args: argv{"load", "--raw"}, code: 64, stderr: "load: flag provided but not defined: --raw"},
		row{name: "--if-version of save", args: argv{"set", "--if-version", "1", "a=1"}, code: 64, stderr: "set: flag provided but not defined: --if-version"},
		row{name: "--grace of regenerate", args: argv{"incr", "n", "--grace", "1m"}, code: 64, stderr: "incr: flag provided but not defined: --grace"},
		row{name: "--stdin of set", args: argv{"unset", "n", "--stdin"}, code: 64, stderr: "unset: flag provided but not defined: --stdin"},
		row{name: "--sh of header verbs", args: argv{"info", "--sh"}, code: 64, stderr: "info: flag provided but not defined: --sh"},
		row{name: "--no-lock of reads", args: argv{"set", "a=1", "--no-lock"}, code: 64, stderr: "set: flag provided but not defined: --no-lock"},
		row{name: "--secret with a secret", args: argv{"load", "--secret=" + secret}, code: 64, stderr: "load: flag provided but not defined: --secret"},
		row{name: "--sh and --json", args: argv{"load", "--sh", "--json"}, code: 64, stderr: "load: --sh and --json exclude each other"},
		row{name: "flag and alias", args: argv{"get", "--key", "a", "--cookie-name", "b"}, code: 64, stderr: "get: two forms of the same flag: --key and --cookie-name; leave one out"},
		row{name: "flag without its value", args: argv{"set", "a=1", "--cookie-name"}, code: 64, stderr: "set: flag --cookie-name: its value is missing"},
		row{name: "flag without its value, alone", args: argv{"--timeout"}, code: 64, stderr: "flag --timeout: its value is missing"},
		row{name: "switch with a word", args: argv{"set", "a=1", "--durable=maybe"}, code: 64, stderr: `set: flag --durable: must be true or false`},
		row{name: "argument for none", args: argv{"invalidate", "x"}, code: 64, stderr: "invalidate: unexpected argument: this verb takes none"},
		row{name: "id for an argument", args: argv{"delete", alice}, code: 64, stderr: "delete: unexpected argument: this verb takes none"},
		row{name: "token for an argument", args: argv{"invalidate", "--expire", signed(alice)}, code: 64, stderr: "invalidate: unexpected argument: this verb takes none"},
		row{name: "bad grace", args: argv{"regenerate", "--grace", "soon"}, code: 64, stderr: `regenerate: flag --grace: duration "soon" ` + badTime},
		row{name: "help among arguments", args: argv{"set", "a=1", "--help"}, stdout: `(?s)NAME:\n   cgisession set - .*`},
		row{name: "-h among keys", args: argv{"get", "name", "-h"}, stdout: `(?s)NAME:\n   cgisession get - .*`},
		row{name: "-h that a client sent", args: argv{"get", "name", "--id", "-h"}, code: 1},
		row{name: "flag that a client sent", args: argv{"get", "--id", "--show-id"}, code: 1},

		// Ids by another way than a cookie.
		row{name: "her id", args: argv{"get", "--id", alice}, env: argv{"HTTP_COOKIE="}, stdout: lit(aliceData + "\n")},
		row{name: "path for an id", args: argv{"load", "--id", "../../canary"}, stdout: newCookie, files: 1},
		row{name: "lines for an id", args: argv{"load", "--id", "x\r\nSet-Cookie: evil=1"}, stdout: newCookie, files: 1},
		row{name: "0xFF for an id", args: argv{"set", "a=1", "--id=\xff"}, stdout: newCookie, files: 1},
		row{name: "unknown id before a live cookie", args: argv{"set", "a=1", "--id", nobody}, stdout: newCookie, files: 1},
		row{name: "her handle for an id", args: argv{"get", "--id", handle("cgisession_id", alice)}, code: 1},
		row{name: "unsigned id", args: argv{"get", "--id", alice}, env: argv{"CGISESSION_SECRET=" + secret}, code: 1},
		row{name: "no token", args: argv{"csrf", "--check", ""}, code: 1},
		row{name: "her id for a token", args: argv{"csrf", "--check", alice}, code: 1},
		row{name: "0xFF for a token", args: argv{"csrf", "--check", "\xff"}, code: 1},
		row{name: "100 KB for a token", args: argv{"csrf", "--check", strings.Repeat("A", 100_000)}, code: 1},
		row{name: "token of a closed descriptor", args: argv{"csrf", "--check-fd", "99"}, code: 64, stderr: "csrf: --check-fd 99: bad file descriptor"},
		row{name: "token of a forged session", args: argv{"csrf"}, env: argv{"HTTP_COOKIE=cgisession_id=" + nobody}, code: 1, stderr: `csrf: no session; begin with eval "\$\(cgisession load --sh\)"`},
		row{name: "cookies off", args: argv{"get", "--use-cookies", "false"}, code: 1},
		row{name: "short adopted id", args: argv{"set", "a=1", "--adopt-id", alice[:15]}, code: 64, stderr: "set: --adopt-id must be 16 to 128 characters A-Z a-z 0-9 _ -"},
		row{name: "long adopted id", args: argv{"set", "a=1", "--adopt-id", strings.Repeat(alice, 5)}, code: 64, stderr: "set: --adopt-id must be 16 to 128 characters .*"},
		row{name: "adopted id with LF", args: argv{"set", "a=1", "--adopt-id", alice + "\n"}, code: 64, stderr: "set: --adopt-id must be 16 to 128 characters .*"},
		row{name: "adopted path", args: argv{"set", "a=1", "--adopt-id", "../../../../canary"}, code: 64, stderr: "set: --adopt-id must be 16 to 128 characters .*"},
	)
}

// settingRows have a bad value in each variable of an option, and variables
// that set nothing.
func settingRows() []row {
	var rows []row
	for _, bad := range []struct{ variable, value, message string }{
		{"TYPE", "mysql", "must be one of file, dbm, memory, redis"},
		{"DATA_DIR", "a\nb", "must be one line"},
		{"COOKIE_NAME", "a\r\nb", "must be one line"},
		{"USE_COOKIES", "maybe", badBoolean},
		{"TIMEOUT", "soon", `duration "soon" ` + badTime},
		{"LIFETIME", "-1", `duration "-1" ` + badTime},
		{"COOKIE_EXPIRES", "soon", badExpires},
		{"COOKIE_PATH", "/\nX: y", "must be one line"},
		{"COOKIE_DOMAIN", "example.com\r\nX: y", "must be one line"},
		{"COOKIE_SECURE", "on", "must be one of auto, always, never"},
		{"COOKIE_HTTP_ONLY", "maybe", badBoolean},
		{"COOKIE_SAME_SITE", "sometimes", badSameSite},
		{"COOKIE_PARTITIONED", "maybe", ".*"},
		{"SECRET_FILE", "key\n", "must be one line"},
		{"INVALIDATE_CORRUPT", "maybe", ".*"},
		{"LOCK_TIMEOUT", "soon", `duration "soon" ` + badTime},
		{"DURABLE", "maybe", ".*"},
		{"MAX_SIZE", "1M", badSize},
		{"LOG_FILE", "log\nfile", "must be one line"},
		{"NO_LOCK", "maybe", ".*"},
	} {
		name := "CGISESSION_" + bad.variable
		flag := strings.ToLower(strings.ReplaceAll(bad.variable, "_", "-"))
		rows = append(rows,
			row{name: name, env: argv{name + "=" + bad.value}, args: argv{"get"}, code: 64,
				stderr: `get: variable ` + name + `, for --` + flag + `: ` + bad.message},
			row{name: name + " empty", env: argv{"TMPDIR=nowhere", name + "="}, args: argv{"get", "--data-dir", "../sessions"}, stdout: lit(aliceData + "\n"),
				code: map[string]int{"SECRET_FILE": 78}[bad.variable]})
	}
	for i := range rows {
		if rows[i].code == 78 { // an empty secret is a mistake, not a default
			rows[i].stdout = ""
			rows[i].stderr = "get: configuration: CGISESSION_SECRET_FILE is set but empty; name a key file or unset it"
		}
	}
	return append(rows,
		row{name: "adopted id", env: argv{"CGISESSION_ADOPT_ID=" + alice + "!"}, args: argv{"set", "a=1"}, code: 64, stderr: "set: --adopt-id must be 16 to 128 characters A-Z a-z 0-9 _ -"},
		row{name: "cookie name", env: argv{"CGISESSION_COOKIE_NAME=a b"}, args: argv{"set", "a=1"}, code: 64, stderr: `set: cookie name "a b"` + badName},
		row{name: "cookie path", env: argv{"CGISESSION_COOKIE_PATH=/; Domain=evil.example"}, args: argv{"set", "a=1"}, code: 64, stderr: `set: --cookie-path "/; Domain=evil.example"` + badPath},
		row{name: "cookie domain", env: argv{"CGISESSION_COOKIE_DOMAIN=*"}, args: argv{"set", "a=1"}, code: 64, stderr: `set: --cookie-domain "\*"` + badDomain},
		row{name: "partitioned", env: argv{"CGISESSION_COOKIE_PARTITIONED=1"}, args: argv{"set", "a=1"}, code: 64, stderr: "set: --cookie-partitioned needs --cookie-secure always: .*"},
		row{name: "empty secret", env: argv{"CGISESSION_SECRET="}, args: argv{"load"}, code: 78, stderr: "load: configuration: CGISESSION_SECRET: no key: write one of at least 32 random bytes on a line"},
		row{name: "short secret", env: argv{"CGISESSION_SECRET=hunter2"}, args: argv{"load"}, code: 78, stderr: "load: configuration: CGISESSION_SECRET: key on line 1 is too short: it has 7 of at least 32 bytes"},
		row{name: "short second secret", env: argv{"CGISESSION_SECRET=" + secret + "\nhunter2"}, args: argv{"load"}, code: 78, stderr: "load: configuration: CGISESSION_SECRET: key on line 2 is too short: it has 7 of at least 32 bytes"},
		row{name: "blank secret", env: argv{"CGISESSION_SECRET= \n"}, args: argv{"load"}, code: 78, stderr: "load: configuration: CGISESSION_SECRET: key on line 1 is too short: .*"},
		row{name: "no directory for temporary files", env: argv{"CGISESSION_DATA_DIR=", "TMPDIR=nowhere"}, args: argv{"load"}, code: 78,
			stderr: `load: data directory nowhere/cgisession-\d+: configuration: its parent directory does not exist; create it`},
		row{name: "no directory for temporary files, to read", env: argv{"CGISESSION_DATA_DIR=", "TMPDIR=nowhere"}, args: argv{"get"}, code: 1},
		row{name: "descriptor in words", env: argv{"CGISESSION_LOCK_FD=x"}, args: argv{"set", "a=1"}, code: 64, stderr: "set: CGISESSION_LOCK_FD must be the number of a descriptor from 3 up"},
		row{name: "descriptor of stdout", env: argv{"CGISESSION_LOCK_FD=1"}, args: argv{"set", "a=1"}, code: 64, stderr: "set: CGISESSION_LOCK_FD must be the number of a descriptor from 3 up"},

		row{name: "descriptor that is closed", env: argv{"CGISESSION_LOCK_FD=99"}, args: argv{"set", "a=1"}, code: 64, stderr: "set: CGISESSION_LOCK_FD is a descriptor of another file; pass on the one that was locked, or unset it"},

		// Variables that a client can name, or that set nothing.
		row{name: "alias", env: argv{"CGISESSION_KEY=other_id"}, args: argv{"get", "name"}, code: 64, stderr: `get: variable CGISESSION_KEY is unknown; did you mean CGISESSION_COOKIE_NAME, for --cookie-name\?`},
		row{name: "client's headers", env: argv{"HTTP_CGISESSION_DATA_DIR=/nowhere", "HTTP_CGISESSION_ID=" + bob, "HTTP_DATA_DIR=/nowhere", "HTTP_COOKIE_NAME=other_id", "HTTP_SECRET_FILE=/dev/null", "HTTP_TMPDIR=/nowhere"},
			args: argv{"get", "name"}, stdout: lit(`"Alice"` + "\n")},
		row{name: "client's query", env: argv{"QUERY_STRING=--help&id=" + bob, "REQUEST_METHOD=$(touch pwned)", "PATH_INFO=/../../canary", "REMOTE_USER=-h", "CONTENT_LENGTH=-1"},
			args: argv{"get", "name"}, stdout: lit(`"Alice"` + "\n")},
		row{name: "lower case variables", env: argv{"cgisession_data_dir=/nowhere", "http_cookie=cgisession_id=" + bob}, args: argv{"get", "name"}, stdout: lit(`"Alice"` + "\n")},
		row{name: "library's variables", env: argv{"CLI_TEMPLATE_ERROR_DEBUG=1", "URFAVE_CLI_TRACING=on", "0=zsh"}, args: argv{"get", "name"}, stdout: lit(`"Alice"` + "\n")},
		row{name: "https in other words", env: argv{"HTTPS=off", "HTTP_HTTPS=on", "HTTP_X_FORWARDED_PROTO=https", "HTTP_REQUEST_SCHEME=https", "HTTP_COOKIE="}, args: argv{"load"}, stdout: newCookie, files: 1},
		row{name: "no deadline", env: argv{"CGISESSION_TIMEOUT=106751d", "CGISESSION_LIFETIME=106751d"}, args: argv{"get", "name"}, stdout: lit(`"Alice"` + "\n")},
	)
}

// requestRows have what an earlier call of the request never exported.
func requestRows() []row {
	const malformed = "CGISESSION_ID holds no session id; export what load --sh printed"
	var rows []row
	for name, id := range map[string]string{
		"path":         "../../canary",
		"her file":     "/" + sessionFile("cgisession_id", alice),
		"too short":    alice[:15],
		"too long":     strings.Repeat(alice, 5),
		"token":        signed(alice),
		"blank after":  alice + " ",
		"LF after":     alice + "\n",
		"0xFF":         alice + "\xff",
		"quoted":       "'" + alice + "'",
		"whole cookie": "cgisession_id=" + alice,
	} {
		rows = append(rows,
			row{name: "set with " + name, env: argv{"CGISESSION_ID=" + id}, args: argv{"set", "a=1"}, code: 64, stderr: "set: " + malformed},
			row{name: "get with " + name, env: argv{"CGISESSION_ID=" + id, "CGISESSION_MINTED=1"}, args: argv{"get"}, code: 64, stderr: "get: " + malformed},
			row{name: "load with " + name, env: argv{"CGISESSION_ID=" + id}, args: argv{"load"}, code: 64, stderr: "load: " + malformed})
	}
	const gone = "the session is gone: ended or cleaned up during this request"
	is := func(id string, more ...string) argv { return append(argv{"CGISESSION_ID=" + id}, more...) }
	return append(rows,
		row{name: "get of an ended session", env: is(""), args: argv{"get"}, code: 1},
		row{name: "set of an ended session", env: is(""), args: argv{"set", "a=1"}, code: 10, stderr: "set: " + gone},
		row{name: "save of an ended session", env: is(""), args: argv{"save"}, stdin: "{}", code: 10, stderr: "save: " + gone},
		row{name: "unset of an ended session", env: is(""), args: argv{"unset", "a"}, code: 10, stderr: "unset: " + gone},
		row{name: "incr of an ended session", env: is(""), args: argv{"incr", "n"}, code: 10, stderr: "incr: " + gone},
		row{name: "regenerate of an ended session", env: is(""), args: argv{"regenerate"}, code: 10, stderr: "regenerate: " + gone},
		row{name: "load after an ended session", env: is(""), args: argv{"load"}, stdout: newCookie, files: 1},
		row{name: "ended session that is minted", env: is("", "CGISESSION_MINTED=1"), args: argv{"set", "a=1"}, code: 10, stderr: "set: " + gone},
		row{name: "get of an unknown session", env: is(nobody), args: argv{"get"}, code: 1},
		row{name: "set of an unknown session", env: is(nobody), args: argv{"set", "a=1"}, code: 10, stderr: "set: " + gone},
		row{name: "edit of an unknown session", env: is(nobody), args: argv{"edit", "touch", "pwned"}, code: 10, stderr: "edit: " + gone},
		row{name: "load of an unknown session", env: is(nobody), args: argv{"load"}, stdout: newCookie, files: 1},
		row{name: "set of a handle", env: is(handle("cgisession_id", alice)), args: argv{"set", "a=1"}, code: 10, stderr: "set: " + gone},
		row{name: "set of another name's session", env: is(carol), args: argv{"set", "a=1"}, code: 10, stderr: "set: " + gone},
		row{name: "minted x", env: is(nobody, "CGISESSION_MINTED=x"), args: argv{"set", "a=1"}, code: 64, stderr: "set: CGISESSION_MINTED must be 1 or empty, as load --sh exports it"},
		row{name: "minted true", env: is(nobody, "CGISESSION_MINTED=true"), args: argv{"load"}, code: 64, stderr: "load: CGISESSION_MINTED must be 1 or empty, as load --sh exports it"},
		row{name: "new 0", env: is(alice, "CGISESSION_IS_NEW=0"), args: argv{"get"}, code: 64, stderr: "get: CGISESSION_IS_NEW must be 1 or empty, as load --sh exports it"},
		row{name: "invalidated yes", env: is(alice, "CGISESSION_WAS_INVALIDATED=yes\n"), args: argv{"get"}, code: 64, stderr: "get: CGISESSION_WAS_INVALIDATED must be 1 or empty, as load --sh exports it"},
		row{name: "accessed in words", env: is(alice, "CGISESSION_ACCESSED=now"), args: argv{"get"}, code: 64, stderr: "get: CGISESSION_ACCESSED must be Unix seconds, as load --sh exports it"},
		row{name: "accessed without end", env: is(alice, "CGISESSION_ACCESSED=99999999999999999999"), args: argv{"set", "a=1"}, code: 64, stderr: "set: CGISESSION_ACCESSED must be Unix seconds, as load --sh exports it"},
		row{name: "accessed with a fraction", env: is(alice, "CGISESSION_ACCESSED=1.5"), args: argv{"set", "a=1"}, code: 64, stderr: "set: CGISESSION_ACCESSED must be Unix seconds, as load --sh exports it"},
		row{name: "bad companions of no id", env: argv{"CGISESSION_MINTED=x", "CGISESSION_ACCESSED=now", "CGISESSION_TOKEN=x"}, args: argv{"get", "name"}, stdout: lit(`"Alice"` + "\n")},
		row{name: "bad versions, which are not read", env: is(alice, "CGISESSION_VERSION=x", "CGISESSION_CREATED=x", "CGISESSION_TOKEN="+signed(bob)), args: argv{"get", "name"}, stdout: lit(`"Alice"` + "\n")},
		row{name: "her id and another's cookie", env: is(alice, "HTTP_COOKIE=cgisession_id="+bob), args: argv{"get", "name"}, stdout: lit(`"Alice"` + "\n")},
		row{name: "unknown id and her cookie", env: is(nobody), args: argv{"get", "name"}, code: 1},
	)
}

// commandRows have commands that are none or misbehave.
func commandRows() []row {
	sh := func(script string) argv { return argv{"edit", "sh", "-c", script} }
	return []row{
		{name: "two objects", args: sh("echo '{}{}'"), code: 1, stderr: `edit: filter sh printed no data: bad JSON: invalid character after top-level value at byte 2`},
		{name: "nothing", args: argv{"edit", "true"}, code: 1, stderr: "edit: filter true printed no data: bad JSON: unexpected EOF at byte 0"},
		{name: "array", args: sh("echo '[]'"), code: 1, stderr: "edit: filter sh printed no data: the data must be a JSON object, not an array"},
		{name: "name twice", args: sh(`echo '{"a":1,"a":2}'`), code: 1, stderr: `edit: filter sh printed no data: bad JSON: duplicate object member name at byte 7`},
		{name: "binary", args: sh(`printf '\377\000'`), code: 1, stderr: `edit: filter sh printed no data: bad JSON: .*`},
		{name: "text and then the data", args: sh("echo warning; cat"), code: 1, stderr: `edit: filter sh printed no data: bad JSON: invalid character at start of value at byte 0`},
		{name: "20000 arrays", args: sh(`printf '{"a":'; head -c 20000 /dev/zero | tr '\0' '['`), code: 1, stderr: `edit: filter sh printed no data: bad JSON: nested deeper than 512 levels`},
		{name: "2 MiB", args: sh(`printf '{"a":"'; head -c 2097152 /dev/zero | tr '\0' x; printf '"}'`), code: 65, stderr: "edit: data of 2097160 bytes: larger than --max-size of 1048576"},
		{name: "data and then a failure", args: sh("echo '{}'; exit 3"), code: 1, stderr: "edit: filter sh: exit status 3"},
		{name: "killed", args: sh("echo '{}'; kill -9 $$"), code: 1, stderr: "edit: filter sh: signal: killed"},
		{name: "message of many lines", args: sh(`printf '\033[31mone\ntwo\r\v\fthree\n' >&2; exit 1`), code: 1, stderr: `edit: filter sh: exit status 1: \\x1b\[31mone\\ntwo\\r\\v\\fthree`},
		{name: "deaf filter", args: sh("exec <&-; echo '{\"a\":1}'"), data: `{"a":1}`},
		{name: "no such filter", args: argv{"edit", "nosuchfilter"}, code: 127, stderr: `edit: command nosuchfilter: executable file not found in \$PATH`},
		{name: "no filter", args: argv{"edit"}, code: 64, stderr: "edit: COMMAND missing"},
		{name: "empty filter", args: argv{"edit", ""}, code: 127, stderr: `edit: command : executable file not found in \$PATH`},
		{name: "directory for a filter", args: argv{"edit", "./dir"}, code: 126, stderr: "edit: command ./dir: is a directory"},
		{name: "text for a filter", args: argv{"edit", "./text"}, code: 126, stderr: "edit: command ./text: permission denied"},
		{name: "filter without its interpreter", args: argv{"edit", "./no-interpreter"}, code: 127, stderr: "edit: command ./no-interpreter: its interpreter \"/nowhere/to/be/found\": no such file or directory"},
		{name: "missing path for a filter", args: argv{"edit", "./nowhere"}, code: 127, stderr: "edit: command ./nowhere: no such file or directory"},
		{name: "filter in the working directory", args: argv{"edit", "no-interpreter"}, code: 127, stderr: `edit: command no-interpreter: executable file not found in \$PATH`},
		{name: "filter with LF", args: argv{"edit", "no\nsuch"}, code: 127, stderr: `edit: command no\\nsuch: executable file not found in \$PATH`},
		{name: "filter without a session", env: argv{"HTTP_COOKIE=cgisession_id=" + nobody}, args: argv{"edit", "touch", "pwned"}, code: 1, stderr: `edit: no session; begin with eval "\$\(cgisession load --sh\)"`},
		{name: "flag for a filter", args: argv{"edit", "--frob", "cat"}, code: 64, stderr: "edit: flag provided but not defined: --frob"},
		{name: "verb's flags belong to the filter", args: argv{"edit", "sh", "-c", `echo "{\"a\":\"$1\"}"`, "sh", "--timeout"}, data: `{"a":"--timeout"}`},
		{name: "lock around no such command", args: argv{"lock", "nosuchcommand"}, code: 127, stderr: `lock: command nosuchcommand: executable file not found in \$PATH`},
		{name: "lock around nothing", args: argv{"lock"}, code: 64, stderr: "lock: COMMAND, or --fd N, missing"},
		{name: "lock on stdout", args: argv{"lock", "--fd", "1"}, code: 64, stderr: `lock: flag --fd: must be the number of a descriptor from 3 up`},
		{name: "lock on a closed descriptor", args: argv{"lock", "--fd", "99"}, code: 64, stderr: "lock: CGISESSION_LOCK_FD is a descriptor of another file; .*"},
		{name: "lock without a session", env: argv{"HTTP_COOKIE=cgisession_id=" + nobody}, args: argv{"lock", "touch", "pwned"}, code: 1, stderr: `lock: no session; begin with eval "\$\(cgisession load --sh\)"`},
		{name: "path of no session", env: argv{"HTTP_COOKIE=cgisession_id=" + nobody}, args: argv{"lock-path"}, code: 1, stderr: `lock-path: no session; begin with eval "\$\(cgisession load --sh\)"`},
		{name: "unlock nothing", args: argv{"unlock"}, code: 64, stderr: "unlock: --fd N missing"},
		{name: "no such script", env: argv{"HTTP_COOKIE="}, args: argv{"run", "nosuchscript"}, code: 127, stderr: `run: command nosuchscript: executable file not found in \$PATH`},
		{name: "no script", env: argv{"HTTP_COOKIE="}, args: argv{"run"}, code: 64, stderr: "run: COMMAND missing"},
		{name: "directory for a script", env: argv{"HTTP_COOKIE="}, args: argv{"run", "./dir"}, code: 126, stderr: "run: command ./dir: is a directory"},
		{name: "text for a script", env: argv{"HTTP_COOKIE="}, args: argv{"run", "./text"}, code: 126, stderr: "run: command ./text: permission denied"},
		{name: "script that a client named", args: argv{"run", "../../../../../../bin/nosuch; touch pwned"}, code: 127, stderr: `run: command .*: no such file or directory`},
	}
}

// pathRows have directories and files that are not what they should be.
func pathRows() []row {
	var rows []row
	for _, bad := range []struct {
		name, dir string
		code      int
		message   string
	}{
		{"symbolic link", "link", 77, "data directory link: unsafe: not a directory, or a symbolic link; name a real directory"},
		{"file", "text", 77, "data directory text: unsafe: not a directory, or a symbolic link; name a real directory"},
		{"device", "/dev/null", 77, "data directory /dev/null: unsafe: not a directory, or a symbolic link; name a real directory"},
		{"open to all", "open", 77, `data directory open: unsafe: mode 0777 lets other users in; run cgisession doctor --repair`},
		{"below a file", "text/sessions", 77, "data directory text/sessions: unsafe: not a directory, or a symbolic link; name a real directory"},
		{"too long", "./" + strings.Repeat("x", 5000), 74, "data directory x+: file name too long"},
	} {
		rows = append(rows,
			row{name: "set in " + bad.name, args: argv{"set", "a=1", "--data-dir", bad.dir}, code: bad.code, stderr: "set: " + bad.message},
			row{name: "get in " + bad.name, args: argv{"get", "--data-dir", bad.dir}, code: bad.code, stderr: "get: " + bad.message})
	}
	for _, bad := range []struct{ name, file, message string }{
		{"missing", "nowhere", "no such file or directory"},
		{"directory", "dir", "not a regular file"},
		{"device", "/dev/null", "not a regular file"},
		{"device without end", "/dev/zero", "not a regular file"},
		{"symbolic link", "key-link", "a symbolic link; name the file itself"},
		{"open to all", "open-key", "mode 0644 lets other users read it; chmod 600 it, and make a new key"},
		{"short key", "short-key", "key on line 1 is too short: it has 7 of at least 32 bytes"},
		{"no key", "no-key", "no key: write one of at least 32 random bytes on a line"},
		{"with ESC", "\x1b[2J", "no such file or directory"},
	} {
		rows = append(rows, row{name: "key file " + bad.name, args: argv{"load", "--secret-file", bad.file}, code: 78, stderr: `load: configuration: key file .*: ` + bad.message})
	}
	return append(rows,
		row{name: "key file of 2 MiB", args: argv{"load", "--secret-file", "big"}, code: 78, stderr: "load: configuration: key file big: larger than 65536 bytes"},
		row{name: "set below nowhere", args: argv{"set", "a=1", "--data-dir", "nowhere/sessions"}, code: 78, stderr: "set: data directory nowhere/sessions: configuration: its parent directory does not exist; create it"},
		row{name: "get below nowhere", args: argv{"get", "--data-dir", "nowhere/sessions"}, code: 1},
		row{name: "get nowhere", args: argv{"get", "--data-dir", "nowhere"}, code: 1},
		row{name: "incr nowhere", args: argv{"incr", "n", "--data-dir", "nowhere"}, code: 1, stderr: `incr: no session; begin with eval "\$\(cgisession load --sh\)"`},
		row{name: "key file and bad variable", env: argv{"CGISESSION_SECRET=hunter2"}, args: argv{"get", "--secret-file", "key"}, code: 1},
		row{name: "log in no directory", env: argv{"HTTP_COOKIE=cgisession_id=x"}, args: argv{"get", "--log-file", "nowhere/log"}, code: 1, stderr: "log file: open nowhere/log: no such file or directory"},
		row{name: "log to a directory", env: argv{"HTTP_COOKIE=cgisession_id=x"}, args: argv{"get", "--log-file", "dir"}, code: 1, stderr: "log file: open dir: is a directory"},
		row{name: "log to a symbolic link", env: argv{"HTTP_COOKIE=cgisession_id=x"}, args: argv{"get", "--log-file", "key-link"}, code: 1, stderr: "log file: open key-link: too many levels of symbolic links"},
	)
}
