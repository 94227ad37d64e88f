package file

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// Space returns what the data directory's file system has.
func (f *Store) Space() store.Space {
	s, _ := space(f.dir)
	return s
}

// Check reports what is wrong with the data directory: ErrNotFound if there is
// none yet.
func (f *Store) Check() error { return f.openRoot(false) }

// A trial is a file that the checks below make and remove.
const trial = ".doctor-"

// makeTrial makes an empty file in the data directory, under a name that is new:
// process numbers come again, on another machine or in a container at once.
func (f *Store) makeTrial() (string, error) {
	name := fmt.Sprintf("%s%d-%d", trial, os.Getpid(), time.Now().UnixNano())
	return name, touchat(f.root, name)
}

// trialsOver is after what time a trial is a leftover of a run that was killed.
const trialsOver = time.Minute

// RemoveTrials removes what such runs left.
func (f *Store) RemoveTrials() {
	fd, err := openDir(f.root, ".")
	if err != nil {
		return
	}
	eachName(fd, f.dir, func(name string) error {
		var st unix.Stat_t
		if strings.HasPrefix(name, trial) && lstatat(f.root, name, &st) == nil &&
			isOwn(&st) && st.Size == 0 && time.Since(modified(&st)) > trialsOver {
			unlinkat(f.root, name)
		}
		return nil
	})
}

// TryLock checks that locks work here between processes: while a file is locked,
// other(path) must report that it could not lock it, and afterwards that it could.
func (f *Store) TryLock(other func(path string) (locked bool, err error)) error {
	name, err := f.makeTrial()
	if err != nil {
		return err
	}
	defer unlinkat(f.root, name)
	path := f.dir + "/" + name
	_, release, err := lockPath(path, unix.O_RDWR, true, time.Now(), func() error { return nil })
	if err != nil {
		return err
	}
	locked, err := other(path)
	release()
	switch {
	case err != nil:
		return err
	case locked:
		return errors.New("two processes locked one file at a time")
	}
	if locked, err = other(path); err == nil && !locked {
		err = errors.New("a lock that was released stays")
	}
	return err
}

// LockOnce reports whether the lock on the file could be had without waiting.
func LockOnce(path string) (bool, error) {
	_, release, err := lockPath(path, unix.O_RDWR, true, time.Time{}, func() error { return nil })
	if err == store.ErrLocked {
		return false, nil
	}
	if err == nil {
		release()
	}
	return err == nil, err
}

// TryExchange checks that two names can be exchanged here, as Move with a grace
// needs.
func (f *Store) TryExchange() error {
	a, err := f.makeTrial()
	if err != nil {
		return err
	}
	defer unlinkat(f.root, a)
	b, err := f.makeTrial()
	if err != nil {
		return err
	}
	defer unlinkat(f.root, b)
	return exchange(f.root, a, f.root, b)
}

// ClockSkew returns how far the file system's clock is ahead of this machine's.
func (f *Store) ClockSkew() (time.Duration, error) {
	name, err := f.makeTrial()
	if err != nil {
		return 0, err
	}
	defer unlinkat(f.root, name)
	var st unix.Stat_t
	if err := lstatat(f.root, name, &st); err != nil {
		return 0, err
	}
	return time.Until(time.Unix(st.Mtim.Unix())), nil
}

// MendUser makes sure that the index of users leads to the session.
func (f *Store) MendUser(s *store.Session) error { return f.addUser(s.User, s.Handle) }

// A wrongMode is a mode that a file should have.
type wrongMode struct{ is, want uint32 }

func (w wrongMode) Error() string {
	return fmt.Sprintf("mode %#o, not %#o; chmod it", w.is, w.want)
}

// checkMode reports a mode other than that of a file with this record.
func checkMode(st *unix.Stat_t, r record) error {
	want := uint32(0o600)
	if r.moved != "" {
		want = 0o400
	}
	if is := uint32(st.Mode) & 0o7777; is != want {
		return wrongMode{is, want}
	}
	return nil
}

// errOrphan is what a crash leaves in the middle of a move with grace, or what
// such a move is about to finish.
var errOrphan = errors.New("an old id that leads to itself: regenerate --grace was killed, or is under way")

// wrong says what is wrong with the file, which holds this text, of which
// current said at and err: nil for nothing.
func (e *entry) wrong(text []byte, at found, err error) error {
	if err == nil && at.moved == e.handle {
		return errOrphan
	}
	if wrong := damage(text, at, err); wrong != nil {
		return wrong
	}
	return checkMode(&e.stat, at.record)
}

// damage says what is wrong with the text of a session's file, of which current
// said at and err: nil for nothing.
func damage(text []byte, at found, err error) error {
	newest := claims(text)
	switch {
	case err == nil && newest[0].version > at.version:
		return fmt.Errorf("its newest version was damaged, or the writer of that crashed; version %d counts, and the next save mends it", at.version)
	case err == nil, len(text) == 0:
		return nil
	case err == store.ErrNotFound, lineVersion(lastLine(text)) > 0:
		return errors.New("it was cut short, or the writer of its first version crashed")
	case len(newest) > 0:
		return errors.New("bytes in it were changed: its checksum is wrong")
	}
	return errors.New("it holds no session, but what another program wrote")
}

// lastLine returns what follows the last line feed.
func lastLine(text []byte) []byte { return text[bytes.LastIndexByte(text, '\n')+1:] }
