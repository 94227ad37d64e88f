package cmd

// This file parses the configuration file.

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A config is a configuration file. sections[0] is what stands above the first section.
type config struct {
	path     string // "": no file
	sections []section
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

// parseConfig parses a file's text.
func parseConfig(path, text string) (config, error) {
	conf := config{path, []section{{}}}
	p := configParser{path: path}
	p.begin = func() { conf.sections = append(conf.sections, section{name: p.section}) }
	err := p.each(text, func(e entry) error {
		s := &conf.sections[p.number]
		s.entries = append(s.entries, e)
		return nil
	})
	return conf, err
}

// A configParser reads a file line by line, since a call need not keep what it sets.
type configParser struct {
	path    string
	section string          // the one that is being read; "" above the first
	number  int             // how many sections have begun
	names   map[string]bool // of the sections
	begin   func()          // is called when a section begins; may be nil
}

// each calls visit for each entry. An error names the file and the line, and repeats
// nothing of the line: it may hold a password.
func (p *configParser) each(text string, visit func(entry) error) error {
	for n := 1; text != ""; n++ {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		e, err := p.parseLine(line)
		if e.line = n; err == nil && e.option != "" {
			err = visit(e)
		}
		if err != nil {
			return usagef("%s:%d: %w", p.path, n, err)
		}
	}
	return nil
}

// parseLine returns the line's entry, without an option if it has none.
func (p *configParser) parseLine(line string) (entry, error) {
	if err := checkLine(line); err != nil {
		return entry{}, err
	}
	line = trimBlanks(line)
	switch {
	case line == "", line[0] == '#':
		return entry{}, nil
	case line[0] == '[':
		return entry{}, p.beginSection(line)
	}
	option, text, ok := strings.Cut(line, "=")
	e := entry{option: trimBlanks(option), text: trimBlanks(text)}
	switch {
	case !ok:
		return e, errors.New("no option = value, [section] or # comment")
	case e.option == "":
		return e, errors.New("the option's name is missing before =")
	case e.text == "":
		return e, errors.New("the value is missing after =; leave out the line for the default")
	}
	return e, nil
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
func (p *configParser) beginSection(line string) error {
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
	case p.names[name]:
		return errors.New("this section stands above already; leave one out")
	case p.names == nil:
		p.names = make(map[string]bool)
	}
	p.section, p.number, p.names[name] = name, p.number+1, true
	if p.begin != nil {
		p.begin()
	}
	return nil
}

// checkSite returns an error unless the file has the section that --site names.
func (p *configParser) checkSite(site string) error {
	if site == "" || p.names[site] {
		return nil
	}
	if p.path == "" {
		return usagef("--site or CGISESSION_SITE: there is no configuration file that could have its section")
	}
	if near := nearest(site, slices.Sorted(maps.Keys(p.names))); near != "" {
		return usagef("--site or CGISESSION_SITE: %s has no such section; did you mean %s?", p.path, near)
	}
	return usagef("--site or CGISESSION_SITE: %s has no such section", p.path)
}

// unknownOption returns the error for an option that the file cannot have.
func unknownOption(name string) error {
	var o options
	o.bindAll()
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
