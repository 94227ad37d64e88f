package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

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
		_, err = c.change(policy{}, func(s *store.Session) (store.Outcome, error) {
			s.Data, err = filter(path, args, s.Data)
			return store.Save, err
		})
		return err
	})
}

// errFilter says that the filter of edit did not give new data.
var errFilter = errors.New("filter")

// filter runs the command with the data on its standard input, and returns the
// JSON object that it prints.
func filter(path string, args []string, data store.Data) (store.Data, error) {
	var stdout, stderr bytes.Buffer
	command := exec.Cmd{Path: path, Args: args, Stdin: bytes.NewReader(append(data[:len(data):len(data)], '\n')), Stdout: &stdout, Stderr: &stderr}
	err := command.Run()
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
