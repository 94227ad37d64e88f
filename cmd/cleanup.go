package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"cgisession/store"
)

func cleanupCommand(c *call) *cli.Command {
	var sweep store.Sweep
	var json, all bool
	flags := append(c.storeFlags(),
		switchFlag("all", "clean the directories of all sites and users in the configuration file, "+
			"each as its owner; for root", &all),
		valueFlag("max-time", "stop after `TIME`; the next run goes on from there", duration(&sweep.MaxTime)),
		valueFlag("max-delete", "stop after `N` sessions; the next run goes on from there",
			parsed(&sweep.MaxDelete, parseCount)),
		switchFlag("dry-run", "remove nothing; say how much it would remove", &sweep.DryRun),
		jsonFlag(&json),
		&cli.GenericFlag{Name: "owner", Hidden: true, Value: parsed(&c.actAs, parseAccount)}) // of a child of --all
	return command("cleanup", "", "remove the sessions that were idle for longer than --timeout", flags,
		func(args []string) error {
			if err := noArguments(args); err != nil {
				return err
			}
			if all {
				return c.cleanAll(sweep, json)
			}
			return c.operate(func() error { return c.clean(sweep, json) })
		})
}

// clean cleans one store.
func (c *call) clean(sweep store.Sweep, json bool) error {
	if c.timeout == 0 {
		return usagef("--timeout missing, or 0, which is no time: " +
			"say how long a session may be idle, such as 30m")
	}
	c.progress.removals = removedWord(sweep.DryRun)
	ctx, stop := untilTerminated()
	defer stop()
	start := time.Now()
	done, err := c.store.Sweep(ctx, sweep)
	printSwept(c.stdout, place{}, done, time.Since(start), sweep.DryRun, json)
	return err
}

// untilTerminated returns a context that ends at SIGTERM, and at SIGINT and SIGHUP
// unless they are ignored, as under nohup(1).
func untilTerminated() (context.Context, context.CancelFunc) {
	signals := []os.Signal{unix.SIGTERM}
	for _, s := range []os.Signal{unix.SIGINT, unix.SIGHUP} {
		if !signal.Ignored(s) {
			signals = append(signals, s)
		}
	}
	return signal.NotifyContext(context.Background(), signals...)
}

// printSwept prints the result of a sweep, as a line or as JSON. With --all it says of
// which place.
func printSwept(out *output, of place, s store.Swept, took time.Duration, dry, json bool) {
	if !json {
		fmt.Fprintf(out, "%sseen %d, %s %d, busy %d, kept %d, corrupt %d, bytes %d, seconds %.2f, %s\n",
			of.label(), s.Seen, removedWord(dry), s.Removed, s.Busy, s.Kept, s.Corrupt, s.Bytes,
			took.Seconds(), doneWord(s.Done))
		if s.Note != "" {
			fmt.Fprintln(out, s.Note)
		}
		return
	}
	o := of.object()
	o.int("seen", s.Seen)
	o.int("removed", s.Removed)
	o.int("busy", s.Busy)
	o.int("kept", s.Kept)
	o.int("corrupt", s.Corrupt)
	o.int("bytes", s.Bytes)
	o.raw("seconds", seconds(took.Round(time.Millisecond)))
	o.bool("done", s.Done)
	if dry {
		o.bool("dry_run", true)
	}
	if s.Note != "" {
		o.string("note", s.Note)
	}
	out.printJSON(o.end())
}

func removedWord(dry bool) string {
	if dry {
		return "would remove"
	}
	return "removed"
}

func doneWord(done bool) string {
	if done {
		return "done"
	}
	return "stopped early"
}

// parseCount accepts a number from 1 up.
func parseCount(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, errors.New("must be a number from 1 up")
	}
	return n, nil
}
