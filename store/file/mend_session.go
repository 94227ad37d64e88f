package file

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// How doctor --repair mends the file of a session. What cannot be mended is set
// aside, and the damaged part of a file is copied first, so that no data is
// ever deleted.
//
// A file that other users could only read is mended. A file that they could
// write is set aside, however whole it looks: one of them could have renamed a
// session of theirs to the handle of another visitor, who would then use it.

// maxMends is how many faults of one file are mended. A file may have several,
// and other processes may change it meanwhile.
const maxMends = 8

// mend mends the session's file until no fault is left, or sets it aside, and
// returns what it did, in words for an operator; nothing if there was no fault
// any more. It marks no access.
func (f *Store) mend(handle string) (did []string, err error) {
	for range maxMends {
		once, err := f.mendOnce(handle)
		if err != nil || once == "" {
			return did, err
		}
		did = append(did, once)
	}
	return did, nil
}

// mendOnce mends one fault of the session's file; did is empty if there is
// none.
func (f *Store) mendOnce(handle string) (did string, err error) {
	shard, err := f.openShard(handle, false)
	if err == store.ErrNotFound {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	did, err = f.mendByStat(shard, handle)
	closeFD(shard)
	if err != nil || did != "" {
		return did, err
	}
	e, err := f.lock(handle, exclusive, false)
	if err == store.ErrNotFound {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer e.close()
	return e.mend()
}

// mendByStat mends a fault that stat(2) shows. But for other names, which a file may
// get while it is in use, it needs no lock: the store refuses to open a file with
// such a fault, so no process can be using it.
func (f *Store) mendByStat(shard int, handle string) (did string, err error) {
	var st unix.Stat_t
	err = lstatat(shard, handle, &st)
	switch {
	case err == unix.ENOENT:
		return "", nil
	case err != nil:
		return "", err
	case st.Mode&unix.S_IFMT == unix.S_IFREG && checkOwned(&st, os.Geteuid(), 0o077) != nil &&
		modeless(openOn(shard)) != "": // the mount is what has to be mended
		return "", errors.New(mountAdvice())
	case !isOwnFile(&st) || isOpen(&st):
		return f.setAside(shard, handle, handle)
	case st.Mode&0o077 != 0 || st.Mode&0o400 == 0:
		return "its mode is now 0600", chmodat(shard, handle, 0o600)
	case st.Nlink > 1:
		return f.breakLinks(shard, handle)
	}
	return "", nil
}

// mend mends one fault of the locked file; did is empty if there is none.
func (e *entry) mend() (did string, err error) {
	text, err := e.read()
	if errors.Is(err, store.ErrTooLarge) {
		return e.f.setAside(e.shard, e.handle, e.handle)
	}
	if err != nil {
		return "", err
	}

	// The order matters: what is set aside needs no mending, and the times come last,
	// since removing the damage writes to the file.
	at, err := current(text)
	mode := e.checkMode(at.record)
	switch wrong := damage(text, at, err); {
	case err != nil && wrong != nil:
		return e.f.setAside(e.shard, e.handle, e.handle)
	case len(at.data) > e.f.opts.MaxRead():
		return e.f.setAside(e.shard, e.handle, e.handle)
	case at.movedTo == e.handle:
		return e.removeOrphan()
	case mode != nil:
		want := mode.(wrongMode).want
		return fmt.Sprintf("its mode is now %#o", want), fchmod(e.fd, want)
	case wrong != nil:
		return e.removeDamage(text, at)
	case at.movedTo == "" && at.created > time.Now().Unix():
		return e.setBackCreated(at)
	case fromFuture(&e.stat):
		return "its last access is now", setTime(e.shard, e.handle, time.Now())
	}
	return "", nil
}

// removeOrphan removes a tombstone that leads to itself; it holds no data. The
// caller has its lock, so the move that made it is not in progress any more.
func (e *entry) removeOrphan() (did string, err error) {
	if err := e.stillLinked(); err == errReplaced {
		return "", nil
	} else if err != nil {
		return "", err
	}
	return "it held no data, and is removed", unlinkat(e.shard, e.handle)
}

// removeDamage copies the file's text and overwrites all but the record that
// counts with line feeds. That record stays where it is, so a crash does no
// harm.
func (e *entry) removeDamage(text []byte, at located) (did string, err error) {
	// The copy is on the disk before the text is overwritten.
	copied, err := e.f.copyAside(e.handle, text)
	if err == nil {
		err = e.blank(at.begin, at.end, len(text))
	}
	if err == nil {
		err = setTime(e.shard, e.handle, modified(&e.stat))
	}
	return "now it is mended, and a copy of what it was is " + copied, err
}

// setBackCreated stores the present as the time of creation, and keeps the time
// of the last access.
func (e *entry) setBackCreated(at located) (did string, err error) {
	now := time.Now()
	accessed := modified(&e.stat)
	if accessed.After(now) {
		accessed = now
	}
	e.stored = true
	s := e.session(at.record, accessed)
	s.Created = now.Unix()
	if err = e.save(s, at, store.Save); err == nil {
		err = setTime(e.shard, e.handle, accessed)
	}
	return "it was created now, it says", err
}
