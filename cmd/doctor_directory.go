package cmd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"cgisession/store"
	"cgisession/store/file"
)

// What doctor checks of a data directory and its file system.

// checkDirectory checks the data directory and its file system.
func (d *doctor) checkDirectory() {
	dir := d.c.directory(d.c.env)
	err := d.files.Check()
	if d.repair && errors.Is(err, store.ErrUnsafe) {
		did, failed := d.files.MendRoot()
		d.mended("directory", err, did, failed)
		err = d.files.Check()
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		d.say(warn, "directory", "%s does not exist; the first session makes it, with mode 0700", dir)
		return
	case err != nil:
		d.say(fail, "directory", "%v", err)
		return
	}
	d.checkName(dir)
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

// checkName says whose the directory is. One that is named for another user, as
// the default is, where anybody can make it, may have been made to get at that
// user's sessions.
func (d *doctor) checkName(dir string) {
	parent, own := filepath.Dir(dir), os.Geteuid()
	number, byDefault := strings.CutPrefix(filepath.Base(dir), "cgisession-")
	user, err := strconv.Atoi(number)
	if byDefault && err == nil && user != own && (parent == filepath.Clean(d.c.env.TempDir) || isShared(parent)) {
		d.say(fail, "directory", "%s is named for user %d but belongs to user %d; remove it, or give it to the right user if that one made it", dir, user, own)
		return
	}
	d.say(fine, "directory", "%s belongs to this user alone", dir)
}

// isShared reports whether other users than its owner can make files in a
// directory.
func isShared(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && info.Mode().Perm()&0o022 != 0
}

// checkModes checks what more the modes of directories should be than safe for
// the sessions.
func (d *doctor) checkModes(dir string) {
	if info, err := os.Lstat(dir); err == nil && info.Mode().Perm()&0o077 != 0 {
		d.fault(warn, ".", fmt.Errorf("mode %#o lets other users see the handles; chmod 700 %s", info.Mode().Perm(), dir))
	}
	parent := filepath.Dir(dir)
	if info, err := os.Stat(parent); err == nil && info.Mode().Perm()&0o002 != 0 && info.Mode()&os.ModeSticky == 0 {
		d.say(fail, "directory", "all users may rename it, since they may write to %s; chmod o-w %s", parent, parent)
	}
	for _, f := range d.files.CheckDirs() {
		wrong := f.Err
		if !d.repair {
			wrong = fmt.Errorf("%w; %s", wrong, f.Effect())
		}
		if f.Usable {
			d.fault(warn, f.Name, wrong)
		} else {
			d.fault(fail, f.Name, wrong)
		}
	}
}

// fault says what is wrong with the directory, or with one in it, and with
// --repair mends it.
func (d *doctor) fault(l level, name string, wrong error) {
	if !d.repair {
		d.say(l, "directory", "%v", wrong)
		return
	}
	did, err := d.files.MendDir(name)
	d.mended("directory", wrong, []string{did}, err)
}

func (d *doctor) checkFileSystem() {
	switch system := d.files.Space().System; {
	case system == "", system == "memory" && d.c.storeType == "memory":
	case system == "memory":
		d.say(warn, "file system", "it is in memory: sessions end when the machine does; that is what --type memory is for")
	default:
		d.say(warn, "file system", "it is %s: locks and syncs are only as good as its server's; a local disk is better", system)
	}
	if err := d.files.TryLock(d.otherProcess); err != nil {
		d.say(fail, "locks", "flock(2) does not work between processes here (%v); choose a --data-dir on a local disk", err)
	} else {
		d.say(fine, "locks", "flock(2) works between processes")
	}
	if err := d.files.TryExchange(); err != nil {
		d.say(warn, "exchange", "two names cannot be exchanged here (%v); leave out regenerate --grace", err)
	}
}

// otherProcess tries the lock in a process of its own, which acts as the owner of
// the same directory.
func (d *doctor) otherProcess(path string) (bool, error) {
	args := []string{"cgisession", "doctor", "--data-dir", d.c.directory(d.c.env), "--lock-once", path}
	command := exec.Cmd{Path: itself, Args: args, Env: []string{}}
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
	locked, err := file.LockOnce(path)
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

// checkCleanup checks that somebody cleans up.
func (d *doctor) checkCleanup() {
	last, _ := d.files.LastSweep()
	if last.At.IsZero() || time.Since(last.At) > 7*24*time.Hour {
		d.say(warn, "cleanup", "none in the last 7 days; run it from cron or a timer")
	}
}
