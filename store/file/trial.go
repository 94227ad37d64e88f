package file

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// clockSkew returns how far the file system's clock is ahead of this machine's.
func (f *Store) clockSkew() (time.Duration, error) {
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

// checkLocks checks that locks work here between processes: while a file is locked,
// other(path) must report that it could not lock it, and afterwards that it could.
func (f *Store) checkLocks(other func(path string) (locked bool, err error)) error {
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

// checkExchange checks that two names can be exchanged here, as Move with a grace
// needs.
func (f *Store) checkExchange() error {
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

// A trialPrefix is a file that the checks below make and remove.
const trialPrefix = ".doctor-"

// makeTrial makes an empty file in the data directory, under a name that is new:
// process numbers come again, on another machine or in a container at once.
func (f *Store) makeTrial() (string, error) {
	name := fmt.Sprintf("%s%d-%d", trialPrefix, os.Getpid(), time.Now().UnixNano())
	return name, touchat(f.root, name)
}

// trialsOver is after what time a trial is a leftover of a run that was killed.
const trialsOver = time.Minute

// removeTrials removes what such runs left.
func (f *Store) removeTrials() {
	fd, err := openDir(f.root, ".")
	if err != nil {
		return
	}
	eachName(fd, f.dir, func(name string) error {
		var st unix.Stat_t
		if strings.HasPrefix(name, trialPrefix) && lstatat(f.root, name, &st) == nil &&
			isOwn(&st) && st.Size == 0 && time.Since(modified(&st)) > trialsOver {
			unlinkat(f.root, name)
		}
		return nil
	})
}
