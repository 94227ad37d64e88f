package cmd

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func setCommand(c *call) *cli.Command {
	var stdin, ifExists bool
	var text literal
	return c.headerCommand("set",
		"KEY=TEXT|KEY:=JSON|KEY@=FILE|KEY:@=FILE... | --text KEY VALUE...",
		"store values under keys, all in one change",
		func(args []string) (*result, error) {
			switch {
			case stdin && text.on:
				return nil, usagef("--stdin and --text exclude each other")
			case !stdin && !text.on && len(args) == 0:
				return nil, usagef("no assignment; write KEY=TEXT, or --stdin to merge the JSON object " +
					"on standard input")
			}
			parse := c.parseAssignments
			if text.on {
				parse = parsePairs
			}
			assignments, err := parse(args)
			if err != nil {
				return nil, err
			}
			if stdin {
				patch, err := c.readData()
				if err != nil {
					return nil, err
				}
				merge := func(d store.Data) (store.Data, error) { return d.Merge(patch), nil }
				assignments = append([]assignment{merge}, assignments...)
			}
			return c.change(policy{create: createMissing}.onlyIf(ifExists), assignAll(assignments))
		},
		switchFlag("stdin", "first merge the JSON object on standard input (RFC 7396)", &stdin),
		text.flag(0, 2, "all arguments after it are keys and values, taken literally: no flags, files or JSON Pointers"),
		ifExistsFlag(&ifExists))
}

// An assignment changes the data as one argument of set says, or its standard input.
type assignment func(store.Data) (store.Data, error)

// assignAll returns the change that makes all assignments, or none if one fails.
func assignAll(assignments []assignment) store.Change {
	return func(s *store.Session) (store.Outcome, error) {
		for _, assign := range assignments {
			data, err := assign(s.Data)
			if err != nil {
				return store.Keep, err
			}
			s.Data = data
		}
		return store.Save, nil
	}
}

// parseAssignments parses the arguments of set. The key ends at the first "=". A ":"
// before that means JSON, a "@" a file, and ":@" a file of JSON.
func (o *options) parseAssignments(args []string) ([]assignment, error) {
	var assignments []assignment
	for i, arg := range args {
		key, text, ok := strings.Cut(arg, "=")
		if !ok {
			return nil, usagef("argument %d: write KEY=TEXT, KEY:=JSON, KEY@=FILE or KEY:@=FILE", i+1)
		}
		key, isFile := strings.CutSuffix(key, "@")
		key, isJSON := strings.CutSuffix(key, ":")
		if isFile {
			content, err := o.readValueFile(text)
			if err != nil {
				return nil, err
			}
			text = content
		}
		v, err := parseAssigned(text, isJSON)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", short(key), err)
		}
		assignments = append(assignments, func(d store.Data) (store.Data, error) { return d.Set(key, v) })
	}
	return assignments, nil
}

// parsePairs parses the arguments of set --text: KEY VALUE KEY VALUE and so on. A
// client may have sent any of them, so no message repeats one.
func parsePairs(args []string) ([]assignment, error) {
	if len(args) == 0 || len(args)%2 != 0 {
		return nil, usagef("%d arguments; after --text write KEY VALUE, each in its own argument", len(args))
	}
	var assignments []assignment
	for i := 0; i < len(args); i += 2 {
		if _, err := store.StringValue(args[i]); err != nil {
			return nil, fmt.Errorf("key %d: %w", i/2+1, err)
		}
		key := store.MemberKey(args[i])
		v, err := store.StringValue(args[i+1])
		if err != nil {
			return nil, fmt.Errorf("value %d: %w", i/2+1, err)
		}
		assignments = append(assignments, func(d store.Data) (store.Data, error) { return d.Set(key, v) })
	}
	return assignments, nil
}

// parseAssigned returns the value that text stands for: the JSON, or the string.
func parseAssigned(text string, isJSON bool) (store.Value, error) {
	if isJSON {
		return store.ParseValue([]byte(text))
	}
	return store.StringValue(text)
}
