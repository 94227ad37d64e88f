package cmd

// This file reads a token that the client sent, from a flag or a descriptor.

import (
	"errors"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"cgisession/cgi"
	"cgisession/store"
)

// clientToken is a token that a client sent, which may be any text. It comes from the
// command line, which every user of the machine can see, or from a descriptor.
type clientToken struct {
	given bool   // text is the token
	text  string // perhaps empty
	onFD  bool   // the token is still to be read from descriptor fd
	fd    int
}

// flags returns the two flags that the token comes by: name and name-fd.
func (t *clientToken) flags(name, usage, usageFD string) []cli.Flag {
	return []cli.Flag{
		valueFlag(name, usage, parsed(t, func(text string) (clientToken, error) {
			return clientToken{given: true, text: text, onFD: t.onFD, fd: t.fd}, nil
		})),
		valueFlag(name+"-fd", usageFD, parsed(t, func(text string) (clientToken, error) {
			fd, err := parseTokenFD(text)
			return clientToken{given: t.given, text: t.text, onFD: true, fd: fd}, err
		})),
	}
}

// parseTokenFD accepts the number of a descriptor, except stdout's and stderr's.
func parseTokenFD(text string) (int, error) {
	fd, err := cgi.ParseFD(text)
	if err != nil && text != "0" {
		return 0, errors.New("must be 0, standard input, or the number of a descriptor from 3 up")
	}
	return fd, nil
}

// wanted reports whether a flag gave the token or its descriptor.
func (t *clientToken) wanted() bool { return t.given || t.onFD }

// onStdin reports whether standard input holds the token.
func (t *clientToken) onStdin() bool { return t.onFD && t.fd == unix.Stdin }

// check refuses both flags at once, and a descriptor that is not open.
func (t *clientToken) check(name string) error {
	switch {
	case t.given && t.onFD:
		return usagef("--%s and --%s-fd exclude each other", name, name)
	case t.onFD && !handedDown(t.fd):
		return usagef("--%s-fd %d: %w", name, t.fd, unix.EBADF)
	}
	return nil
}

// maxToken bounds a token that is read from a descriptor, in bytes. No valid token is
// as long; a longer text counts as an empty one.
const maxToken = 4096

// read returns the token. From a descriptor it reads once, to the end, and drops one
// line feed at the end; further calls return the same text.
func (t *clientToken) read(name string) (string, error) {
	if !t.onFD {
		return t.text, nil
	}
	text, err := readLimited(descriptor(t.fd), maxToken)
	switch {
	case errors.Is(err, store.ErrTooLarge):
		text = nil
	case err != nil:
		return "", usagef("--%s-fd %d: %w", name, t.fd, err)
	}
	*t = clientToken{given: true, text: strings.TrimSuffix(string(text), "\n")}
	return t.text, nil
}
