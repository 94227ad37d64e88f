package file

import (
	"errors"
	"io/fs"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// The index of users finds the sessions of a user without reading all of them.
// It has an empty file for each session with a user,
// DIR/.users/ab/<user>.<handle>. <user> is the first half of the hex SHA-256 of
// the user's name, and ab its first two digits.
//
// The index only finds sessions; the sessions themselves say which user they
// belong to. An entry is made before its session gets the user, and is marked
// with every access. So no session is missing from the index. An entry without
// a session is ignored, and removed in time.
const usersDir = ".users"

// addUser makes the user's entry for the handle, or sets its time to the
// present. An empty user has no entry.
func (f *Store) addUser(user, handle string) error {
	if user == "" {
		return nil
	}
	key := store.UserKey("", user)
	dir, err := f.openUsers(key, true)
	if err != nil {
		return err
	}
	defer closeFD(dir)
	name := key + "." + handle
	// Most entries exist, so setting the time is tried first: one system call.
	err = setTime(dir, name, time.Now())
	if err == unix.ENOENT {
		err = touchat(dir, name)
		if err == unix.EEXIST {
			err = nil
		}
	}
	return f.indexError(err)
}

// openUsers opens the directory of the index for users whose key begins with
// the same two digits, and returns a descriptor that the caller closes. A
// missing one is made if create is set, and is ErrNotFound otherwise.
func (f *Store) openUsers(key string, create bool) (fd int, err error) {
	if err := f.openRoot(create); err != nil {
		return -1, err
	}
	top, err := openOrMake(f.root, usersDir, create)
	if err != nil {
		return -1, f.indexError(err)
	}
	defer closeFD(top)
	if fd, err = openOrMake(top, key[:2], create); err != nil {
		return -1, f.indexError(err)
	}
	return fd, nil
}

// indexError adds the index's path to an error. nil and ErrNotFound stay as
// they are.
func (f *Store) indexError(err error) error {
	if err == nil || err == store.ErrNotFound {
		return err
	}
	return &fs.PathError{Op: "keep the index of users", Path: f.config.Dir + "/" + usersDir, Err: err}
}

// dropUser removes the user's entry for the handle. Errors are ignored: an
// entry that stays does no harm.
func (f *Store) dropUser(user, handle string) {
	if user == "" {
		return
	}
	key := store.UserKey("", user)
	if dir, err := f.openUsers(key, false); err == nil {
		unlinkat(dir, key+"."+handle)
		closeFD(dir)
	}
}

// markUser sets the time of the session's entry in the index, so that a program
// that removes old files removes both or neither. A failure is only logged.
func (e *entry) markUser(s *store.Session) {
	if err := e.f.addUser(s.User, e.handle); err != nil {
		e.f.opts.LogEvent("user index not marked: "+err.Error(), e.handle)
	}
}

// UserHandles implements [store.Operator].
func (f *Store) UserHandles(user string, visit func(handle string) error) error {
	key := store.UserKey("", user)
	fd, err := f.openUsers(key, false)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return eachName(fd, f.config.Dir+"/"+usersDir+"/"+key[:2], func(name string) error {
		if handle, ok := strings.CutPrefix(name, key+"."); ok && store.IsHandle(handle) {
			return visit(handle)
		}
		return nil
	})
}

// A userEntry is an entry of the index of users.
type userEntry struct {
	dir    int    // descriptor of its directory
	name   string // of its file: key, a dot, handle
	key    string // of the user; see store.UserKey
	handle string // of the session
	stat   unix.Stat_t
}

// eachUserEntry calls visit with each entry in directory n of the index. It
// ignores files that are no entries.
func (f *Store) eachUserEntry(n int, visit func(userEntry) error) error {
	shard := shardName(n)
	fd, err := f.openUsers(shard, false)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return eachName(fd, f.config.Dir+"/"+usersDir+"/"+shard, func(name string) error {
		u := userEntry{dir: fd, name: name}
		u.key, u.handle, _ = strings.Cut(name, ".")
		if len(u.key) != store.UserKeySize || u.key[:2] != shard || !store.IsHandle(u.handle) {
			return nil
		}
		// Entries are empty files; anything else was put there by another program.
		if lstatat(fd, name, &u.stat) != nil || !isOwn(&u.stat) || u.stat.Size > 0 {
			return nil
		}
		return visit(u)
	})
}

// remove removes an entry that leads just rejected, and reports whether it is
// gone. If leads accepts it afterwards, a session has appeared meanwhile, and
// the entry is made again.
func (u userEntry) remove(leads func(handle string) bool) bool {
	if unlinkat(u.dir, u.name) != nil {
		return false
	}
	if leads(u.handle) {
		touchat(u.dir, u.name)
		return false
	}
	return true
}

// fileExists reports whether a session's file may exist. Only a clear no is
// false.
func (f *Store) fileExists(handle string) bool {
	var st unix.Stat_t
	err := lstatat(f.root, handle[:2]+"/"+handle, &st)
	return err != unix.ENOENT && err != unix.ENOTDIR
}

// indexed reports whether the index of users leads to the session.
func (f *Store) indexed(s *store.Session) bool {
	key := store.UserKey("", s.User)
	dir, err := f.openUsers(key, false)
	if err != nil {
		return false
	}
	defer closeFD(dir)
	var st unix.Stat_t
	return lstatat(dir, key+"."+s.Handle, &st) == nil
}

// pruneIndex removes the entries that lead to no session or to another user's,
// and returns their number. An entry stays if its session cannot be read.
func (f *Store) pruneIndex() (removed int, err error) {
	for n := range shards {
		err := f.eachUserEntry(n, func(u userEntry) error {
			finds := func(handle string) bool { return f.mayBelong(handle, u.key) }
			if !finds(u.handle) && u.remove(finds) {
				removed++
			}
			return nil
		})
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// mayBelong reports whether the session with the handle may belong to the user
// with this key, or may be a tombstone that leads to the user's session.
func (f *Store) mayBelong(handle, key string) bool {
	belongs := true
	err := f.Look(handle, func(s *store.Session, state store.State, _ error) error {
		switch state {
		// In other states the user is not known: belongs stays true.
		case store.Live, store.Idle, store.Old, store.Oversize:
			belongs = store.UserKey("", s.User) == key
		case store.Over:
			belongs = false
		}
		return nil
	})
	return belongs && !errors.Is(err, store.ErrNotFound)
}
