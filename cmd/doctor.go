package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"cgisession/store"
	"cgisession/store/file"
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
		if files, ok := c.store.(*file.Store); ok {
			d.files = files
			d.checkDirectory()
		} else {
			d.checkServer()
		}
		d.checkCookies()
		d.checkLimits()
		if d.deep || d.repair {
			d.scan()
		}
		return d.report()
	},
		append(c.cookieFlags(),
			&cli.BoolFlag{Name: "deep", Usage: "also read every session", Destination: &d.deep},
			&cli.BoolFlag{Name: "repair", Usage: "also mend what can be mended, and move the rest to .damaged in the data directory", Destination: &d.repair},
			&cli.GenericFlag{Name: "lock-once", Hidden: true, Value: text(&d.lockOnce)},
			jsonFlag(&d.json))...)
}

// doctor collects what it finds.
type doctor struct {
	c                  *call
	files              *file.Store // nil: sessions are not in files
	deep, repair, json bool
	lockOnce           string // the other process's part in the check of locks
	findings           []finding
}

// level is how bad a finding is.
type level string

const (
	fine level = "ok"
	warn level = "warning"
	fail level = "problem"
)

type finding struct {
	level level
	about string
	text  string
}

func (d *doctor) say(l level, about, format string, a ...any) {
	d.findings = append(d.findings, finding{l, about, hideSecrets(fmt.Sprintf(format, a...))})
}

// report prints the findings. A problem among them makes the answer errNo.
func (d *doctor) report() error {
	var worst error
	for _, f := range d.findings {
		if f.level == fail {
			worst = errProblems
		}
		if d.json {
			var o object
			o.string("level", string(f.level))
			o.string("about", f.about)
			o.string("text", f.text)
			d.c.stdout.printJSON(o.end())
			continue
		}
		fmt.Fprintf(d.c.stdout, "%-8s %s: %s\n", f.level, f.about, printable(f.text))
	}
	if worst != nil {
		d.c.stdout.flush()
	}
	return worst
}

// mended says what was wrong and what is done about it.
func (d *doctor) mended(about string, wrong error, did []string, err error) {
	switch {
	case err != nil:
		d.say(fail, about, "%v; it cannot be mended: %v", wrong, err)
	case len(did) > 0:
		d.say(warn, about, "%v; %s", wrong, strings.Join(did, ", "))
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
		d.say(warn, "cookie", "--cookie-secure auto goes by the variables HTTPS and REQUEST_SCHEME, which do not say https here; under https see that the web server sets HTTPS=on, or use always")
	case d.c.secure == "always" && !d.c.env.HTTPS:
		d.say(warn, "cookie", "--cookie-secure always: browsers keep the cookie under https only, and the variables HTTPS and REQUEST_SCHEME do not say https here; over http each visit begins a new session")
	}
}

func (d *doctor) checkLimits() {
	if d.c.timeout == 0 {
		d.say(warn, "timeout", "there is none: a session lives until it is cleaned up; set --timeout, and run cleanup with the same")
	}
}

// scan reads every session, and with --repair mends what it can.
func (d *doctor) scan() {
	var seen, damaged int
	var users users
	err := d.c.store.Each(func(s *store.Session, state store.State, wrong error) error {
		seen++
		if lost(state, wrong) {
			damaged++
		}
		if wrong == nil {
			wrong = fromFuture(s, state)
		}
		if wrong != nil && d.damaged(s, state, wrong) {
			// It may have turned out to be a user's.
			return d.again(s.Handle, &users)
		}
		users.add(d, s)
		return nil
	})
	if err != nil {
		d.say(fail, "sessions", "not all could be read: %v", err)
	}
	d.say(fine, "sessions", "%d read, %d damaged", seen, damaged)
	d.reportUsers(users)
}

// lost reports whether the file holds no session that can be used.
func lost(state store.State, wrong error) bool {
	switch state {
	case store.Unsafe, store.Corrupt, store.Oversize:
		return true
	case store.Unused:
		return wrong != nil
	}
	return false
}

var errFromFuture = errors.New("it is from the future; a clock was set back")

// fromFuture reports errFromFuture of a session, not of an old id: that has its
// time on purpose.
func fromFuture(s *store.Session, state store.State) error {
	future := time.Now().Add(maxSkew)
	if state != store.Moved && (s.Accessed.After(future) || s.Created > future.Unix()) {
		return errFromFuture
	}
	return nil
}

// damaged reports what is wrong with a session's file, and with --repair mends
// it or moves it out of the way. It reports whether that was done.
func (d *doctor) damaged(s *store.Session, state store.State, wrong error) (mended bool) {
	about := "session " + s.Handle
	if d.files != nil && d.repair {
		did, err := d.files.Mend(s.Handle)
		d.mended(about, wrong, did, err)
		return err == nil
	}
	_, unread := errors.AsType[*fs.PathError](wrong) // too large, or the disk's error
	switch {
	case !lost(state, wrong):
		d.say(warn, about, "%v", wrong)
	case state == store.Unsafe:
		d.say(fail, about, "%v: %s", wrong, s.Path)
	case unread:
		d.say(fail, about, "%v", wrong)
	case d.files == nil:
		d.say(fail, about, "%v; destroy ends it", wrong)
	default:
		d.say(fail, about, "%v; doctor --repair moves %s out of the way", wrong, s.Path)
	}
	return false
}

// again has the users' index lead to a session that was mended.
func (d *doctor) again(handle string, users *users) error {
	err := d.files.Look(handle, func(s *store.Session, _ store.State, _ error) error {
		users.add(d, s)
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// users are the sessions that are a user's, and how the index leads to them.
type users struct {
	sessions int
	missing  int   // in the index, where that can be told
	failed   error // to mend the index
}

// add counts a session, and with --repair has the index lead to it.
func (u *users) add(d *doctor, s *store.Session) {
	if s.User == "" {
		return
	}
	u.sessions++
	if d.files != nil && !d.files.FindsUser(s) {
		u.missing++
	}
	if d.repair && u.failed == nil {
		u.failed = d.c.store.MendUser(s)
	}
}

// reportUsers says what became of the index of users, and with --repair removes
// from it what leads elsewhere.
func (d *doctor) reportUsers(u users) {
	const about = "index of users"
	removed := 0
	if d.repair && d.files != nil && u.failed == nil {
		removed, u.failed = d.files.MendUsers()
	}
	switch {
	case u.failed != nil:
		d.say(fail, about, "%v", u.failed)
	case d.repair && d.files != nil:
		d.say(fine, about, "it leads to all %d sessions that are a user's: %d added; %d that led elsewhere removed", u.sessions, u.missing, removed)
	case d.repair:
		d.say(fine, about, "it leads to all %d sessions that are a user's", u.sessions)
	case u.missing > 0:
		d.say(warn, about, "%d of %d sessions are missing; the next access of each mends that, or doctor --repair", u.missing, u.sessions)
	}
}
