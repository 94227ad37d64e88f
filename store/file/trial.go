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

// Trials of what the file system can do. Each makes an empty file in the data
// directory and removes it at the end.

// clockSkew returns how far the file system's clock is ahead of this machine's.
// A server, such as that of NFS, sets times by its own clock.
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
	// The file was made just now.
	return time.Until(time.Unix(st.Mtim.Unix())), nil
}

// checkLocks checks that locks work here between processes: other(path), which
// tries the lock in another process, must fail while this process holds it, and
// succeed afterwards.
func (f *Store) checkLocks(other func(path string) (locked bool, err error)) error {
	name, err := f.makeTrial()
	if err != nil {
		return err
	}
	defer unlinkat(f.root, name)
	path := f.config.Dir + "/" + name
	_, release, err := lockPath(path, unix.O_RDWR, true, time.Now(), func() error { return nil })
	if err != nil {
		return err
	}
	// While the lock is held here, then after its release.
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

// LockOnce reports whether the exclusive lock of the file at path was free. It
// does not wait, and releases the lock at once. It is the other process of
// checkLocks.
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

// checkExchange checks that two names can be exchanged here, which Move with a
// grace needs.
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

// trialPrefix begins the names of the files of trials.
const trialPrefix = ".doctor-"

// makeTrial makes an empty file in the data directory and returns its name. The
// time is part of it, since a process's number alone may be in use on another
// machine or in a container too.
func (f *Store) makeTrial() (string, error) {
	name := fmt.Sprintf("%s%d-%d", trialPrefix, os.Getpid(), time.Now().UnixNano())
	return name, touchat(f.root, name)
}

// trialsOver is the age above which the file of a trial is a leftover of a
// killed run.
const trialsOver = time.Minute

// removeTrials removes such leftovers. Errors are ignored: the next run tries
// again.
func (f *Store) removeTrials() {
	fd, err := openDir(f.root, ".")
	if err != nil {
		return
	}
	eachName(fd, f.config.Dir, func(name string) error {
		var st unix.Stat_t
		if strings.HasPrefix(name, trialPrefix) && lstatat(f.root, name, &st) == nil &&
			isOwn(&st) && st.Size == 0 && time.Since(modified(&st)) > trialsOver {
			unlinkat(f.root, name)
		}
		return nil
	})
}
