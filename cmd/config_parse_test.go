package cmd

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What is no configuration file is said with the line, and without what stands there.
func TestParseConfigRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		text, want string
	}{
		"line ends of Windows":  {"timeout = 30m\r\nlifetime = 7d\r\n", "f:1: a carriage return at the end"},
		"one of them":           {"timeout = 30m\nlifetime = 7d\r\n", "f:2: a carriage return at the end"},
		"line ends of old Macs": {"timeout = 30m\rlifetime = 7d\r", "f:1: a carriage return at the end"},
		"a return in a value":   {"data-dir = /a\rb\n", "f:1: a control character, 0x0d, as byte 14"},
		"a byte order mark":     {"\ufefftimeout = 30m\n", "f:1: a byte order mark"},
		"UTF-16":                {"\xff\xfet\x00i\x00m\x00e\x00", "f:1: a control character, 0x00, as byte 4"},
		"NUL":                   {"timeout = 30m\n\ndata-dir = /a\x00b", "f:3: a control character, 0x00, as byte 14"},
		"NUL in a comment":      {"# \x00\n", "f:1: a control character, 0x00, as byte 3"},
		"a program":             {"\x7fELF\x02\x01", "f:1: a control character, 0x7f, as byte 1"},
		"ESC":                   {"timeout = 30m\x1b[2J\n", "f:1: a control character, 0x1b"},
		"a word alone":          {"\n\ncorrect-horse\n", "f:3: no option = value"},
		"a colon":               {"timeout: 30m", "f:1: no option = value"},
		"no name":               {"=correct-horse", "f:1: the option's name is missing"},
		"= alone":               {" = ", "f:1: the option's name is missing"},
		"no value":              {"timeout =  \t", "f:1: the value is missing"},
		"no section's name":     {"[]", "f:1: the section's name is missing"},
		"blanks for one":        {"[ \t ]", "f:1: the section's name is missing"},
		"a section left open":   {"[correct-horse", "f:1: a section is [NAME] alone"},
		"more behind it":        {"[a] timeout = 30m", "f:1: a section is [NAME] alone"},
		"brackets in it":        {"[[a]]", "f:1: a section's name must be without"},
		"two in one line":       {"[a][b]", "f:1: a section's name must be without"},
		"a section again":       {"[a]\n[b]\n[ a ]", "f:3: this section stands above already"},
	} {
		_, err := parseConfig("f", c.text)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || exitCode(err) != exitUsage {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "correct-horse") {
			t.Errorf("%s: the line is repeated: %v", name, err)
		}
	}
}

func TestParseConfig(t *testing.T) {
	conf, err := parseConfig("f", ("a=b\n\t c  =  d e = f # g\t\n# x = y\n\n  #\n[s]\n[ two words ]\nk=\"v\"\n\xff = \xfe"))
	want := config{"f", []section{
		{"", []entry{{1, "a", "b"}, {2, "c", "d e = f # g"}}},
		{"s", nil},
		{"two words", []entry{{8, "k", `"v"`}, {9, "\xff", "\xfe"}}},
	}}
	if err != nil || !reflect.DeepEqual(conf, want) {
		t.Errorf("%v, %+v, want %+v", err, conf, want)
	}
	if conf, err = parseConfig("f", ""); err != nil || len(conf.sections) != 1 {
		t.Errorf("an empty file: %v, %+v", err, conf)
	}
}

// What is read from a file is what stands in it; without one there are no sections.
func TestReadConfig(t *testing.T) {
	path := twentyLines(t)
	conf, err := readConfig(path)
	if err != nil || conf.path != path || len(conf.sections) != 2 || len(conf.sections[0].entries) != 20 {
		t.Errorf("%v, %+v", err, conf)
	}
	if conf, err = readConfig(noConfig); err != nil || conf.sections != nil {
		t.Errorf("none: %v, %+v", err, conf)
	}
}

// render returns a file of the same sections and options.
func (f config) render() string {
	var text strings.Builder
	for _, s := range f.sections {
		if s.name != "" {
			fmt.Fprintf(&text, "[%s]\n", s.name)
		}
		for _, e := range s.entries {
			fmt.Fprintf(&text, "%s = %s\n", e.option, e.text)
		}
	}
	return text.String()
}

var atLine = regexp.MustCompile(`^f:[1-9][0-9]*: `)

// Any bytes are a file or an error with its line. What is read is what a file of it says
// again, and each option stands in its line.
func FuzzParseConfig(f *testing.F) {
	for _, text := range []string{
		"", "timeout = 30m\n", "[a]\nb=c\n[d]\n", "# x\n\n a = b = c \r\n", "\ufeffa=b", "a\x00=b", "[", "[]", "[[a]]",
		"=", "==", "a==", " [ x ] \n\ta=\tb\t", "a=b\na=b", "\xff=\xff",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		conf, err := parseConfig("f", text)
		if err != nil {
			if !atLine.MatchString(err.Error()) || !errors.As(err, new(usageError)) {
				t.Errorf("%v", err)
			}
			return
		}
		lines := strings.Split(text, "\n")
		for i := range conf.sections {
			for j := range conf.sections[i].entries {
				e := &conf.sections[i].entries[j]
				if line := lines[e.line-1]; !strings.Contains(line, e.option) || !strings.Contains(line, e.text) {
					t.Errorf("%+v is not in its line %q", *e, line)
				}
				e.line = 0
			}
		}
		again, err := parseConfig("f", conf.render())
		for i := range again.sections {
			for j := range again.sections[i].entries {
				again.sections[i].entries[j].line = 0
			}
		}
		if err != nil || !reflect.DeepEqual(conf, again) {
			t.Errorf("%v, %+v, want %+v", err, again, conf)
		}
	})
}

// A URL with a password is found without a parser of URLs, however it is written.
func TestMayHoldPassword(t *testing.T) {
	for url, want := range map[string]bool{
		"redis://127.0.0.1:6379/0":                              false,
		"rediss://cache.example.com":                            false,
		"redis://ann@127.0.0.1:6379/0":                          false,
		"unix:///run/redis.sock?db=1":                           false,
		"redis+sentinel://h:26379?master_name=m":                false,
		"redis+cluster://h:1?addr=h:2":                          false,
		"redis://[::1]:6379/0":                                  false,
		"redis://:hunter2@127.0.0.1":                            true,
		"redis://ann:hunter2@127.0.0.1":                         true,
		"redis://ann:@127.0.0.1":                                true,
		"redis://ann:hun/ter?2@127.0.0.1":                       true,
		"redis://ann:hunt@er2@127.0.0.1":                        true,
		"unix://ann:hunter2@/run/redis.sock":                    true,
		"redis://h/0?password=hunter2":                          true,
		"redis://h/0?db=1&PASSWORD=hunter2":                     true,
		"redis+sentinel://h?master_name=m&sentinel_password=hu": true,
		"redis://h/0?pass%77ord=hunter2":                        true,
		"redis+cluster://h:1?addr=%5B::1%5D:2":                  false,
		"redis://h/0?%zz=1&password=hunter2":                    true,
		"redis://ann%3Ahunter2@127.0.0.1":                       true,
		"redis://ann%3ahunter2@127.0.0.1":                       true,
		"redis://h/0?pass=hunter2":                              true,
		"redis://h/0?passwd=hunter2":                            true,
		"ann:hunter2@127.0.0.1":                                 true,
		"127.0.0.1:6379":                                        false,
	} {
		if got := mayHoldPassword(url); got != want {
			t.Errorf("%s: %v", url, got)
		}
		if hidden := withoutPassword(url); strings.Contains(hidden, "hu") || !want && hidden != url {
			t.Errorf("%s is shown as %s", url, hidden)
		}
	}
}

// The manual's page lists the options that the file can have, and no others.
func TestConfigOptionsInManual(t *testing.T) {
	page, err := os.ReadFile("manual/cgisession.conf.5.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "\n## OPTIONS\n")
	text, _, _ = strings.Cut(text, "\n\nAll others")
	var listed, want []string
	for _, found := range regexp.MustCompile(`\*\*([a-z-]+)\*\*`).FindAllStringSubmatch(text, -1) {
		listed = append(listed, found[1])
	}
	var o options
	o.bindAll()
	for _, b := range o.bound {
		if slices.Contains(ofOneRequest, b.name) {
			continue
		}
		want = append(want, b.name)
		if b.alias != "" {
			want = append(want, b.alias)
		}
	}
	if !slices.Equal(listed, want) {
		t.Errorf("the page lists %q, the file can have %q", listed, want)
	}
}
