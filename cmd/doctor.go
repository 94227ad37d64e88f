package cmd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/urfave/cli/v2"

	"cgisession/store"
)

func doctorCommand(c *call) *cli.Command {
	d := doctor{c: c}
	return c.operatorCommand("doctor", "", "check the set-up, and say what is wrong and how to mend it", func(args []string) error {
		if d.lockOnce != "" {
			return lockOnce(d.lockOnce)
		}
		if err := noArguments(args); err != nil {
			return err
		}
		d.checkDirectory()
		d.checkCookies()
		d.checkLimits()
		if d.deep || d.repair {
			if err := d.scan(); err != nil {
				return err
			}
		}
		return d.report()
	},
		append(c.cookieFlags(),
			&cli.BoolFlag{Name: "deep", Usage: "also read every session", Destination: &d.deep},
			&cli.BoolFlag{Name: "repair", Usage: "also make the index of users anew, and move damaged files to .damaged in the data directory", Destination: &d.repair},
			&cli.GenericFlag{Name: "lock-once", Hidden: true, Value: text(&d.lockOnce)},
			jsonFlag(&d.json))...)
}

// doctor collects what it finds.
type doctor struct {
	c                  *call
	deep, repair, json bool
	lockOnce           string // the other process's part in the check of locks
	findings           []finding
}

// grave is how bad a finding is.
type grave string

const (
	fine grave = "ok"
	warn grave = "warning"
	fail grave = "problem"
)

type finding struct {
	grave grave
	about string
	text  string
}

func (d *doctor) say(g grave, about, format string, a ...any) {
	d.findings = append(d.findings, finding{g, about, fmt.Sprintf(format, a...)})
}

// report prints the findings. A problem among them makes the answer errNo.
func (d *doctor) report() error {
	var worst error
	for _, f := range d.findings {
		if f.grave == fail {
			worst = errProblems
		}
		if d.json {
			var o object
			o.string("grave", string(f.grave))
			o.string("about", f.about)
			o.string("text", f.text)
			d.c.stdout.Write(append(o.end(), '\n'))
			continue
		}
		fmt.Fprintf(d.c.stdout, "%-8s %s: %s\n", f.grave, f.about, printable(f.text))
	}
	if worst != nil {
		d.c.stdout.flush()
	}
	return worst
}

// checkDirectory checks the data directory and its file system.
func (d *doctor) checkDirectory() {
	dir := d.c.directory(d.c.env)
	err := d.c.file.Check()
	switch {
	case errors.Is(err, store.ErrNotFound):
		d.say(warn, "directory", "%s does not exist; the first session makes it, with mode 0700", dir)
		return
	case err != nil:
		d.say(fail, "directory", "%v", err)
		return
	}
	d.say(fine, "directory", "%s belongs to this user alone", dir)
	d.checkFileSystem()
	d.checkSpace()
	d.checkClock()
}

func (d *doctor) checkFileSystem() {
	switch system := d.c.file.Space().System; system {
	case "":
	case "memory":
		d.say(warn, "file system", "it is in memory: sessions end when the machine does; that is what --type memory is for")
	default:
		d.say(warn, "file system", "it is %s: locks and syncs are only as good as its server's; a local disk is better", system)
	}
	if err := d.c.file.TryLock(otherProcess); err != nil {
		d.say(fail, "locks", "flock(2) does not work between processes here (%v); choose a --data-dir on a local disk", err)
	} else {
		d.say(fine, "locks", "flock(2) works between processes")
	}
	if err := d.c.file.TryExchange(); err != nil {
		d.say(warn, "exchange", "two names cannot be exchanged here (%v); leave out regenerate --grace", err)
	}
}

// otherProcess tries the lock in a process of its own.
func otherProcess(path string) (bool, error) {
	program, err := os.Executable()
	if err != nil {
		return false, err
	}
	command := exec.Cmd{Path: program, Args: []string{"cgisession", "doctor", "--lock-once", path}, Env: []string{}}
	err = command.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == exitLocked {
		return false, nil
	}
	return err == nil, err
}

// lockOnce is otherProcess's other process.
func lockOnce(path string) error {
	locked, err := store.LockOnce(path)
	if err == nil && !locked {
		err = store.ErrLocked
	}
	return err
}

// What is little room: a share of all, in percent.
const littleRoom = 5

func (d *doctor) checkSpace() {
	s := d.c.file.Space()
	if s.Inodes > 0 && s.FreeInodes*100 < s.Inodes*littleRoom {
		d.say(fail, "inodes", "%d of %d are left, and a session needs one; run cleanup more often, or make room", s.FreeInodes, s.Inodes)
	}
	if s.Bytes > 0 && s.FreeBytes*100 < s.Bytes*littleRoom {
		d.say(fail, "space", "%d of %d bytes are left; run cleanup more often, or make room", s.FreeBytes, s.Bytes)
	}
}

// maxSkew is how far clocks may be apart.
const maxSkew = 5 * time.Second

func (d *doctor) checkClock() {
	skew, err := d.c.file.ClockSkew()
	switch {
	case err != nil:
		d.say(fail, "directory", "no file can be made in it: %v", err)
	case skew > maxSkew || skew < -maxSkew:
		d.say(fail, "clock", "the file system's is %s off this machine's, and timeouts with it; set both by NTP", skew.Round(time.Second))
	case time.Now().Year() < 2025:
		d.say(fail, "clock", "it says %s; set it, or sessions seem new for ever", date(time.Now()))
	}
}

// checkCookies checks what browsers will make of the cookie.
func (d *doctor) checkCookies() {
	keys, err := readKeys(d.c.secretFile, os.LookupEnv)
	switch {
	case err != nil:
		d.say(fail, "key file", "%v", err)
	case keys == nil:
		d.say(fine, "key file", "none; ids are not signed, and need not be: they are 160 random bits")
	default:
		d.say(fine, "key file", "%d keys; the first signs", len(keys))
	}
	d.c.keys = keys
	if err := d.c.checkCookie(); err != nil {
		d.say(fail, "cookie", "%v", err)
	}
	switch {
	case d.c.secure == "never":
		d.say(warn, "cookie", "--cookie-secure never sends it in the clear; use auto, or always under https")
	case d.c.secure == "auto" && !d.c.env.HTTPS:
		d.say(warn, "cookie", "--cookie-secure auto goes by the variable HTTPS, which is not on here; under https see that the web server sets it, or use always")
	}
}

func (d *doctor) checkLimits() {
	if d.c.timeout == 0 {
		d.say(warn, "timeout", "there is none: a session lives until it is cleaned up; set --timeout, and run cleanup with the same")
	}
	last := d.c.file.LastSweep()
	if last.At.IsZero() || time.Since(last.At) > 7*24*time.Hour {
		d.say(warn, "cleanup", "none in the last 7 days; run it from cron or a timer")
	}
}

// scan reads every session, and with --repair mends what it can.
func (d *doctor) scan() error {
	seen, damaged := 0, 0
	err := d.c.file.Each(func(s *store.Session, state store.State) error {
		seen++
		switch state {
		case store.Corrupt, store.Unsafe:
			damaged++
			return d.damaged(s, state)
		}
		if s.Accessed.After(time.Now().Add(maxSkew)) || s.Created > time.Now().Add(maxSkew).Unix() {
			if state != store.Moved {
				d.say(warn, "session "+s.Handle, "is from the future; a clock was set back")
			}
		}
		if d.repair {
			return d.c.file.MendUser(s)
		}
		return nil
	})
	d.say(fine, "sessions", "%d read, %d damaged", seen, damaged)
	return err
}

// damaged reports a file that holds no session, and with --repair moves it away.
func (d *doctor) damaged(s *store.Session, state store.State) error {
	switch {
	case state == store.Unsafe:
		d.say(fail, "session "+s.Handle, "its file is a link, another user's, or has a mode other than 0600; remove %s", s.Path)
	case !d.repair:
		d.say(fail, "session "+s.Handle, "its file holds no whole record; doctor --repair moves it out of the way")
	default:
		aside, err := d.c.file.SetAside(s.Handle)
		if absent(err) {
			return nil
		}
		if err != nil {
			return err
		}
		d.say(warn, "session "+s.Handle, "its file held no whole record and is now %s", aside)
	}
	return nil
}
