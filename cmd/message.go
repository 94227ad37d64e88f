package cmd

// This file prints messages: on one line, and without ids, tokens and passwords.

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"cgisession/cgi"
	"cgisession/store"
)

// messages says where messages go.
type messages struct {
	stderr  io.Writer
	secrets secrets // what no message may hold
}

// report prints on stderr what went wrong, in one line, and returns the exit code.
func (m *messages) report(verb string, err error) int {
	code := exitCode(err)
	if err != nil && !silent(err) {
		if verb != "" {
			verb += ": "
		}
		fmt.Fprintf(m.stderr, "cgisession: %s%s\n", verb, m.secrets.printable(err.Error()))
	}
	return code
}

// warn prints an error that does not end the call.
func (m *messages) warn(err error) {
	fmt.Fprintf(m.stderr, "cgisession: %s\n", m.secrets.printable(err.Error()))
}

// silent reports whether err is an answer that only the exit code gives.
func silent(err error) bool {
	child := childExit{}
	return errors.Is(err, errNo) && !errors.Is(err, errNoSession) || errors.As(err, &child)
}

// A hint says when a verb prints a message for errNoSession.
type hint int

const (
	never      hint = iota
	onTerminal      // public pages ask for every visitor; in their log it would be noise
	always          // the script would go on without the change
)

// apply returns err, or errNo in place of an errNoSession that is not printed. If an
// earlier call exported a session, the script began as the message says.
func (h hint) apply(err error) error {
	if !errors.Is(err, errNoSession) {
		return err
	}
	_, exported := os.LookupEnv("CGISESSION_ID")
	if !exported && (h == always || h == onTerminal && term.IsTerminal(unix.Stderr)) {
		return err
	}
	return errNo
}

// secrets are the arguments, and the values of this program's variables, that may be
// an id, a token or a password given in the wrong place. They are collected once, for
// the first message, since doctor may print one for each session.
type secrets struct {
	once  sync.Once
	texts []string
}

// printable returns a message without secrets, escaped.
func (s *secrets) printable(message string) string { return escaped(s.hide(message)) }

// escaped returns a text in which every character is escaped that would end the line or
// control a terminal.
func escaped(text string) string {
	var line strings.Builder
	for _, r := range text {
		if quoted := strconv.QuoteRune(r); unicode.IsPrint(r) {
			line.WriteRune(r)
		} else {
			line.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return line.String()
}

// hide returns the message with "…" in place of each secret.
func (s *secrets) hide(message string) string {
	s.once.Do(func() { s.texts = secretTexts() })
	for _, text := range s.texts {
		message = strings.ReplaceAll(message, text, "…")
	}
	return message
}

// secretTexts returns the texts that hide replaces, the longest first: one may be the
// beginning of another.
func secretTexts() []string {
	args, _ := splitLine(os.Args)
	var texts []string
	for _, text := range maybeSecrets(args[1:], os.Environ()) {
		texts = append(texts, shownAs(text)...)
		if clean := filepath.Clean(text); clean != text && maybeSecret(clean) {
			texts = append(texts, shownAs(clean)...)
		}
	}
	slices.SortFunc(texts, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(texts)
}

// shownAs returns the forms in which a message may hold the text: as it is, quoted
// (%q), and each of them cut by short.
func shownAs(text string) (forms []string) {
	for _, form := range []string{text, text[:min(len(text), mostShown)]} {
		quoted := strconv.Quote(form)
		forms = append(forms, form, quoted[1:len(quoted)-1])
	}
	return forms
}

// maybeSecrets returns the parts of a command line and an environment that may be
// secret. A handle is no secret on the command line of a verb that takes one.
func maybeSecrets(args, env []string) []string {
	var texts []string
	for _, arg := range args {
		bare := strings.TrimLeft(arg, "-")
		name, value, _ := strings.Cut(bare, "=") // a flag and its value, or a KEY and its text
		texts = append(texts, value)
		if bare == arg || !isFlag(name) {
			texts = append(texts, bare, strings.TrimRight(name, ":@"))
		}
	}
	for _, variable := range env {
		if name, value, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "CGISESSION_") {
			texts = append(texts, value)
		}
	}
	for _, text := range texts {
		texts = append(texts, ids(text)...)
	}
	takesHandle := slices.Contains(args, "destroy") || slices.Contains(args, "show")
	return slices.DeleteFunc(texts, func(text string) bool {
		isHandle := len(text) == store.HandleSize && store.IsHex(text)
		return !maybeSecret(text) || isHandle && takesHandle
	})
}

// maybeSecret reports whether text may be an id, a token or a password: a part of it
// between slashes, dots and colons is as long as an id. Paths are not, nor names of
// reserved variables, nor texts that end in a colon, as most values of --redis-prefix
// do.
func maybeSecret(text string) bool {
	if isPath(text) || cgi.IsReserved(text) || strings.HasSuffix(text, ":") {
		return false
	}
	isEnd := func(r rune) bool { return strings.ContainsRune("/.:", r) }
	isLong := func(part string) bool { return len(part) >= store.MinID }
	return slices.ContainsFunc(strings.FieldsFunc(text, isEnd), isLong)
}

// ids returns the parts of a text that look like an id of this program. In PATH_INFO
// and in a JSON Pointer an id stands after a slash, where maybeSecret sees a path.
func ids(text string) []string {
	isEnd := func(r rune) bool {
		return !strings.ContainsRune("-_", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}
	return slices.DeleteFunc(strings.FieldsFunc(text, isEnd), func(part string) bool { return !store.IsNewID(part) })
}

func isPath(text string) bool {
	return strings.HasPrefix(text, "/") || strings.HasPrefix(text, "./") || strings.HasPrefix(text, "../")
}

// isFlag reports whether the name is that of a flag, or a part of one, so that a message
// which suggests the flag holds it.
func isFlag(name string) bool {
	return slices.ContainsFunc(allFlags(), func(f cli.Flag) bool {
		return slices.ContainsFunc(f.Names(), func(known string) bool { return strings.Contains(known, name) })
	})
}

// mostShown is how many bytes of an argument a message shows. The messages of package
// store show as many.
const mostShown = 64

// short returns the beginning of an argument, for a message.
func short(text string) string {
	if len(text) > mostShown {
		return text[:mostShown] + "…"
	}
	return text
}

// withoutPath returns the system's error without its operation and path, which the
// caller's message already has.
func withoutPath(err error) error {
	if path, ok := err.(*os.PathError); ok {
		if path.Err == unix.ELOOP {
			return fmt.Errorf("a symbolic link; name the file itself")
		}
		return path.Err
	}
	return err
}
