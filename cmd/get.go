package cmd

import (
	"errors"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func getCommand(c *call) *cli.Command {
	var form getForm
	return c.sessionCommand("get", "[KEY...]", "print the data, or the values of some keys",
		func(args []string) error {
			targets, err := form.check(args)
			if err != nil {
				return err
			}
			data, err := c.data(form.byDefault() != nil)
			if err != nil {
				return err
			}
			text, err := form.print(data, targets)
			if err == nil {
				c.stdout.print(text)
			}
			return err
		},
		switchFlag("raw", "print strings without quotes; a line feed ends each value", &form.raw),
		switchFlag("nul", "as --raw, but a NUL ends each value", &form.nul),
		switchFlag("sh", "print shell code for eval that sets a variable for each KEY (a shell name, or VAR=/pointer)",
			&form.sh),
		valueFlag("default", "the `JSON` value of an absent key", parsed(&form.jsonDefault, parseDefault)),
		valueFlag("default-text", "the same, as a string: `TEXT` is taken literally",
			parsed(&form.textDefault, store.StringValue)),
		form.text.keyFlag(),
		c.noLockFlag())
}

func parseDefault(text string) (store.Value, error) {
	v, err := store.ParseValue([]byte(text))
	if err != nil {
		err = fmt.Errorf("%w; for a string write --default-text TEXT", err)
	}
	return v, err
}

// data returns the session's data. Without a session it returns nil if allowNone is
// set, else errNo.
func (c *call) data(allowNone bool) (store.Data, error) {
	reading := store.Touch
	if c.noLock {
		reading = store.Snapshot
	}
	r, err := c.view(reading)
	if errors.Is(err, errNo) && allowNone {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return r.session.Data, nil
}

// getForm says how values are printed.
type getForm struct {
	raw, nul, sh bool
	text         literal

	jsonDefault, textDefault store.Value // nil: not given
}

// byDefault returns the value of an absent key; nil: none was given.
func (f *getForm) byDefault() store.Value {
	if f.jsonDefault != nil {
		return f.jsonDefault
	}
	return f.textDefault
}

// check returns what to print, or an error for forms that exclude each other.
func (f *getForm) check(args []string) ([]target, error) {
	chosen := 0
	for _, on := range []bool{f.raw, f.nul, f.sh} {
		if on {
			chosen++
		}
	}
	switch {
	case chosen > 1:
		return nil, usagef("--raw, --nul and --sh exclude each other")
	case f.sh && f.text.on:
		return nil, usagef("--sh and --text exclude each other: a client's text names no variable")
	case f.jsonDefault != nil && f.textDefault != nil:
		return nil, usagef("--default and --default-text exclude each other")
	case (f.sh || f.text.on) && len(args) == 0:
		return nil, usagef("KEY missing; --sh and --text need one")
	}
	if f.sh {
		return parseTargets(args)
	}
	var targets []target
	for i, key := range f.text.keys(args) {
		targets = append(targets, target{args[i], key})
	}
	return targets, nil
}

// print returns what the verb prints. A single key that is absent is errNo. Without
// keys it is all of the data, or the default if data is nil.
func (f *getForm) print(data store.Data, targets []target) (string, error) {
	switch {
	case f.sh:
		return assign(targets, data, f.byDefault())
	case len(targets) == 0 && data == nil:
		return f.value(f.byDefault()), nil
	case len(targets) == 0:
		return f.value(store.Value(data)), nil
	case len(targets) > 1 && !f.raw && !f.nul:
		text, err := f.object(data, targets)
		return string(text) + "\n", err
	}
	text := ""
	for _, t := range targets {
		v, ok, err := f.getOrDefault(data, t.key)
		switch {
		case err != nil:
			return "", err
		case !ok && len(targets) == 1:
			return "", errNo
		}
		text += f.value(v)
	}
	return text, nil
}

// object returns a JSON object of the keys that are present, and of the others too if
// there is a default.
func (f *getForm) object(data store.Data, targets []target) ([]byte, error) {
	var o object
	for i, t := range targets {
		v, ok, err := f.getOrDefault(data, t.key)
		if err != nil {
			return nil, err
		}
		if ok && !slices.Contains(targets[:i], t) { // no name twice
			o.raw(t.name, v)
		}
	}
	return o.end(), nil
}

// getOrDefault returns the value of a key, or the default if the key is absent. It
// reports whether there is either.
func (f *getForm) getOrDefault(data store.Data, key string) (store.Value, bool, error) {
	v, ok, err := data.Get(key)
	if byDefault := f.byDefault(); !ok && err == nil && byDefault != nil {
		return byDefault, true, nil
	}
	return v, ok, err
}

// value returns one value as it is printed, with the NUL or line feed that ends it.
func (f *getForm) value(v store.Value) string {
	switch {
	case f.nul:
		return withoutNUL(v.Text()) + "\x00"
	case f.raw:
		return v.Text() + "\n"
	}
	return string(v) + "\n"
}
