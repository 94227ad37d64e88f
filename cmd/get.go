package cmd

import (
	"errors"
	"slices"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func getCommand(c *call) *cli.Command {
	var form getForm
	return c.sessionCommand("get", "[KEY...]", "print the data, or the values of some keys",
		func(keys []string) error {
			targets, err := form.check(keys)
			if err != nil {
				return err
			}
			data, err := c.data(form.byDefault != nil)
			if err != nil {
				return err
			}
			text, err := form.print(data, keys, targets)
			if err == nil {
				c.stdout.print(text)
			}
			return err
		},
		switchFlag("raw", "print strings without quotes; a line feed ends each value", &form.raw),
		switchFlag("nul", "as --raw, but a NUL ends each value", &form.nul),
		switchFlag("sh", "print shell code for eval that sets a variable for each KEY (a shell name, or VAR=/pointer)",
			&form.sh),
		valueFlag("default", "the `JSON` value of an absent key", parsed(&form.byDefault, parseJSON)),
		c.noLockFlag())
}

func parseJSON(text string) (store.Value, error) { return store.ParseValue([]byte(text)) }

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
	byDefault    store.Value // nil: none
}

// check returns an error for forms that exclude each other. For --sh it returns the
// variables to set.
func (f *getForm) check(keys []string) ([]target, error) {
	chosen := 0
	for _, on := range []bool{f.raw, f.nul, f.sh} {
		if on {
			chosen++
		}
	}
	if chosen > 1 {
		return nil, usagef("--raw, --nul and --sh exclude each other")
	}
	if !f.sh {
		return nil, nil
	}
	if err := someArguments(keys, "KEY for --sh"); err != nil {
		return nil, err
	}
	return parseTargets(keys)
}

// print returns what the verb prints. A single key that is absent is errNo. Without
// keys it is all of the data, or the default if data is nil.
func (f *getForm) print(data store.Data, keys []string, targets []target) (string, error) {
	switch {
	case f.sh:
		return assign(targets, data, f.byDefault)
	case len(keys) == 0 && data == nil:
		return f.value(f.byDefault), nil
	case len(keys) == 0:
		return f.value(store.Value(data)), nil
	case len(keys) > 1 && !f.raw && !f.nul:
		text, err := f.object(data, keys)
		return string(text) + "\n", err
	}
	text := ""
	for _, key := range keys {
		v, ok, err := f.getOrDefault(data, key)
		switch {
		case err != nil:
			return "", err
		case !ok && len(keys) == 1:
			return "", errNo
		}
		text += f.value(v)
	}
	return text, nil
}

// object returns a JSON object of the keys that are present, and of the others too if
// there is a default.
func (f *getForm) object(data store.Data, keys []string) ([]byte, error) {
	var o object
	for i, key := range keys {
		v, ok, err := f.getOrDefault(data, key)
		if err != nil {
			return nil, err
		}
		if ok && !slices.Contains(keys[:i], key) { // no name twice
			o.raw(key, v)
		}
	}
	return o.end(), nil
}

// getOrDefault returns the value of a key, or the default if the key is absent. It
// reports whether there is either.
func (f *getForm) getOrDefault(data store.Data, key string) (store.Value, bool, error) {
	v, ok, err := data.Get(key)
	if !ok && err == nil && f.byDefault != nil {
		return f.byDefault, true, nil
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
