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

// Examine implements [store.Operator]. It checks the data directory, its file
// system and its clock, and with Deep or Repair every session and the index of
// users.
func (f *Store) Examine(how store.Examination) []store.Finding {
	x := examination{f: f, how: how}
	x.directory()
	if how.Deep || how.Repair {
		store.CheckSessions(&x.findings, store.Sessions{
			Each: f.Each, Look: f.Look, Mend: f.mend,
			Indexed: f.indexed, PruneIndex: f.pruneIndex,
			Index: func(s *store.Session) error { return f.addUser(s, s.Handle) },
		}, how.Repair)
	}
	return x.findings
}

// An examination is an Examine in progress.
type examination struct {
	f        *Store
	how      store.Examination
	findings store.Findings
}

// directory checks the data directory and its file system, and with Repair
// mends the directory. It stops at the first finding that makes the others
// useless.
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
		x.missing()
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
	x.links()
	x.space()
	if x.clock() {
		x.fileSystem()
	}
	x.cleanup()
}

// missing adds a finding for a data directory that does not exist.
func (x *examination) missing() {
	if err := x.f.Missing(); errors.Is(err, store.ErrConfig) {
		x.say(store.Problem, "directory", "%v", err)
		return
	}
	x.say(store.Warning, "directory", "%s does not exist; the first session makes it, with mode 0700", x.f.config.Dir)
}

// name checks which user the directory is for. The default directory is named
// after its user. If its name is another user's, that user may have made it
// here to read the sessions, provided that all users can make directories
// beside it.
func (x *examination) name() {
	dir := x.f.config.Dir
	parent, own := filepath.Dir(dir), os.Geteuid()
	number, byDefault := strings.CutPrefix(filepath.Base(dir), "cgisession-")
	user, err := strconv.Atoi(number)
	if byDefault && err == nil && user != own && (parent == filepath.Clean(x.f.config.TempDir) || isShared(parent)) {
		x.say(store.Problem, "directory", "%s is named for user %d but belongs to user %d; "+
			"remove it, or give it to the right user if that one made it", dir, user, own)
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

// modes checks modes beyond what the store itself enforces: those that only let
// other users see handles, and that of the parent directory.
func (x *examination) modes() {
	dir := x.f.config.Dir
	if info, err := os.Lstat(dir); err == nil && info.Mode().Perm()&0o077 != 0 {
		mode := info.Mode().Perm()
		if why := modeless(openOn(x.f.root)); why != "" {
			x.say(store.Problem, "directory", "mode %#o lets other users in, and %s; %s", mode, why, mountAdvice())
			return
		}
		x.fault(store.Warning, ".", fmt.Errorf("mode %#o lets other users see the handles; chmod 700 %s", mode, dir))
	}
	parent := filepath.Dir(dir)
	info, err := os.Stat(parent)
	if err == nil && info.Mode().Perm()&0o002 != 0 && info.Mode()&os.ModeSticky == 0 {
		x.say(store.Problem, "directory", "all users may rename it, since they may write to %s; "+
			"chmod o-w %s", parent, parent)
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

// links checks whether sessions' files have other names. It looks by stat(2) alone.
// With Deep or Repair each such session has a finding of its own.
func (x *examination) links() {
	if x.how.Deep || x.how.Repair {
		return
	}
	if n, path := x.f.links(); n > 0 {
		x.say(store.Problem, "sessions", "%d have hard links, as a backup by cp -al makes them, and are refused, "+
			"such as %s; doctor --repair gives each a file of its own; back up with cp -a", n, path)
	}
}

// fault adds what is wrong with the directory of this name in the data
// directory, or with the data directory itself, which is "."; with Repair it
// mends it.
func (x *examination) fault(level store.Level, name string, wrong error) {
	if !x.how.Repair {
		x.say(level, "directory", "%v", wrong)
		return
	}
	did, err := x.f.mendDir(name)
	x.findings.Mended("directory", wrong, []string{did}, err)
}

// littleRoom is the share of a file system, in percent, below which its room is
// reported as too little.
const littleRoom = 5

// space checks how many bytes and inodes are left on the file system.
func (x *examination) space() {
	s, _ := space(x.f.config.Dir)
	if s.Inodes > 0 && s.FreeInodes*100 < s.Inodes*littleRoom {
		x.say(store.Problem, "inodes", "%d of %d are left, and a session needs one; "+
			"run cleanup more often, or make room", s.FreeInodes, s.Inodes)
	}
	if s.Bytes > 0 && s.FreeBytes*100 < s.Bytes*littleRoom {
		x.say(store.Problem, "space", "%d of %d bytes are left; "+
			"run cleanup more often, or make room", s.FreeBytes, s.Bytes)
	}
}

// clock compares the file system's clock with this machine's: the times of
// files are the last accesses. It reports false if no file can be made.
func (x *examination) clock() bool {
	skew, err := x.f.clockSkew()
	switch {
	case err != nil:
		x.say(store.Problem, "directory", "no file can be made in it: %v", err)
		return false
	case skew > store.MaxSkew || skew < -store.MaxSkew:
		x.say(store.Problem, "clock", "the file system's is %s off this machine's, and timeouts with it; "+
			"set both by NTP", skew.Round(time.Second))
	case time.Now().Year() < 2025:
		now := time.Now().UTC().Format(time.RFC3339)
		x.say(store.Problem, "clock", "it says %s; set it, or sessions seem new for ever", now)
	}
	return true
}

// fileSystem checks whether the file system can do what sessions need.
func (x *examination) fileSystem() {
	s, _ := space(x.f.config.Dir)
	switch {
	case s.System == "", s.System == "memory" && x.f.config.InMemory:
	case s.System == "memory":
		x.say(store.Warning, "file system", "it is in memory: sessions end when the machine does; "+
			"that is what --type memory is for")
	case s.System != "FUSE" && modeless(s.System) != "":
		x.say(store.Warning, "file system", "%s: the options of its mount decide who can reach the sessions; "+
			"a file system with modes is better", modeless(s.System))
	default:
		x.say(store.Warning, "file system", "it is %s: locks and syncs are only as good as its server's; "+
			"a local disk is better", s.System)
	}
	if err := x.f.checkLocks(x.f.config.TryLock); err != nil {
		x.say(store.Problem, "locks", "flock(2) does not work between processes here (%v); "+
			"choose a --data-dir on a local disk", err)
	} else {
		x.say(store.Fine, "locks", "flock(2) works between processes")
	}
	if err := x.f.checkExchange(); err != nil {
		x.say(store.Warning, "exchange", "two names cannot be exchanged here (%v); leave out regenerate --grace", err)
	}
}

// cleanup checks that sweeps are run regularly.
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
