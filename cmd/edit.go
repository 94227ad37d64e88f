package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func editCommand(c *call) *cli.Command {
	return c.sessionCommand("edit", "COMMAND...", "pipe the data through a filter, under the lock", func(args []string) error {
		if err := someArguments(args, "COMMAND"); err != nil {
			return err
		}
		path, err := lookCommand(args)
		if err != nil {
			return err
		}
		return c.underLock(func() error {
			_, err := c.change(policy{}, func(s *store.Session) (_ store.Outcome, err error) {
				s.Data, err = filter(path, args, withoutSecrets(c.environment(nil, nil)), s.Data, c.maxSize)
				return store.Save, err
			})
			return err
		})
	})
}

// errFilter says that the filter of edit did not give new data.
var errFilter = errors.New("filter")

// maxSaid is how much of what a filter says on stderr is repeated, in bytes.
const maxSaid = 4096

// A filterOutput keeps the first bytes that a filter prints on stdout or stderr. One
// that prints more than it may is ended. It has no method but Write: io.Copy would
// prefer a ReadFrom, such as that of bytes.Buffer, which knows no limit.
type filterOutput struct {
	kept    []byte
	most    int          // bytes that are kept
	allowed int          // bytes that may be printed
	printed int          // bytes
	end     func() error // kills the filter
	ended   bool
}

func (o *filterOutput) Write(p []byte) (int, error) {
	o.kept = append(o.kept, p[:min(len(p), o.most-len(o.kept))]...)
	if o.printed += len(p); o.printed > o.allowed {
		o.ended = true
		o.end()
		return 0, errOutputLimit
	}
	return len(p), nil
}

var errOutputLimit = errors.New("printed too much")

// waitDelay is how long a filter's output may come after its end: what it left
// running in the background does not hold the lock for longer.
const waitDelay = time.Second

// filter runs the command with the data on its standard input, and returns the
// JSON object that it prints. With the whitespace that JSON allows, that may take
// twice as many bytes as data may have, and a page more. What it says on stderr may
// take as many as data may have.
func filter(path string, args, env []string, data store.Data, maxSize int) (store.Data, error) {
	command := exec.Cmd{Path: path, Args: args, Env: env, WaitDelay: waitDelay}
	end := func() error { return command.Process.Kill() }
	limit := 2*maxSize + page
	stdout := filterOutput{most: limit, allowed: limit, end: end}
	stderr := filterOutput{most: maxSaid, allowed: max(maxSize, maxSaid), end: end}
	command.Stdin = bytes.NewReader(append(data[:len(data):len(data)], '\n'))
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	said := strings.TrimSuffix(": "+strings.TrimSpace(string(stderr.kept)), ": ")
	notRun, isPath := err.(*os.PathError)
	switch {
	case isPath:
		return nil, commandError{args[0], plain(notRun)}
	case stdout.ended:
		return nil, fmt.Errorf("filter %s printed over %d bytes: %w allows%s", args[0], stdout.allowed, store.ErrTooLarge, said)
	case stderr.ended:
		return nil, fmt.Errorf("%w %s printed over %d bytes on stderr%s", errFilter, args[0], stderr.allowed, said)
	case errors.Is(err, exec.ErrWaitDelay): // it succeeded, and left others its pipes
	case err != nil:
		return nil, fmt.Errorf("%w %s: %w%s", errFilter, args[0], err, said)
	}
	changed, err := store.ParseData(stdout.kept)
	if err != nil {
		return nil, fmt.Errorf("%w %s printed no data: %v", errFilter, args[0], err)
	}
	return changed, nil
}

// withoutSecrets returns the environment without what holds a secret: the key that
// signs ids, and the URL of Redis if it may have a password in it.
func withoutSecrets(all []string) []string {
	return slices.DeleteFunc(all, func(variable string) bool {
		name, value, _ := strings.Cut(variable, "=")
		return name == "CGISESSION_SECRET" ||
			name == "CGISESSION_REDIS_URL" && (strings.ContainsAny(value, "@%") || strings.Contains(value, "password"))
	})
}
