package cmd

// This file sets the options: from the configuration file, over it from the section of
// this site, then from variables, then from flags.

import (
	"cmp"
	"errors"
	"fmt"
	neturl "net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// A binding ties an option to its variable in options. The same bindings serve flags,
// environment variables, the configuration file and the verb config.
type binding struct {
	name, alias string // the alias may be ""
	variable    string // the name of its environment variable
	byDefault   string // as the help shows it
	value       *value
	from        source
	section     int // of the file, the last one that has the option, from 1 up
}

// A source says where the text of an option that is in force came from.
type source struct {
	name string // of the flag, with its dashes, the variable or the file; "": it is the default
	line int    // in the file
}

func (s source) String() string {
	switch {
	case s.name == "":
		return "default"
	case s.line > 0:
		return s.name + ":" + strconv.Itoa(s.line)
	}
	return s.name
}

// value is the value of an option: how its text is parsed, and the text last set.
type value struct {
	set    func(text string) error
	inFile func(text string) (string, error) // the text that a text in the file stands for; nil: itself
	text   string
	words  []string // what it may be; nil: see set
}

func (v *value) Set(text string) error { v.text = text; return v.set(text) }
func (v *value) String() string        { return v.text }
func (v *value) Get() any              { return v.text }

// option binds an option and returns its flag. The flag's EnvVars are for the help only.
func (o *options) option(name, usage, byDefault string, v *value, aliases ...string) cli.Flag {
	b := o.bind(name, byDefault, v)
	if len(aliases) > 0 {
		b.alias = aliases[0]
	}
	return &cli.GenericFlag{
		Name: name, Aliases: aliases, EnvVars: []string{b.variable},
		Usage: usage, DefaultText: byDefault, Value: v,
	}
}

// switchOn is like option, for a switch that is off by default.
func (o *options) switchOn(name, usage string, on *bool) cli.Flag {
	b := o.bind(name, "false", boolean(on))
	return &cli.BoolFlag{Name: name, EnvVars: []string{b.variable}, Usage: usage, Destination: on}
}

func (o *options) bind(name, byDefault string, v *value) *binding {
	b := &binding{name: name, variable: variableOf(name), byDefault: byDefault, value: v}
	o.bound = append(o.bound, b)
	return b
}

// bindingOf returns the binding of an option, or nil if this verb does not have it.
func (o *options) bindingOf(name string) *binding {
	for _, b := range o.bound {
		if b.name == name || b.alias == name && name != "" {
			return b
		}
	}
	return nil
}

// settle sets the options. Each source overrides those before it.
func (o *options) settle(given []givenFlag) error {
	err := o.setFromFile(given)
	for _, b := range o.bound {
		if err == nil {
			err = b.setFromVariable()
		}
	}
	o.preferSecret()
	for _, g := range given {
		if err == nil {
			err = o.setFromFlag(g)
		}
	}
	return err
}

// setFromFile sets options from the configuration file. It checks the whole file, also
// sections of other sites and options that this verb does not have.
func (o *options) setFromFile(given []givenFlag) error {
	if err := o.chooseFile(given); err != nil || len(o.bound) == 0 {
		return err
	}
	path, text, err := readConfigText(o.configFile)
	if err != nil {
		return err
	}
	var others options
	p := configParser{path: path}
	err = p.each(text, func(e entry) error {
		return o.setFromEntry(path, e, p.number, p.section == "" || p.section == o.site, &others)
	})
	o.fileRead, o.sections = path, p.number
	if err == nil {
		err = p.checkSite(o.site)
	}
	return err
}

// setFromEntry sets an option from a line of the file, in the section of this number. What
// is not in force, in a section of another site, or not among this verb's options, is only
// checked; others is room for the latter.
func (o *options) setFromEntry(file string, e entry, section int, inForce bool, others *options) error {
	b := o.bindingOf(e.option)
	if b == nil {
		if others.bound == nil {
			others.bindAll()
		}
		b = others.bindingOf(e.option)
	}
	switch {
	case b == nil:
		return unknownOption(e.option)
	case slices.Contains(ofOneRequest, b.name):
		return fmt.Errorf("%s is no option of this file: give --%s or set %s", b.name, b.name, b.variable)
	case b.section == section+1:
		return fmt.Errorf("%s stands twice in this section; leave one out", b.name)
	}
	b.section = section + 1
	if inForce {
		b.from = source{file, e.line}
		return b.setFromText(e.text, true)
	}
	before := *o
	err := b.setFromText(e.text, false)
	*o = before
	return err
}

// setFromText sets the option to what a text of the file stands for.
func (b *binding) setFromText(text string, inForce bool) (err error) {
	real := text
	if b.value.inFile != nil {
		real, err = b.value.inFile(text)
	}
	if err == nil {
		err = b.value.set(real)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", b.name, withHint(err, text))
	}
	if inForce {
		b.value.text = real
	}
	return nil
}

// chooseFile sets the options --config and --site, which no file can set.
func (o *options) chooseFile(given []givenFlag) error {
	for _, name := range []string{"config", "site"} {
		b := o.bindingOf(name)
		if b == nil {
			return nil
		}
		if err := b.setFromVariable(); err != nil {
			return err
		}
		for _, g := range given {
			if g.name != name {
				continue
			}
			if err := o.setFromFlag(g); err != nil {
				return err
			}
		}
	}
	return nil
}

// preferSecret forgets the key file that the configuration file names if a variable holds
// a key: variables stand above the file. A key file that a variable or flag names stands
// above the key.
func (o *options) preferSecret() {
	_, set := os.LookupEnv(secretVariable)
	if b := o.bindingOf("secret-file"); b != nil && set && b.from.line > 0 {
		o.secretFile, b.value.text, b.from = "", "", source{}
	}
}

// ofOneRequest are options that would give all requests of a site the same session, or
// that say where to read the file.
var ofOneRequest = []string{"adopt-id", "config", "site"}

// setFromVariable sets the option from its variable, unless that is unset or empty. The
// message for a bad value does not repeat it: it may be a password.
func (b *binding) setFromVariable() error {
	text := os.Getenv(b.variable)
	if text == "" {
		return nil
	}
	if err := b.value.Set(text); err != nil {
		return usagef("variable %s, for --%s: %w", b.variable, b.name, err)
	}
	b.from = source{name: b.variable}
	return nil
}

// setFromFlag sets what the flag is bound to: an option, or a variable of the verb.
func (o *options) setFromFlag(g givenFlag) error {
	if err := g.set(); err != nil {
		return usagef("flag --%s: %w", g.name, err)
	}
	b := o.bindingOf(g.name)
	if b == nil {
		return nil
	}
	b.from = source{name: dashed(g.name)}
	if b.value.text = g.value; !g.hasValue {
		b.value.text = "true"
	}
	return nil
}

// variableOf returns the name of the environment variable that sets an option:
// CGISESSION_DATA_DIR for data-dir.
func variableOf(option string) string {
	text := []byte("CGISESSION_" + option)
	for i, c := range text {
		switch {
		case c == '-':
			text[i] = '_'
		case 'a' <= c && c <= 'z':
			text[i] = c - 'a' + 'A'
		}
	}
	return string(text)
}

// path accepts the path of a file or directory. In the configuration file, which is for
// all users, %u in it is the id of the user that reads the file.
func (o *options) path(to *string) *value {
	v := oneLine(to)
	v.inFile = func(text string) (string, error) {
		if strings.Contains(text, "%u") {
			text = strings.ReplaceAll(text, "%u", o.userID())
		}
		return text, nil
	}
	return v
}

func (o *options) userID() string { return cmp.Or(o.user, strconv.Itoa(os.Geteuid())) }

// serverURL accepts a Redis URL. In the configuration file, which other users can read,
// it must not hold a password.
func serverURL(to *string) *value {
	return oneLine(to).checkedInFile(func(text string) error {
		scheme, rest, _ := strings.Cut(text, "://")
		switch {
		case mayHoldPassword(text):
			return errors.New("must not hold a password, which other users could read here; " +
				"use redis-password-file")
		case rest == "", !slices.Contains(serverSchemes, strings.ToLower(scheme)):
			return errors.New("no URL such as redis://HOST:PORT/0, rediss://HOST:PORT or unix:///PATH")
		}
		return nil
	})
}

// serverSchemes are those of the URLs that package redis knows.
var serverSchemes = []string{
	"redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster",
}

// checkedInFile adds a check of the texts in the configuration file. Of flags and variables
// the same is checked later, when a cookie or a connection is made. In the file every verb
// finds it, and the message names the line.
func (v *value) checkedInFile(check func(text string) error) *value {
	v.inFile = func(text string) (string, error) { return text, check(text) }
	return v
}

// mayHoldPassword reports whether a URL holds a password, or would if its characters
// were escaped as they must be, or not escaped as they must not be. A build without Redis
// has no parser of URLs.
func mayHoldPassword(url string) bool {
	_, rest, ok := strings.Cut(url, "://")
	if !ok {
		rest = url
	}
	_, query, _ := strings.Cut(rest, "?")
	query, err := neturl.QueryUnescape(query)
	user := strings.ToLower(rest[:max(0, strings.LastIndexByte(rest, '@'))])
	return strings.Contains(user, ":") || strings.Contains(user, "%3a") || err != nil ||
		strings.Contains(strings.ToLower(query), "pass")
}
