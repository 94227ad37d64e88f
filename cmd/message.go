package cmd

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/urfave/cli/v2"

	"cgisession/cgi"
	"cgisession/store"
)

// report says on stderr what went wrong, in one line, and returns the exit code.
func report(verb string, err error) int {
	code := exitCode(err)
	if err != nil && !silent(err) {
		if verb != "" {
			verb += ": "
		}
		fmt.Fprintf(stderr(), "cgisession: %s%s\n", verb, printable(err.Error()))
	}
	return code
}

// printable returns a message as it may be shown: without what may open a session,
// and with what would end the line or steer a terminal escaped.
func printable(message string) string {
	var line strings.Builder
	for _, r := range hideSecrets(message) {
		if quoted := strconv.QuoteRune(r); unicode.IsPrint(r) {
			line.WriteRune(r)
		} else {
			line.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return line.String()
}

// silent reports whether err is an answer that only the exit code gives.
func silent(err error) bool {
	child := childExit{}
	return errors.Is(err, errNo) || errors.As(err, &child)
}

// hideSecrets returns the message with "…" in place of each argument, and each
// value of a variable of this program, that may be an id, a token or a password
// given in the wrong place. The message may hold it in quotes, or cut by short.
func hideSecrets(message string) string {
	args, _ := splitLine(os.Args)
	texts := maybeSecrets(args[1:], os.Environ())
	for _, longest := range []int{math.MaxInt, mostShown} {
		for _, text := range texts {
			text = text[:min(len(text), longest)]
			quoted := strconv.Quote(text)
			message = strings.ReplaceAll(message, text, "…")
			message = strings.ReplaceAll(message, quoted[1:len(quoted)-1], "…")
		}
	}
	return message
}

// maybeSecrets returns what hideSecrets looks for, the longest first, since one
// may begin as another does.
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
	texts = slices.DeleteFunc(texts, func(text string) bool { return !maybeSecret(text) })
	slices.SortFunc(texts, func(a, b string) int { return len(b) - len(a) })
	return texts
}

// maybeSecret reports whether text may be an id, a token or a password: it is as
// long as an id, also between the slashes, dots and colons of paths, domains, dates
// and tokens. What begins as a path does is none, nor are handles, names of
// variables, and what ends as --redis-prefix mostly does.
func maybeSecret(text string) bool {
	isHandle := len(text) == store.HandleSize && store.IsHex(text)
	if isPath(text) || isHandle || cgi.IsReserved(text) || strings.HasSuffix(text, ":") {
		return false
	}
	isEnd := func(r rune) bool { return strings.ContainsRune("/.:", r) }
	return slices.ContainsFunc(strings.FieldsFunc(text, isEnd), func(part string) bool { return len(part) >= store.MinID })
}

func isPath(text string) bool {
	return slices.ContainsFunc([]string{"/", "./", "../"}, func(start string) bool { return strings.HasPrefix(text, start) })
}

func isFlag(name string) bool {
	return slices.ContainsFunc(allFlags(), func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
}

// mostShown is how much of an argument a message shows, in bytes; store has the same.
const mostShown = 64

// short returns the beginning of an argument, for a message.
func short(text string) string {
	if len(text) > mostShown {
		return text[:mostShown] + "…"
	}
	return text
}
