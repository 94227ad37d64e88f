package cmd

// This file parses the configuration file.

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A config is a configuration file. sections[0] is what stands above the first section.
type config struct {
	path     string // "": no file
	sections []section
	names    map[string]bool // of the sections
}

// A section has the options of one site. Its name is "" above the first section.
type section struct {
	name    string
	entries []entry
}

// An entry is a line "option = text".
type entry struct {
	line         int
	option, text string
}

// parseConfig parses a file's text. An error names the file and the line, and repeats
// nothing of the line: it may hold a password.
func parseConfig(path, text string) (config, error) {
	conf := config{path: path, sections: []section{{}}}
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		n++
		if err := conf.parseLine(n, line); err != nil {
			return config{}, usagef("%s:%d: %w", path, n, err)
		}
	}
	return conf, nil
}

func (f *config) parseLine(n int, line string) error {
	if err := checkLine(line); err != nil {
		return err
	}
	line = trimBlanks(line)
	switch {
	case line == "", line[0] == '#':
		return nil
	case line[0] == '[':
		return f.beginSection(line)
	}
	option, text, ok := strings.Cut(line, "=")
	option, text = trimBlanks(option), trimBlanks(text)
	switch {
	case !ok:
		return errors.New("no option = value, [section] or # comment")
	case option == "":
		return errors.New("the option's name is missing before =")
	case text == "":
		return errors.New("the value is missing after =; leave out the line for the default")
	}
	s := &f.sections[len(f.sections)-1]
	s.entries = append(s.entries, entry{n, option, text})
	return nil
}

// checkLine refuses what a text editor would not show, and an operator not expect.
func checkLine(line string) error {
	if strings.HasPrefix(line, "\ufeff") {
		return errors.New("a byte order mark; save the file as UTF-8 without one")
	}
	if strings.HasSuffix(line, "\r") {
		return errors.New("a carriage return at the end; save the file with line ends of Unix")
	}
	for i := range len(line) {
		if c := line[i]; c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Errorf("a control character, 0x%02x, as byte %d of the line", c, i+1)
		}
	}
	return nil
}

func trimBlanks(text string) string { return strings.Trim(text, " \t") }

// beginSection begins the section that a line "[NAME]" names.
func (f *config) beginSection(line string) error {
	name := strings.TrimSuffix(line[1:], "]")
	if len(name) == len(line)-1 {
		return errors.New("a section is [NAME] alone on its line")
	}
	name = trimBlanks(name)
	switch {
	case name == "":
		return errors.New("the section's name is missing")
	case strings.ContainsAny(name, "[]"):
		return errors.New("a section's name must be without [ and ]")
	case f.names[name]:
		return errors.New("this section stands above already; leave one out")
	case f.names == nil:
		f.names = make(map[string]bool)
	}
	f.sections, f.names[name] = append(f.sections, section{name: name}), true
	return nil
}

// checkSite returns an error unless the file has the section that --site names.
func (f config) checkSite(site string) error {
	if site == "" || f.names[site] {
		return nil
	}
	if f.path == "" {
		return usagef("--site or CGISESSION_SITE: there is no configuration file that could have its section")
	}
	var names []string
	for _, s := range f.sections[1:] {
		names = append(names, s.name)
	}
	if near := nearest(site, names); near != "" {
		return usagef("--site or CGISESSION_SITE: %s has no such section; did you mean %s?", f.path, near)
	}
	return usagef("--site or CGISESSION_SITE: %s has no such section", f.path)
}

// unknownOption returns the error for an option that the file cannot have.
func unknownOption(name string) error {
	var o options
	o.allFlags()
	var known, flags []string
	for _, b := range o.bound {
		if !slices.Contains(ofOneRequest, b.name) {
			known = append(known, b.name)
		}
	}
	for _, f := range shownFlags(allFlags()) {
		flags = append(flags, f.Names()...)
	}
	if slices.Contains(flags, name) {
		return fmt.Errorf("%s is no option of this file: give the flag %s itself", name, dashed(name))
	}
	if near := meant(name, known); near != "" {
		return fmt.Errorf("no such option; did you mean %s?", near)
	}
	return errors.New("no such option; cgisession config lists them")
}

// withHint adds to the error of a value what probably went wrong.
func withHint(err error, text string) error {
	switch {
	case strings.Contains(text, " #"), strings.Contains(text, "\t#"):
		return fmt.Errorf("%w; a comment needs a line of its own", err)
	case bytes.ContainsRune([]byte(`"'`), rune(text[0])):
		return fmt.Errorf("%w; write it without quotes", err)
	}
	return err
}
