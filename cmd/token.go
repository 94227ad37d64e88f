package cmd

import (
	"errors"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"cgisession/cgi"
	"cgisession/store"
)

// clientToken is a token that a client sent: any text at all. It comes from the
// command line, which every user of the machine can see, or from a descriptor.
type clientToken struct {
	given bool
	text  string
	onFD  bool // on descriptor fd, where it waits to be read
	fd    int
}

// flags returns the two flags that give the token: name and name-fd.
func (t *clientToken) flags(name, usage, usageFD string) []cli.Flag {
	return []cli.Flag{
		&cli.GenericFlag{Name: name, Usage: usage, Value: parsed(t, func(text string) (clientToken, error) {
			return clientToken{given: true, text: text, onFD: t.onFD, fd: t.fd}, nil
		})},
		&cli.GenericFlag{Name: name + "-fd", Usage: usageFD, Value: parsed(t, func(text string) (clientToken, error) {
			fd, err := parseTokenFD(text)
			return clientToken{given: t.given, text: t.text, onFD: true, fd: fd}, err
		})},
	}
}

// parseTokenFD reads the number of a descriptor that can be read: not stdout or
// stderr.
func parseTokenFD(text string) (int, error) {
	fd, err := cgi.ParseFD(text)
	if err != nil && text != "0" {
		return 0, errors.New("must be 0, standard input, or the number of a descriptor from 3 up")
	}
	return fd, nil
}

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

// maxToken bounds what is read as a token, in bytes; none is as long.
const maxToken = 4096

// read returns the token, without a line feed at its end. It reads a descriptor
// once, however often it is called.
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
