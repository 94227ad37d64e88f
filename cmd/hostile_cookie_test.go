package cmd_test

import (
	"fmt"
	"strings"
)

// A sent is a Cookie header, and whether it opens Alice's session. If not, it
// must be as if no cookie had come.
type sent struct {
	name   string
	header string
	opens  bool
}

// cookieRows has each header read by a verb that loads or creates, by one that
// only reads, and by one that changes.
func cookieRows() []row {
	var rows []row
	for _, c := range unsignedCookies() {
		rows = append(rows, c.rows(alice, newID)...)
	}
	for _, c := range signedCookies() {
		for _, r := range c.rows(signed(alice), newID+`\.[A-Za-z0-9_-]{43}`) {
			r.name = "signed/" + r.name
			r.env = append(r.env, "CGISESSION_SECRET="+secret+"\n"+olderSecret)
			rows = append(rows, r)
		}
	}
	return rows
}

// rows returns the calls for one header. token is what Alice's session has, and
// newToken what a new one may have.
func (c sent) rows(token, newToken string) []row {
	load := row{name: c.name + "/load", args: argv{"load", "--json"}}
	get := row{name: c.name + "/get", args: argv{"get"}}
	set := row{name: c.name + "/set", args: argv{"set", "seen=yes"}}
	if c.opens {
		load.stdout = loaded(token, aliceData)
		get.stdout = lit(aliceData + "\n")
		set.data = member(`"seen":"yes"`)
	} else {
		cookie := `Set-Cookie: cgisession_id=` + newToken + `; Path=/; HttpOnly; SameSite=Lax`
		load.stdout = `\{"headers":\["` + cookie + `"\],"id":"` + newID + `","token":"` + newToken +
			`","is_new":true,"was_invalidated":false,"version":1,"created":\d{10},"accessed":\d{10},` + loadedMore + `"request":"[0-9a-f:]+","env":\{("CGISESSION_[A-Z_]+":"[^"]*",?)+\},"data":\{\}\}` + "\n"
		load.files = 1
		get.code = 1
		set.stdout = cookie + "\n"
		set.files = 1
	}
	rows := []row{load, get, set}
	for i := range rows {
		rows[i].env = argv{"HTTP_COOKIE=" + c.header}
	}
	return rows
}

func unsignedCookies() []sent {
	const is = "cgisession_id="
	aliceFile := "../" + sessionFile("cgisession_id", alice)
	return []sent{
		{name: "no cookie", header: ""},

		// Paths.
		{name: "path traversal", header: is + "../../../../../../etc/passwd"},
		{name: "path to a file beside", header: is + "../../canary"},
		{name: "absolute path", header: is + "/etc/passwd"},
		{name: "path of her file", header: is + aliceFile},
		{name: "id after a path", header: is + "./" + alice},
		{name: "encoded traversal", header: is + "%2e%2e%2f%2e%2e%2fcanary"},
		{name: "overlong traversal", header: is + "\xc0\xae\xc0\xae/canary"},
		{name: "backslashes", header: is + `..\..\..\canary`},
		{name: "file URL", header: is + "file:///etc/passwd"},
		{name: "dots", header: is + ".."},
		{name: "device", header: is + "/dev/zero"},

		// Size and number.
		{name: "value of 4 KiB", header: is + strings.Repeat("a", 4<<10)},
		{name: "value of 100 KB", header: is + strings.Repeat("a", 100_000)},
		{name: "100 KB before hers", header: strings.Repeat("junk=junk; ", 9_000) + is + alice, opens: true},
		{name: "100 KB of semicolons", header: strings.Repeat(";", 100_000)},
		{name: "100 KB of equal signs", header: is + strings.Repeat("=", 100_000)},
		{name: "2500 times hers", header: strings.Repeat(is+alice+";", 2_500), opens: true},
		{name: "4000 bad ones and hers", header: many(4_000, is+"no%d;") + is + alice, opens: true},
		{name: "3000 ids", header: many(3_000, is+"nobody%012d;")},
		{name: "3000 ids and hers", header: many(3_000, is+"nobody%012d;") + is + alice, opens: true},
		{name: "3000 ids amid hers", header: is + alice + ";" + many(3_000, is+"nobody%012d;") + is + alice, opens: true},
		{name: "3000 ids and two live", header: many(3_000, is+"nobody%012d;") + is + alice + ";" + is + bob},

		// Quoting and encoding, which are not undone.
		{name: "quoted value", header: is + `"` + alice + `"`},
		{name: "quoted name", header: `"cgisession_id"=` + alice},
		{name: "quoted pair", header: `"` + is + alice + `"`},
		{name: "encoded name", header: "cgisession%5Fid=" + alice},
		{name: "encoded value", header: is + "%61" + alice[1:]},
		{name: "encoded equal sign", header: "cgisession_id%3D" + alice},
		{name: "encoded NUL after it", header: is + alice + "%00"},
		{name: "plus for a blank", header: is + "+" + alice},
		{name: "RFC 2965, unquoted", header: `$Version=1; ` + is + alice + `; $Path=/; $Domain=.example.com`, opens: true},
		{name: "RFC 2965, quoted", header: `$Version="1"; ` + is + `"` + alice + `"; $Path="/"`},
		{name: "dollar name", header: "$" + is + alice},

		// Blanks, and what looks like them: only SP and TAB around a pair go.
		{name: "blanks and tabs around", header: ";; \t " + is + alice + "\t \t;", opens: true},
		{name: "blank before the equal sign", header: "cgisession_id =" + alice},
		{name: "blank after the equal sign", header: is + " " + alice},
		{name: "tab after the equal sign", header: is + "\t" + alice},
		{name: "tab inside", header: is + alice[:9] + "\t" + alice[9:]},
		{name: "tab in the name", header: "cgisession\t_id=" + alice},
		{name: "U+00A0 before", header: "\u00a0" + is + alice},
		{name: "U+00A0 after", header: is + alice + "\u00a0"},
		{name: "U+2028 for a separator", header: "a=b\u2028" + is + alice},
		{name: "U+2028 after", header: is + alice + "\u2028"},
		{name: "U+3000 around", header: "\u3000" + is + alice + "\u3000"},
		{name: "U+0085 after", header: is + alice + "\u0085"},
		{name: "U+200B inside", header: is + alice[:9] + "\u200b" + alice[9:]},
		{name: "BOM before", header: "\ufeff" + is + alice},
		{name: "LF before", header: "\n" + is + alice},
		{name: "LF after", header: is + alice + "\n"},
		{name: "CR LF after", header: is + alice + "\r\n"},
		{name: "LF for a separator", header: "a=b\n" + is + alice},
		{name: "VT and FF around", header: "\v" + is + alice + "\f"},
		{name: "header injection", header: is + "x\r\nSet-Cookie: cgisession_id=" + nobody},
		{name: "response splitting", header: is + "x\r\n\r\n<script>alert(1)</script>"},

		// The name.
		{name: "upper case name", header: "CGISESSION_ID=" + alice},
		{name: "capital name", header: "Cgisession_id=" + alice},
		{name: "prefix of the name", header: "cgisession_i=" + alice},
		{name: "longer name", header: "cgisession_idx=" + alice},
		{name: "name with a prefix", header: "xcgisession_id=" + alice},
		{name: "array name", header: "cgisession_id[]=" + alice},
		{name: "name with a dash", header: "cgisession-id=" + alice},
		{name: "Cyrillic name", header: "cgisess\u0456on_id=" + alice},
		{name: "wide equal sign", header: "cgisession_id\uff1d" + alice},
		{name: "header's name in it", header: "Cookie: " + is + alice},
		{name: "other name's session", header: is + carol},
		{name: "id under another name", header: "other_id=" + alice},
		{name: "beside another name's", header: "other_id=" + carol + "; " + is + alice, opens: true},
		{name: "name and NUL's escape", header: `cgisession_id\0=` + alice},

		// Equal signs, separators, empty values.
		{name: "nameless", header: "=" + is + alice},
		{name: "two equal signs", header: "cgisession_id==" + alice},
		{name: "equal sign after", header: is + alice + "="},
		{name: "equal sign inside", header: is + alice[:9] + "=" + alice[9:]},
		{name: "only signs", header: "==;;=;= ;"},
		{name: "no equal sign", header: "cgisession_id"},
		{name: "id alone", header: alice},
		{name: "empty value", header: is},
		{name: "empty value, then hers", header: is + "; " + is + alice, opens: true},
		{name: "hers, then empty value", header: is + alice + "; " + is, opens: true},
		{name: "comma for a separator", header: "a=b," + is + alice},
		{name: "comma after", header: is + alice + ", a=b"},
		{name: "separator in quotes", header: `a="b; ` + is + alice + `; c"`, opens: true},

		// The form of ids.
		{name: "15 characters", header: is + alice[:15]},
		{name: "16 characters", header: is + alice[:16]},
		{name: "31 characters", header: is + alice[:31]},
		{name: "33 characters", header: is + alice + "a"},
		{name: "128 characters", header: is + strings.Repeat("a", 128)},
		{name: "129 characters", header: is + strings.Repeat("a", 129)},
		{name: "hers four times", header: is + strings.Repeat(alice, 4)},
		{name: "upper case id", header: is + strings.ToUpper(alice)},
		{name: "bad character", header: is + alice[:31] + "!"},
		{name: "dot", header: is + alice[:31] + "."},
		{name: "slash", header: is + alice[:31] + "/"},
		{name: "accent", header: is + alice[:30] + "é"},
		{name: "emoji", header: is + "🍪🍪🍪🍪🍪🍪🍪🍪"},
		{name: "dashes only", header: is + strings.Repeat("-", 32)},
		{name: "looks like a flag", header: is + "--show-id--show-id"},
		{name: "zeros", header: is + strings.Repeat("0", 32)},
		{name: "unknown id", header: is + nobody},
		{name: "her handle", header: is + handle("cgisession_id", alice)},
		{name: "her handle's file", header: is + handle("cgisession_id", alice)[:2] + "/" + handle("cgisession_id", alice)},
		{name: "64 hex", header: is + strings.Repeat("0f", 32)},
		{name: "signed without a secret", header: is + signed(alice)},

		// Several of the name.
		{name: "two live", header: is + alice + "; " + is + bob},
		{name: "two live, the other first", header: is + bob + "; " + is + alice},
		{name: "live and dead", header: is + alice + "; " + is + nobody, opens: true},
		{name: "dead and live", header: is + nobody + "; " + is + alice, opens: true},
		{name: "same twice", header: is + alice + "; " + is + alice, opens: true},
		{name: "two live and a bad one", header: is + "x; " + is + alice + "; " + is + bob},
		{name: "seven dead and hers", header: many(7, is+"nobody%012d; ") + is + alice, opens: true},
		{name: "eight dead and hers", header: many(8, is+"nobody%012d; ") + is + alice, opens: true},
		{name: "hers and eight dead", header: is + alice + many(8, "; "+is+"nobody%012d"), opens: true},
		{name: "hers and a handle", header: is + alice + "; " + is + handle("cgisession_id", alice), opens: true},

		// Bytes and languages.
		{name: "0xFF", header: is + "\xff\xfe\xff"},
		{name: "0xFF after", header: is + alice + "\xff"},
		{name: "0xFF before the name", header: "\xff" + is + alice},
		{name: "0xFF beside", header: "a=\xff; " + is + alice, opens: true},
		{name: "DEL and ESC", header: is + "\x7f\x1b[2J" + alice},
		{name: "command substitution", header: is + "$(touch pwned)"},
		{name: "backquotes", header: is + "`touch pwned`"},
		{name: "quote and command", header: is + "'; touch pwned; '"},
		{name: "pipe", header: is + alice + "|touch pwned"},
		{name: "glob", header: is + "*"},
		{name: "shellshock", header: "() { :;}; touch pwned"},
		{name: "variable", header: is + "${HTTP_COOKIE}"},
		{name: "JSON object", header: is + `{"id":"` + alice + `"}`},
		{name: "JSON string", header: is + `\"` + alice + `\"`},
		{name: "formats", header: is + "%s%n%x%p%!d(string=)"},
		{name: "template", header: is + "{{.ID}}{{printf `%s` 1}}"},
		{name: "lookup", header: is + "${jndi:ldap://example.com/a}"},
		{name: "SQL", header: is + "' OR '1'='1' --"},
		{name: "HTML", header: is + "<script>alert(1)</script>"},
		{name: "serialized object", header: is + `O:8:"stdClass":0:{}`},
	}
}

func signedCookies() []sent {
	const is = "cgisession_id="
	good := mac(secret, "cgisession_id", alice)
	// 43 characters of base64 have two bits too many.
	sameBits := good[:42] + string(good[42]+1)
	std := strings.NewReplacer("-", "+", "_", "/")
	return []sent{
		{name: "hers", header: is + signed(alice), opens: true},
		{name: "unsigned", header: is + alice},
		{name: "empty", header: is},
		{name: "id and dot", header: is + alice + "."},
		{name: "mac alone", header: is + good},
		{name: "dot and mac", header: is + "." + good},
		{name: "mac and id", header: is + good + "." + alice},
		{name: "forged", header: is + alice + "." + strings.Repeat("A", 43)},
		{name: "cut", header: is + signed(alice)[:75]},
		{name: "half", header: is + alice + "." + good[:21]},
		{name: "longer", header: is + signed(alice) + "A"},
		{name: "padded", header: is + signed(alice) + "="},
		{name: "first bit flipped", header: is + alice + "." + string(good[0]^1) + good[1:]},
		{name: "a middle bit flipped", header: is + alice + "." + good[:20] + string(good[20]^1) + good[21:]},
		{name: "same bits, other text", header: is + alice + "." + sameBits},
		{name: "upper case mac", header: is + alice + "." + strings.ToUpper(good)},
		{name: "padded standard base64", header: is + alice + "." + std.Replace(good) + "="},
		{name: "hex mac", header: is + alice + "." + handle("cgisession_id", alice)},
		{name: "other name's mac", header: is + alice + "." + mac(secret, "other_id", alice)},
		{name: "mac without a name", header: is + alice + "." + mac(secret, "", alice)},
		{name: "other key's mac", header: is + alice + "." + mac("a secret of somebody who guesses", "cgisession_id", alice)},
		{name: "empty key's mac", header: is + alice + "." + mac("", "cgisession_id", alice)},
		{name: "both keys' mac", header: is + alice + "." + mac(secret+"\n"+olderSecret, "cgisession_id", alice)},
		{name: "other id's mac", header: is + alice + "." + mac(secret, "cgisession_id", bob)},
		{name: "two macs", header: is + signed(alice) + "." + good},
		{name: "two dots", header: is + alice + ".." + good},
		{name: "signed handle", header: is + signed(handle("cgisession_id", alice))},
		{name: "signed unknown id", header: is + signed(nobody)},
		{name: "signed path", header: is + signed("../../canary")},
		{name: "signed nothing", header: is + signed("")},
		{name: "signed with blank", header: is + alice + " ." + good},
		{name: "quoted", header: is + `"` + signed(alice) + `"`},
		{name: "encoded dot", header: is + alice + "%2E" + good},
		{name: "0xFF in the mac", header: is + alice + ".\xff" + good[1:]},
		{name: "two live", header: is + signed(alice) + "; " + is + signed(bob)},
		{name: "hers and another's, unsigned", header: is + signed(alice) + "; " + is + bob, opens: true},
		{name: "forged and hers", header: is + bob + "." + good + "; " + is + signed(alice), opens: true},
		{name: "hers and dead", header: is + signed(alice) + "; " + is + signed(nobody), opens: true},
		{name: "hers and 800 dead", header: is + signed(alice) + manySigned(800), opens: true},
		{name: "800 dead", header: manySigned(800)},
		{name: "hers signed and unsigned", header: is + alice + "; " + is + signed(alice), opens: true},
		{name: "hers with a good and a bad mac", header: is + alice + "." + good[1:] + "; " + is + signed(alice), opens: true},
		{name: "800 forged and hers", header: strings.Repeat(is+signed(bob)+"A;", 800) + is + signed(alice), opens: true},
	}
}

// many returns cookies that differ by a number.
func many(n int, format string) string {
	var header strings.Builder
	for i := range n {
		fmt.Fprintf(&header, format, i)
	}
	return header.String()
}

// manySigned returns cookies whose ids are signed and lead nowhere.
func manySigned(n int) string {
	var header strings.Builder
	for i := range n {
		fmt.Fprintf(&header, ";cgisession_id=%s", signed(fmt.Sprintf("nobody%012d", i)))
	}
	return header.String()
}

// logRows has the log tell of what was refused: by its handle, whatever was
// sent.
func logRows() []row {
	line := func(event, id string) string {
		return `time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ event="` + event + `" handle=` + handle("cgisession_id", id) + "\n"
	}
	rows := []row{
		{name: "forged lines", env: argv{"HTTP_COOKIE=cgisession_id=x\ntime=now event=\"all well\""},
			log: line("refused token", "x\ntime=now event=\"all well\"")},
		{name: "unknown id", env: argv{"HTTP_COOKIE=cgisession_id=" + nobody},
			log: line("refused unknown id", nobody)},
		{name: "two live", env: argv{"HTTP_COOKIE=cgisession_id=" + alice + ";cgisession_id=" + bob},
			log: line("ambiguous cookies", alice) + line("ambiguous cookies", bob)},
		{name: "another's id with her mac",
			env: argv{"CGISESSION_SECRET=" + secret, "HTTP_COOKIE=cgisession_id=" + bob + "." + mac(secret, "cgisession_id", alice)},
			log: line("refused token", bob)},
		{name: "more than are looked at", env: argv{"HTTP_COOKIE=" + strings.Repeat("cgisession_id=x;", 6000)},
			log: strings.Repeat(line("refused token", "x"), 8)},
	}
	for i := range rows {
		rows[i].args, rows[i].code = argv{"get", "--log-file", "-"}, 1
	}
	return rows
}
