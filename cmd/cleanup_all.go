package cmd

// This file is cleanup --all: each directory that the configuration file names is
// cleaned by a child process, which becomes the directory's owner before it opens
// anything there. This process only looks at names and owners (place.go). What a child
// prints may come from an intruder in the owner's account.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// cleaning is a cleanup --all in progress.
type cleaning struct {
	*call
	how    store.Sweep
	json   bool
	places []*place
	first  error // decides the exit code
}

// cleanAll cleans the directories of all sites. What fails in one of them is printed, and
// the others are cleaned all the same.
func (c *call) cleanAll(how store.Sweep, json bool) error {
	conf, err := c.configForAll()
	if err == nil {
		err = c.readEnvironment()
	}
	if err == nil {
		err = closeOnExec()
	}
	if err != nil {
		return fmt.Errorf("--all: %w", err)
	}
	c.env.RuntimeDir = "" // of this user
	all := cleaning{call: c, how: how, json: json}
	for i, s := range conf.sections {
		ofSite := i > 0 || len(conf.sections) == 1
		if ofSite || s.sets("data-dir") || s.sets("timeout") {
			all.addSection(s.name)
		}
	}
	all.run()
	return all.first
}

// configForAll returns the configuration file, if this call can clean all that it names.
func (c *call) configForAll() (config, error) {
	if os.Geteuid() != 0 {
		return config{}, fmt.Errorf("%w: only root can become the owner of each directory; call it as root, "+
			"or clean your own directory without --all", store.ErrUnsafe)
	}
	for _, name := range []string{"data-dir", "type", "site"} {
		if b := c.bindingOf(name); b.from.name != "" && b.from.line == 0 {
			return config{}, usagef("directories and sections come from the configuration file; leave out %s", b.from.name)
		}
	}
	conf, err := readConfig(c.configFile)
	if err == nil && conf.path == "" {
		err = fmt.Errorf("%w: no file names the directories; write %s, or give --config FILE", store.ErrConfig, configFile)
	}
	return conf, err
}

// sets reports whether a line of the section sets the option.
func (s section) sets(option string) bool {
	return slices.ContainsFunc(s.entries, func(e entry) bool { return e.option == option })
}

// addSection adds the directories of a section.
func (all *cleaning) addSection(name string) {
	o, err := all.optionsOf(name, "%u")
	switch {
	case err != nil:
		all.fail(place{section: name}, err)
	case o.storeType == "redis":
		all.skip(place{section: name}, "redis", "the server ends sessions by itself")
	default:
		if o.timeout == 0 { // then add keeps its directory from being cleaned for another section
			all.fail(place{section: name}, usagef("no timeout, so nothing is cleaned; set timeout = 30m in the file"))
		}
		all.addDirectories(name, o)
	}
}

// addDirectories adds the directories that a section's data-dir stands for.
func (all *cleaning) addDirectories(site string, o *options) {
	found := 0
	dir := o.directory(all.env)
	foreign, err := eachPlace(dir, func(p place, err error) {
		found++
		p.section, p.timeout = site, o.timeout
		var own *options
		if err == nil {
			own, err = all.optionsOf(site, strconv.Itoa(p.uid))
		}
		if err != nil {
			all.fail(p, err)
			return
		}
		p.flags = own.childFlags()
		all.add(p)
	})
	where := place{section: site, dir: dir}
	switch {
	case err != nil:
		all.fail(where, err)
	case found == 0 && o.timeout != 0:
		all.skip(where, "missing", "no directory yet")
	}
	if foreign.n > 0 {
		all.say(where, fmt.Sprintf("left out %d that are no directories, or not those of the user of their number: %s",
			foreign.n, foreign.example))
	}
}

// optionsOf returns the options that a section's scripts have if they run as this user,
// with those that were given to this call.
func (c *call) optionsOf(site, user string) (*options, error) {
	o := defaults()
	o.user = user
	var given []givenFlag
	for _, f := range o.storeFlags() {
		b := c.bindingOf(f.Names()[0])
		g := givenFlag{Flag: f, name: b.name, value: b.value.text, hasValue: true}
		if b.name == "site" {
			g.value = site
		}
		if strings.HasPrefix(b.from.name, "-") || b.name == "site" && site != "" {
			given = append(given, g)
		}
	}
	return &o, o.settle(given)
}

// childFlags returns what a child is to know of these options, as flags.
func (o *options) childFlags() []string {
	flags := []string{"--config=" + noConfig}
	for _, b := range o.bound {
		isOther := slices.Contains([]string{"data-dir", "config", "site"}, b.name) || strings.HasPrefix(b.name, "redis-")
		if b.from.name != "" && !isOther {
			flags = append(flags, "--"+b.name+"="+b.value.text)
		}
	}
	return flags
}

// add adds a directory. One that is there already is cleaned once, by the longer timeout;
// not at all if one of its sections has none.
func (all *cleaning) add(p place) {
	for _, before := range all.places {
		if before.node == p.node {
			if before.timeout != 0 && (p.timeout == 0 || p.timeout > before.timeout) {
				*before = p
			}
			return
		}
	}
	all.places = append(all.places, &p)
}

// run cleans the directories, first the one that was not cleaned for longest. Each has
// an equal share of the time and the number that are left, so that none keeps the others
// from being cleaned.
func (all *cleaning) run() {
	ctx, stop := untilTerminated()
	defer stop()
	places := slices.DeleteFunc(all.places, func(p *place) bool { return p.timeout == 0 })
	slices.SortStableFunc(places, func(a, b *place) int { return a.cleaned.Compare(b.cleaned) })
	end, left := time.Now().Add(all.how.MaxTime), all.how.MaxDelete
	for i, p := range places {
		how, rest := all.how, len(places)-i
		if how.MaxTime > 0 {
			how.MaxTime = max(time.Until(end), 0) / time.Duration(rest)
		}
		if how.MaxDelete > 0 {
			how.MaxDelete = min(left, max(left/int64(rest), 1))
		}
		over := how.MaxTime == 0 && all.how.MaxTime > 0 || how.MaxDelete == 0 && all.how.MaxDelete > 0
		if over || ctx.Err() != nil {
			return
		}
		start := time.Now()
		done, err := all.clean(ctx, p, how)
		if err != nil {
			all.fail(*p, err)
			continue
		}
		left -= done.Removed
		printSwept(all.stdout, *p, done, time.Since(start), how.DryRun, all.json)
	}
}

// clean runs the child for a directory, and stops it when ctx is done.
func (all *cleaning) clean(ctx context.Context, p *place, how store.Sweep) (done store.Swept, err error) {
	child, err := ownProgram(append([]string{"cleanup"}, p.childArgs(how)...)...)
	if err != nil {
		return done, err
	}
	var stdout, stderr beginning
	child.Stdout, child.Stderr = &stdout, &stderr
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // without root's terminal
	if err := child.Start(); err != nil {
		return done, err
	}
	stop := context.AfterFunc(ctx, func() { child.Process.Signal(unix.SIGTERM) })
	over, err := waitUntil(child, how.MaxTime)
	stop()
	if !over {
		return done, err
	}
	for line := range strings.Lines(stderr.text.String()) {
		line = strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "cgisession: ")
		all.say(place{section: p.section}, strings.TrimPrefix(line, "cleanup: "))
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return parseSwept(stdout.text.String(), how.DryRun)
	case ok && exit.Exited() && stderr.text.Len() > 0: // the message is printed
		return done, childExit{exit.ExitCode()}
	}
	return done, fmt.Errorf("its process: %w", err)
}

// waitUntil waits for the child, but not for longer than it was given (0: no limit): its
// owner may have stopped it. If it cannot even be killed, as by root without CAP_KILL, it
// is left behind, and over is false.
func waitUntil(child *exec.Cmd, limit time.Duration) (over bool, err error) {
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	var late <-chan time.Time
	if limit > 0 {
		late = time.After(limit + childGrace)
	}
	select {
	case err = <-ended:
		return true, err
	case <-late:
	}
	child.Process.Kill()
	select {
	case err = <-ended:
		return true, err
	case <-time.After(time.Second):
		return false, errors.New("its process does not end, and cannot be killed")
	}
}

// childGrace is how long a child may take beyond its time, to start and to end.
const childGrace = 5 * time.Second

// childArgs returns the arguments of the child that cleans a directory.
func (p *place) childArgs(how store.Sweep) []string {
	args := append(p.flags, "--data-dir="+p.dir)
	if p.uid != 0 {
		args = append(args, fmt.Sprintf("--owner=%d:%d", p.uid, p.gid))
	}
	if how.MaxTime > 0 {
		args = append(args, "--max-time="+string(seconds(how.MaxTime)))
	}
	if how.MaxDelete > 0 {
		args = append(args, "--max-delete="+strconv.FormatInt(how.MaxDelete, 10))
	}
	if how.DryRun {
		args = append(args, "--dry-run")
	}
	return args
}

// parseSwept parses what printSwept printed in the child.
func parseSwept(line string, dry bool) (s store.Swept, err error) {
	line, _, _ = strings.Cut(line, "\n")
	_, err = fmt.Sscanf(line, "seen %d, "+removedWord(dry)+" %d, busy %d, kept %d, corrupt %d, bytes %d,",
		&s.Seen, &s.Removed, &s.Busy, &s.Kept, &s.Corrupt, &s.Bytes)
	if err != nil {
		return s, fmt.Errorf("%w: its process printed no result", errInternal)
	}
	s.Done = strings.HasSuffix(line, ", "+doneWord(true))
	return s, nil
}

// say prints a message about a section or a directory.
func (all *cleaning) say(p place, text string) { all.warn(errors.New("cleanup: " + p.label() + text)) }

// fail notes an error, and prints it unless its child did.
func (all *cleaning) fail(p place, err error) {
	if !silent(err) {
		all.say(p, err.Error())
	}
	if all.first == nil {
		all.first = childExit{exitCode(err)}
	}
}

// skip prints that there is nothing to clean, and why.
func (all *cleaning) skip(p place, reason, text string) {
	if !all.json {
		all.stdout.print(p.label() + text + "\n")
		return
	}
	o := p.object()
	o.string("skipped", reason)
	all.stdout.printJSON(o.end())
}

// A beginning keeps the beginning of what is written to it.
type beginning struct{ text bytes.Buffer }

func (b *beginning) Write(text []byte) (int, error) {
	const most = 64 << 10 // bytes
	b.text.Write(text[:min(len(text), most-b.text.Len())])
	return len(text), nil
}
