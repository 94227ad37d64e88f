package cmd

// This file prints the options in force.

import (
	"cmp"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

func configCommand(c *call) *cli.Command {
	var json bool
	return command("config", "", "print every option in force, and where it came from",
		append(c.bindAll(), jsonFlag(&json)), func(args []string) error {
			if err := noArguments(args); err != nil {
				return err
			}
			if err := c.readEnvironment(); err != nil {
				return err
			}
			for _, s := range c.inForce() {
				if !json {
					c.stdout.print(s.option + " " + escaped(cmp.Or(s.text, "none")) + " " + escaped(s.from) + "\n")
					continue
				}
				var line object
				line.string("option", s.option)
				line.stringOrNull("value", s.text)
				line.string("from", s.from)
				c.stdout.printJSON(line.end())
			}
			return nil
		})
}

// An optionInForce is a line of config.
type optionInForce struct{ option, text, from string }

// inForce returns the options in the order of the help, without those of one request and
// without secrets. An empty text stands for none.
func (c *call) inForce() (all []optionInForce) {
	for _, b := range c.bound {
		text := b.value.text
		switch b.name {
		case "adopt-id":
			continue
		case "config":
			text = c.fileRead // none is no file
		case "data-dir":
			text = c.directory(c.env)
		case "redis-url":
			text = withoutPassword(text)
		default:
			if b.from == (source{}) {
				text = b.byDefault
				if slices.Contains(noDefaults, text) {
					text = ""
				}
			}
		}
		all = append(all, optionInForce{b.name, text, b.from.String()})
		if _, set := os.LookupEnv(secretVariable); b.name == "secret-file" && set && c.secretFile == "" {
			all = append(all, optionInForce{"secret", "set", secretVariable})
		}
	}
	return all
}

// noDefaults are what the help says of options that have no value by default.
var noDefaults = []string{"none", "this host only", "the system's"}

// withoutPassword returns a Redis URL with "…" in place of its password, and of what
// could be a part of one.
func withoutPassword(url string) string {
	if !mayHoldPassword(url) {
		return url
	}
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return "…"
	}
	at := strings.LastIndexByte(rest, '@')
	user, host := rest[:max(0, at)], rest[at+1:]
	user = strings.NewReplacer("%3a", ":", "%3A", ":").Replace(user)
	if name, _, has := strings.Cut(user, ":"); has {
		user = name + ":…"
	}
	if at >= 0 {
		user += "@"
	}
	host, _, query := strings.Cut(host, "?")
	if query {
		host += "?…"
	}
	return scheme + "://" + user + host
}
