package file

import (
	"errors"
	"io/fs"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// The index of a session's user is an empty file for each session that has one,
// DIR/.users/ab/<user>.<handle>, where <user> is the first half of the hex
// SHA-256 of the user's name and ab its first two digits. It only finds
// sessions; whose they are, the sessions say. An entry is made before a session
// gets its user and marked with every access, so that none is missing while the
// session counts; one that leads nowhere is passed over and in time removed.
const usersDir = ".users"

// addUser makes sure that the index leads from the user to the handle, and
// marks the access there.
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
	err = setTime(dir, name, time.Now())
	if err == unix.ENOENT {
		err = touchat(dir, name)
		if err == unix.EEXIST {
			err = nil
		}
	}
	return f.indexError(err)
}

// openUsers opens the part of the index that a user is in.
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

func (f *Store) indexError(err error) error {
	if err == nil || err == store.ErrNotFound {
		return err
	}
	return &fs.PathError{Op: "keep the index of users", Path: f.dir + "/" + usersDir, Err: err}
}

// dropUser takes the entry back. One that stays does no harm.
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

// markUser keeps the index of users as young as the session, so that what
// removes old files leaves both or none.
func (e *entry) markUser(s *store.Session) {
	if err := e.f.addUser(s.User, e.handle); err != nil {
		e.f.opts.LogEvent("user index not marked: "+err.Error(), e.handle)
	}
}

// UserHandles calls visit with the handle of each session that may be the
// user's: whose it is, the session says.
func (f *Store) UserHandles(user string, visit func(handle string) error) error {
	key := store.UserKey("", user)
	fd, err := f.openUsers(key, false)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return eachName(fd, f.dir+"/"+usersDir+"/"+key[:2], func(name string) error {
		if handle, ok := strings.CutPrefix(name, key+"."); ok && store.IsHandle(handle) {
			return visit(handle)
		}
		return nil
	})
}

// A userEntry is an entry of the index of users.
type userEntry struct {
	dir               int // descriptor of the directory that it is in
	name, key, handle string
	stat              unix.Stat_t
}

// eachUserEntry calls visit with each entry in one directory of the index, and
// passes over what is none.
func (f *Store) eachUserEntry(n int, visit func(userEntry) error) error {
	shard := shardName(n)
	fd, err := f.openUsers(shard, false)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return eachName(fd, f.dir+"/"+usersDir+"/"+shard, func(name string) error {
		u := userEntry{dir: fd, name: name}
		u.key, u.handle, _ = strings.Cut(name, ".")
		if len(u.key) != store.UserKeySize || u.key[:2] != shard || !store.IsHandle(u.handle) {
			return nil
		}
		if lstatat(fd, name, &u.stat) != nil || !isOwn(&u.stat) || u.stat.Size > 0 {
			return nil
		}
		return visit(u)
	})
}

// remove removes the entry, of which counts just said no. If a session has come
// to be there meanwhile, so does the entry.
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

// fileExists reports whether there is a file in a session's place, as far as can be
// told.
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

// pruneIndex removes the entries of the index of users that lead to no session,
// or to another user's, and returns how many they were. What it cannot read may
// be anybody's.
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

// mayBelong reports whether what has the handle may be the session of a user, or
// lead to it.
func (f *Store) mayBelong(handle, key string) bool {
	belongs := true
	err := f.Look(handle, func(s *store.Session, state store.State, _ error) error {
		switch state {
		case store.Live, store.Idle, store.Old, store.Oversize:
			belongs = store.UserKey("", s.User) == key
		case store.Over:
			belongs = false
		}
		return nil
	})
	return belongs && !errors.Is(err, store.ErrNotFound)
}
