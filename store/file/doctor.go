package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"cgisession/store"
)

// Examine implements [store.Operator].
func (f *Store) Examine(how store.Examination) []store.Finding {
	x := examination{f: f, how: how}
	x.directory()
	if how.Deep || how.Repair {
		store.CheckSessions(&x.findings, store.Sessions{
			Each: f.Each, Look: f.Look, Mend: f.mend,
			Indexed: f.indexed, PruneIndex: f.pruneIndex,
			Index: func(s *store.Session) error { return f.addUser(s.User, s.Handle) },
		}, how.Repair)
	}
	return x.findings
}

// An examination is an Examine under way.
type examination struct {
	f        *Store
	how      store.Examination
	findings store.Findings
}

// directory checks the data directory and its file system.
func (x *examination) directory() {
	f := x.f
	err := f.openRoot(false)
	if x.how.Repair && errors.Is(err, store.ErrUnsafe) {
		did, failed := f.mendRoot()
		x.findings.Mended("directory", err, did, failed)
		err = f.openRoot(false)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		x.say(store.Warning, "directory", "%s does not exist; the first session makes it, with mode 0700", f.dir)
		return
	case err != nil:
		x.say(store.Problem, "directory", "%v", err)
		return
	}
	x.name()
	x.modes()
	if x.how.Repair {
		f.removeTrials()
	}
	x.space()
	if x.clock() {
		x.fileSystem()
	}
	x.cleanup()
}

// name checks whose the directory is. One that is named for another user, as the
// default directory is, may have been made by that user to get at sessions, if
// anybody can make directories beside it.
func (x *examination) name() {
	dir := x.f.dir
	parent, own := filepath.Dir(dir), os.Geteuid()
	number, byDefault := strings.CutPrefix(filepath.Base(dir), "cgisession-")
	user, err := strconv.Atoi(number)
	if byDefault && err == nil && user != own && (parent == filepath.Clean(x.how.TempDir) || isShared(parent)) {
		x.say(store.Problem, "directory", "%s is named for user %d but belongs to user %d; remove it, or give it to the right user if that one made it", dir, user, own)
		return
	}
	x.say(store.Fine, "directory", "%s belongs to this user alone", dir)
}

// isShared reports whether other users than its owner can make files in a
// directory.
func isShared(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && info.Mode().Perm()&0o022 != 0
}

// modes checks modes beyond what the store itself enforces.
func (x *examination) modes() {
	dir := x.f.dir
	if info, err := os.Lstat(dir); err == nil && info.Mode().Perm()&0o077 != 0 {
		x.fault(store.Warning, ".", fmt.Errorf("mode %#o lets other users see the handles; chmod 700 %s", info.Mode().Perm(), dir))
	}
	parent := filepath.Dir(dir)
	if info, err := os.Stat(parent); err == nil && info.Mode().Perm()&0o002 != 0 && info.Mode()&os.ModeSticky == 0 {
		x.say(store.Problem, "directory", "all users may rename it, since they may write to %s; chmod o-w %s", parent, parent)
	}
	for _, d := range x.f.dirFaults() {
		wrong := d.err
		if !x.how.Repair {
			wrong = fmt.Errorf("%w; %s", wrong, d.effect())
		}
		level := store.Problem
		if d.usable {
			level = store.Warning
		}
		x.fault(level, d.name, wrong)
	}
}

// fault adds what is wrong with the data directory, which is ".", or with one in it;
// with Repair it is mended.
func (x *examination) fault(level store.Level, name string, wrong error) {
	if !x.how.Repair {
		x.say(level, "directory", "%v", wrong)
		return
	}
	did, err := x.f.mendDir(name)
	x.findings.Mended("directory", wrong, []string{did}, err)
}

// littleRoom is how much of a file system is too little to be left, in percent.
const littleRoom = 5

func (x *examination) space() {
	s, _ := space(x.f.dir)
	if s.Inodes > 0 && s.FreeInodes*100 < s.Inodes*littleRoom {
		x.say(store.Problem, "inodes", "%d of %d are left, and a session needs one; run cleanup more often, or make room", s.FreeInodes, s.Inodes)
	}
	if s.Bytes > 0 && s.FreeBytes*100 < s.Bytes*littleRoom {
		x.say(store.Problem, "space", "%d of %d bytes are left; run cleanup more often, or make room", s.FreeBytes, s.Bytes)
	}
}

// clock checks the times of files. It reports false if no file can be made.
func (x *examination) clock() bool {
	skew, err := x.f.clockSkew()
	switch {
	case err != nil:
		x.say(store.Problem, "directory", "no file can be made in it: %v", err)
		return false
	case skew > store.MaxSkew || skew < -store.MaxSkew:
		x.say(store.Problem, "clock", "the file system's is %s off this machine's, and timeouts with it; set both by NTP", skew.Round(time.Second))
	case time.Now().Year() < 2025:
		x.say(store.Problem, "clock", "it says %s; set it, or sessions seem new for ever", time.Now().UTC().Format(time.RFC3339))
	}
	return true
}

func (x *examination) fileSystem() {
	s, _ := space(x.f.dir)
	switch {
	case s.System == "", s.System == "memory" && x.how.InMemory:
	case s.System == "memory":
		x.say(store.Warning, "file system", "it is in memory: sessions end when the machine does; that is what --type memory is for")
	default:
		x.say(store.Warning, "file system", "it is %s: locks and syncs are only as good as its server's; a local disk is better", s.System)
	}
	if err := x.f.checkLocks(x.how.TryLock); err != nil {
		x.say(store.Problem, "locks", "flock(2) does not work between processes here (%v); choose a --data-dir on a local disk", err)
	} else {
		x.say(store.Fine, "locks", "flock(2) works between processes")
	}
	if err := x.f.checkExchange(); err != nil {
		x.say(store.Warning, "exchange", "two names cannot be exchanged here (%v); leave out regenerate --grace", err)
	}
}

// cleanup checks that somebody cleans up.
func (x *examination) cleanup() {
	last, _ := x.f.lastSweep()
	if last.At.IsZero() || time.Since(last.At) > 7*24*time.Hour {
		x.say(store.Warning, "cleanup", "none in the last 7 days; run it from cron or a timer")
	}
}

// say adds a finding.
func (x *examination) say(level store.Level, about, format string, a ...any) {
	x.findings.Say(level, about, format, a...)
}
