package file

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// How doctor finds and mends sessions whose files have other names. A backup by
// cp -al gives each file a second one. The store refuses such a file: a save
// would change the backup too, and an ended session would live on under the
// other name.

// breakLinks puts a copy in the place of a session's file that has other names,
// which keep the file itself; did is empty if it has none. Nothing is lost at any
// moment, and no process uses two files as one session:
//
//   - The lock of the file is taken first, without waiting. A request that holds
//     it has opened the file before it got its second name, and may still save.
//   - The copy is made in damagedDir with the text, the time and the mode of the
//     file, and synced. A crash up to here leaves the session as it was, and at
//     most a copy aside.
//   - The two names are exchanged in one step (renameat2(2)). A plain rename could
//     bring back a session that a program without a lock has removed meanwhile;
//     the exchange fails then (ENOENT). A crash leaves the name with the file or
//     with its copy, which are equal.
//   - The copy is locked until it is certain that what was exchanged for it is the
//     locked file, and not a session that was made there meanwhile; if it is not,
//     the names are exchanged back.
//   - The directories are synced before the locks are released, so that a power
//     cut cannot bring back the file once the copy was changed.
//   - At last the file loses the name that it has in damagedDir now. A crash
//     before that leaves one more name of the backup's file there.
//
// A process that waits for the lock of the file gets it at the end, sees that the
// name leads to another file by then, and begins again with that; see lock. A
// reader without a lock checks the same after it has read; see stillLinked.
func (f *Store) breakLinks(shard int, handle string) (did string, err error) {
	e := &entry{f: f, handle: handle, shard: shard, fd: -1}
	defer e.closeData()
	if linked, err := e.lockLinked(); !linked || err != nil {
		return "", err
	}
	text, err := e.read()
	if errors.Is(err, store.ErrTooLarge) {
		return f.setAside(shard, handle, handle)
	}
	if err != nil {
		return "", err
	}
	dir, err := f.openDamaged()
	if err != nil {
		return "", err
	}
	defer closeFD(dir)
	name, fd, err := f.copyTo(dir, handle, text, time.Unix(e.stat.Mtim.Unix()))
	if err != nil {
		return "", err
	}
	defer closeFD(fd)
	if isTombstone(&e.stat) {
		err = fchmod(fd, 0o400)
	}
	if err == nil {
		err = tryFlock(fd, time.Time{})
	}
	if err == nil {
		err = e.exchangeFor(dir, name)
	}
	switch err {
	case nil:
		unlinkat(dir, name)
		return "it is a copy now, and the other names keep the file", nil
	case errReplaced:
		unlinkat(dir, name)
		return "", nil
	}
	return "", e.fail("copy", err)
}

// lockLinked opens and locks the file if it has other names. It does not wait: a
// lock that another process holds is ErrLocked.
func (e *entry) lockLinked() (linked bool, err error) {
	e.fd, err = openat(e.shard, e.handle, unix.O_RDONLY|unix.O_NONBLOCK|noAtime, 0)
	if err == unix.ENOENT {
		return false, nil
	}
	if err == nil {
		err = tryFlock(e.fd, time.Time{})
	}
	if err == unix.EWOULDBLOCK {
		err = fmt.Errorf("%w; repair again once it is free", store.ErrLocked)
	}
	if err == nil {
		err = fstat(e.fd, &e.stat)
	}
	if err != nil {
		return false, e.fail("lock", err)
	}
	return isOwnFile(&e.stat) && e.stat.Nlink > 1 && e.stillLinked() == nil, nil
}

// exchangeFor exchanges the locked file for the copy called name in the open
// directory dir, and syncs both directories. It returns errReplaced, and has
// changed nothing, if the session's name no longer leads to the locked file. If it
// fails otherwise, the copy stays where it is.
func (e *entry) exchangeFor(dir int, name string) error {
	err := exchange(e.shard, e.handle, dir, name)
	switch {
	case err == unix.ENOENT:
		return errReplaced
	case err == unix.ENOSYS, err == unix.EINVAL:
		unlinkat(dir, name)
		return fmt.Errorf("%w by the file system: two names cannot be exchanged; "+
			"remove the other names, as find -samefile prints them", store.ErrUnsupported)
	case err != nil:
		unlinkat(dir, name)
		return err
	case !e.linkedAt(dir, name):
		return cmp.Or(exchange(e.shard, e.handle, dir, name), errReplaced)
	}
	return cmp.Or(fsync(e.shard), fsync(dir))
}

// links counts the sessions' files with other names, and returns the path of one.
// Directories that cannot be read have findings of their own.
func (f *Store) links() (n int, path string) {
	f.eachEntry(func(e *entry) error {
		if e.statName() == nil && isOwnFile(&e.stat) && e.stat.Nlink > 1 {
			n++
			path = f.Path(e.handle)
		}
		return nil
	})
	return n, path
}
