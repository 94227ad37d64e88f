package cmd

// This file has what operators' verbs need for a user's sessions.

import (
	"errors"
	"fmt"
	"os"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"cgisession/cgi"
	"cgisession/store"
)

func userFlag(user *string, usage string) cli.Flag {
	return valueFlag("user", usage, parsed(user, parseUser))
}

// A clientNote is what a script noted of the client, with --note.
type clientNote struct {
	given bool
	text  string // perhaps empty
}

func noteFlag(note *clientNote) cli.Flag {
	return valueFlag("note", "note `TEXT` of the client beside --user, such as its User-Agent; cut at 200 bytes",
		parsed(note, func(text string) (clientNote, error) { return clientNote{true, cutNote(text)}, nil }))
}

// maxNote bounds a note, in bytes.
const maxNote = 200

// cutNote returns the first characters of a text that fit into a note. A client chose
// the text, so none is an error: a byte that is no UTF-8 becomes U+FFFD.
func cutNote(text string) string {
	var note []byte
	for _, char := range text {
		if len(note)+utf8.RuneLen(char) > maxNote {
			break
		}
		note = utf8.AppendRune(note, char)
	}
	return string(note)
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

// userCookieName returns the cookie name whose sessions --user means; empty: those of
// all names. A request means its own sessions. In an operator's shell only a name that was
// set counts: the default would find no session of a site with another name.
func (c *call) userCookieName() string {
	if c.cookieNamed || cgi.ReadScript(os.LookupEnv).Request {
		return c.cookieName
	}
	return ""
}

// eachOfUser visits the user's sessions. The store's index of users may be out of
// date, so a session that is another user's by now, or gone, is left out.
func (c *call) eachOfUser(user string, visit store.Visit) error {
	cookieName := c.userCookieName()
	return c.store.UserHandles(user, cookieName, func(handle string) error {
		return c.lookAgain(handle, func(s *store.Session, state store.State, wrong error) error {
			if !s.IsOf(user, cookieName) {
				return nil
			}
			return visit(s, state, wrong)
		})
	})
}

// lookAgain visits a session that the store has just named. One that is gone by now is
// left out.
func (c *call) lookAgain(handle string, visit store.Visit) error {
	err := c.store.Look(handle, visit)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
