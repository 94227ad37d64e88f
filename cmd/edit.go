package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
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
		path, err := lookCommand(args[0])
		if err != nil {
			return err
		}
		return c.underLock(func() error {
			_, err := c.change(policy{}, func(s *store.Session) (_ store.Outcome, err error) {
				s.Data, err = filter(path, args, s.Data, 2*c.maxSize)
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

// head is a buffer that keeps the first maxSaid bytes.
type head struct{ bytes.Buffer }

func (b *head) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), maxSaid-b.Len())])
	return len(p), nil
}

// limited is a buffer that fails a write beyond its size, which ends the writer.
type limited struct {
	bytes.Buffer
	most int
}

func (b *limited) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.most {
		return 0, fmt.Errorf("it printed over %d bytes", b.most)
	}
	return b.Buffer.Write(p)
}

// waitDelay is how long a filter's output may come after its end: what it left
// running in the background does not hold the lock for longer.
const waitDelay = time.Second

// filter runs the command with the data on its standard input, and returns the
// JSON object that it prints, in at most limit bytes.
func filter(path string, args []string, data store.Data, limit int) (store.Data, error) {
	stdout, stderr := limited{most: limit}, head{}
	command := exec.Cmd{
		Path: path, Args: args, WaitDelay: waitDelay,
		Stdin: bytes.NewReader(append(data[:len(data):len(data)], '\n')), Stdout: &stdout, Stderr: &stderr,
	}
	err := command.Run()
	if errors.Is(err, exec.ErrWaitDelay) { // it succeeded, and left others its pipes
		err = nil
	}
	if notRun, ok := err.(*os.PathError); ok {
		return nil, commandError{args[0], plain(notRun)}
	}
	if err != nil {
		said := strings.TrimSuffix(": "+strings.TrimSpace(stderr.String()), ": ")
		return nil, fmt.Errorf("%w %s: %w%s", errFilter, args[0], err, said)
	}
	changed, err := store.ParseData(stdout.Bytes())
	if err != nil {
		return nil, fmt.Errorf("%w %s printed no data: %v", errFilter, args[0], err)
	}
	return changed, nil
}
