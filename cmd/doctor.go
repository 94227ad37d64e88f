package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
		if files, ok := c.store.(*store.File); ok {
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
	files              *store.File // nil: sessions are not in files
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
	d.findings = append(d.findings, finding{l, about, fmt.Sprintf(format, a...)})
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
			d.c.stdout.Write(append(o.end(), '\n'))
			continue
		}
		fmt.Fprintf(d.c.stdout, "%-8s %s: %s\n", f.level, f.about, printable(f.text))
	}
	if worst != nil {
		d.c.stdout.flush()
	}
	return worst
}

// checkDirectory checks the data directory and its file system.
func (d *doctor) checkDirectory() {
	dir := d.c.directory(d.c.env)
	err := d.files.Check()
	switch {
	case errors.Is(err, store.ErrNotFound):
		d.say(warn, "directory", "%s does not exist; the first session makes it, with mode 0700", dir)
		return
	case err != nil:
		d.say(fail, "directory", "%v", err)
		return
	}
	d.say(fine, "directory", "%s belongs to this user alone", dir)
	d.checkModes(dir)
	if d.repair {
		d.files.RemoveTrials()
	}
	d.checkSpace()
	if d.checkClock() {
		d.checkFileSystem()
	}
	d.checkCleanup()
}

// checkModes checks what more the modes of directories should be than safe for
// the sessions.
func (d *doctor) checkModes(dir string) {
	if info, err := os.Lstat(dir); err == nil && info.Mode().Perm()&0o077 != 0 {
		d.say(warn, "directory", "mode %#o lets other users see the handles; chmod 700 %s", info.Mode().Perm(), dir)
	}
	parent := filepath.Dir(dir)
	if info, err := os.Stat(parent); err == nil && info.Mode().Perm()&0o002 != 0 && info.Mode()&os.ModeSticky == 0 {
		d.say(fail, "directory", "all users may rename it, since they may write to %s; chmod o-w %s", parent, parent)
	}
	for _, fault := range d.files.CheckDirs() {
		if !d.repair {
			d.say(fail, "directory", "%v; %s", fault.Err, fault.Effect())
			continue
		}
		did, err := d.files.MendDir(fault.Name)
		d.mended("directory", fault.Err, []string{did}, err)
	}
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

func (d *doctor) checkFileSystem() {
	switch system := d.files.Space().System; {
	case system == "", system == "memory" && d.c.storeType == "memory":
	case system == "memory":
		d.say(warn, "file system", "it is in memory: sessions end when the machine does; that is what --type memory is for")
	default:
		d.say(warn, "file system", "it is %s: locks and syncs are only as good as its server's; a local disk is better", system)
	}
	if err := d.files.TryLock(otherProcess); err != nil {
		d.say(fail, "locks", "flock(2) does not work between processes here (%v); choose a --data-dir on a local disk", err)
	} else {
		d.say(fine, "locks", "flock(2) works between processes")
	}
	if err := d.files.TryExchange(); err != nil {
		d.say(warn, "exchange", "two names cannot be exchanged here (%v); leave out regenerate --grace", err)
	}
}

// otherProcess tries the lock in a process of its own.
func otherProcess(path string) (bool, error) {
	command := exec.Cmd{Path: itself, Args: []string{"cgisession", "doctor", "--lock-once", path}, Env: []string{}}
	if _, err := os.Lstat(itself); err != nil {
		if command.Path, err = os.Executable(); err != nil {
			return false, err
		}
	}
	err := command.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == exitLocked {
		return false, nil
	}
	return err == nil, err
}

// itself leads to this program, also for a user who cannot get at its path
// (proc_pid_exe(5)).
const itself = "/proc/self/exe"

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
	s := d.files.Space()
	if s.Inodes > 0 && s.FreeInodes*100 < s.Inodes*littleRoom {
		d.say(fail, "inodes", "%d of %d are left, and a session needs one; run cleanup more often, or make room", s.FreeInodes, s.Inodes)
	}
	if s.Bytes > 0 && s.FreeBytes*100 < s.Bytes*littleRoom {
		d.say(fail, "space", "%d of %d bytes are left; run cleanup more often, or make room", s.FreeBytes, s.Bytes)
	}
}

// maxSkew is how far clocks may be apart.
const maxSkew = 5 * time.Second

// checkClock checks the times of files. It reports false where none can be made.
func (d *doctor) checkClock() bool {
	skew, err := d.files.ClockSkew()
	switch {
	case err != nil:
		d.say(fail, "directory", "no file can be made in it: %v", err)
		return false
	case skew > maxSkew || skew < -maxSkew:
		d.say(fail, "clock", "the file system's is %s off this machine's, and timeouts with it; set both by NTP", skew.Round(time.Second))
	case time.Now().Year() < 2025:
		d.say(fail, "clock", "it says %s; set it, or sessions seem new for ever", date(time.Now()))
	}
	return true
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

// checkCleanup checks that somebody cleans up.
func (d *doctor) checkCleanup() {
	last := d.files.LastSweep()
	if last.At.IsZero() || time.Since(last.At) > 7*24*time.Hour {
		d.say(warn, "cleanup", "none in the last 7 days; run it from cron or a timer")
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
