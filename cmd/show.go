package cmd

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func showCommand(c *call) *cli.Command {
	var data, json bool // --json is accepted, as the other operators' verbs take it
	return c.operatorCommand("show", "HANDLE", "print what is known about a session as a JSON object",
		func(args []string) error {
			if len(args) != 1 {
				return usagef("%d arguments; one HANDLE is wanted", len(args))
			}
			handle, err := findHandle(args[0], c.store.Find)
			if err == nil {
				err = c.store.Look(handle, func(s *store.Session, state store.State, wrong error) error {
					printShown(c.stdout, s, state, wrong, data)
					return nil
				})
			}
			if errors.Is(err, store.ErrNotFound) {
				return fmt.Errorf("%w %s", errUnknown, args[0])
			}
			return err
		}, switchFlag("data", "print the data too", &data), jsonFlag(&json))
}

// printShown prints a session's members and, if data is set, its data. wrong is why the
// session cannot be read, else nil.
func printShown(out *output, s *store.Session, state store.State, wrong error, data bool) {
	o := listed(s, state)
	o.string("path", s.Path)
	if wrong != nil {
		o.string("wrong", wrong.Error())
	}
	if data && s.Data != nil {
		o.raw("data", s.Data)
	}
	out.printJSON(o.end())
}

// A findFunc returns the handle that begins with these digits, as Find of
// [store.Operator] does.
type findFunc = func(prefix string) (handle string, err error)

// findHandle returns the handle that an argument names by its first digits, or in
// full.
func findHandle(arg string, find findFunc) (string, error) {
	if !isHandle(arg) {
		return "", usagef("a HANDLE is %d to %d digits 0-9 a-f, as list prints them", store.MinHandle, store.HandleSize)
	}
	handle, err := find(arg)
	if errors.Is(err, store.ErrAmbiguous) {
		err = usagef("handle %s %w", arg, err)
	}
	return handle, err
}

// isHandle reports whether an argument has the form of a handle, or of its first digits.
func isHandle(arg string) bool {
	return len(arg) >= store.MinHandle && store.IsHex(arg) && len(arg) <= store.HandleSize
}
