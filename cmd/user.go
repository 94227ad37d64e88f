package cmd

// This file has what operators' verbs need for a user's sessions.

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func userFlag(user *string, usage string) cli.Flag {
	return valueFlag("user", usage, parsed(user, parseUser))
}

// maxUser bounds a user's name, in bytes.
const maxUser = 256

// parseUser accepts a user's name that a session's record can hold.
func parseUser(text string) (string, error) {
	if _, err := store.StringValue(text); err != nil || text == "" || len(text) > maxUser {
		return "", fmt.Errorf("must be 1 to %d bytes of UTF-8", maxUser)
	}
	return text, nil
}

// eachOfUser visits the user's sessions. The store's index of users may be out of
// date, so a session that is another user's by now, or gone, is left out.
func eachOfUser(o store.Operator, user string, visit store.Visit) error {
	return o.UserHandles(user, func(handle string) error {
		err := o.Look(handle, func(s *store.Session, state store.State, wrong error) error {
			if s.User != user {
				return nil
			}
			return visit(s, state, wrong)
		})
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
}
