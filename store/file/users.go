package file

import (
	"cmp"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// The index of users finds the sessions of a user without reading all of them.
// It has an empty file for each session with a user, in DIR/.users/ab:
//
//	<user>.<name>.<handle>  of a session whose cookie name is known
//	<user>.<handle>         of any other
//
// <user> is the key of the user alone, <name> that of the user under the cookie
// name (store.UserKey), and ab are the first two digits of <user>. So all the
// user's entries are in one directory, whose names tell what is whose: one reading
// of it finds the sessions of one cookie name without opening those of the others,
// which may be locked or damaged, or the sessions of all names.
//
// A session without a name was stored by a program that kept none, or by an
// operator's. It counts for every name until its next access, whose request knows
// the name: the mark gives it the entry with the name in place of the other one.
// The record gets the name with its next save.
//
// The index only finds sessions; the sessions themselves say which user they
// belong to. An entry is made before its session gets the user, and is marked
// with every access. So no session is missing from the index. An entry without
// a session is ignored, and removed in time.
const usersDir = ".users"

// addUser makes the entry of the session's user for the handle, or sets its time
// to the present. A session without a user has no entry.
func (f *Store) addUser(s *store.Session, handle string) error {
	if s.User == "" {
		return nil
	}
	key := store.UserKey("", s.User)
	dir, err := f.openUsers(key, true)
	if err != nil {
		return err
	}
	defer closeFD(dir)
	name := f.entryName(s, handle)
	// Most entries exist, so setting the time is tried first: one system call.
	err = setTime(dir, name, time.Now())
	if err == unix.ENOENT {
		err = f.makeEntry(dir, name)
	}
	return f.indexError(err)
}

// entryName returns the name of the entry of the session's user for the handle.
func (f *Store) entryName(s *store.Session, handle string) string {
	name := store.UserKey("", s.User) + "."
	if cookieName := cmp.Or(s.CookieName, f.opts.CookieName); cookieName != "" {
		name += store.UserKey(cookieName, s.User) + "."
	}
	return name + handle
}

// An entryKeys is the name of an entry, split at its dots.
type entryKeys struct{ user, name, handle string }

// splitEntry splits the name of an entry, and reports whether it is one.
func splitEntry(text string) (k entryKeys, ok bool) {
	var rest string
	k.user, rest, _ = strings.Cut(text, ".")
	k.name, k.handle, ok = strings.Cut(rest, ".")
	if !ok {
		k.name, k.handle = "", rest
	}
	isKey := func(key string) bool { return len(key) == store.UserKeySize && store.IsHex(key) }
	return k, isKey(k.user) && (!ok || isKey(k.name)) && store.IsHandle(k.handle)
}

// bare returns the entry's name if its cookie name is not known.
func (k entryKeys) bare() string { return k.user + "." + k.handle }

// makeEntry makes a missing entry. One with a cookie name takes the place of the one
// without. Where the session has one with a name, none without is made; the time of
// that is set.
func (f *Store) makeEntry(dir int, name string) error {
	k, _ := splitEntry(name)
	if k.name == "" {
		if named := f.namedEntry(k); named != "" {
			return setTime(dir, named, time.Now())
		}
	}
	err := touchat(dir, name)
	if err == unix.EEXIST {
		err = nil
	}
	if err == nil && k.name != "" {
		unlinkat(dir, k.bare())
	}
	return err
}

// namedEntry returns the entry for the same user and handle with a cookie name,
// whatever that is; empty if there is none. It reads the whole directory. That is
// seldom needed: every request knows the cookie name.
func (f *Store) namedEntry(of entryKeys) (found string) {
	f.eachEntryLike(of.user, func(u userEntry) error {
		if u.user == of.user && u.handle == of.handle && u.name != "" {
			found = u.file
		}
		return nil
	})
	return found
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

// dropUser removes the entry of the session's user for the handle. Errors are
// ignored: an entry that stays does no harm.
func (f *Store) dropUser(s *store.Session, handle string) {
	if s.User == "" {
		return
	}
	dir, err := f.openUsers(store.UserKey("", s.User), false)
	if err != nil {
		return
	}
	defer closeFD(dir)
	name := f.entryName(s, handle)
	k, _ := splitEntry(name)
	err = unlinkat(dir, name)
	if k.name != "" {
		unlinkat(dir, k.bare())
	} else if err == unix.ENOENT {
		if named := f.namedEntry(k); named != "" {
			unlinkat(dir, named)
		}
	}
}

// markUser sets the time of the session's entry in the index, so that a program
// that removes old files removes both or neither. A failure is only logged.
func (e *entry) markUser(s *store.Session) {
	if err := e.f.addUser(s, e.handle); err != nil {
		e.f.opts.LogEvent("user index not marked: "+err.Error(), e.handle)
	}
}

// UserHandles implements [store.Operator].
func (f *Store) UserHandles(user, cookieName string, visit func(handle string) error) error {
	key, name := store.UserKey("", user), store.UserKey(cookieName, user)
	names := make(map[string]string) // by handle; an older program may have added an entry without a name
	err := f.eachEntryLike(key, func(u userEntry) error {
		if at := names[u.handle]; u.user == key && (at == "" || u.name == name) {
			names[u.handle] = u.name
		}
		return nil
	})
	for _, handle := range slices.Sorted(maps.Keys(names)) { // the same order each time, as a page wants it
		if at := names[handle]; err == nil && (cookieName == "" || at == name || at == "") {
			err = visit(handle)
		}
	}
	return err
}

// A userEntry is an entry of the index of users.
type userEntry struct {
	entryKeys
	dir  int    // descriptor of its directory
	file string // its whole name
	stat unix.Stat_t
}

// eachEntryLike calls visit with each entry in the directory of the index for users
// whose key begins with the same two digits. It does not fill stat.
func (f *Store) eachEntryLike(key string, visit func(userEntry) error) error {
	fd, err := f.openUsers(key, false)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return eachName(fd, f.config.Dir+"/"+usersDir+"/"+key[:2], func(name string) error {
		if k, ok := splitEntry(name); ok && k.user[:2] == key[:2] {
			return visit(userEntry{entryKeys: k, dir: fd, file: name})
		}
		return nil
	})
}

// eachUserEntry calls visit with each entry in directory n of the index. It
// ignores files that are no entries.
func (f *Store) eachUserEntry(n int, visit func(userEntry) error) error {
	return f.eachEntryLike(shardName(n), func(u userEntry) error {
		// Entries are empty files; anything else was put there by another program.
		if lstatat(u.dir, u.file, &u.stat) != nil || !isOwn(&u.stat) || u.stat.Size > 0 {
			return nil
		}
		return visit(u)
	})
}

// remove removes an entry that leads just rejected, and reports whether it is
// gone. If leads accepts it afterwards, a session has appeared meanwhile, and
// the entry is made again.
func (u userEntry) remove(leads func(handle string) bool) bool {
	if unlinkat(u.dir, u.file) != nil {
		return false
	}
	if leads(u.handle) {
		touchat(u.dir, u.file)
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
	name := f.entryName(s, s.Handle)
	k, _ := splitEntry(name)
	dir, err := f.openUsers(k.user, false)
	if err != nil {
		return false
	}
	defer closeFD(dir)
	var st unix.Stat_t
	return lstatat(dir, name, &st) == nil || k.name == "" && f.namedEntry(k) != ""
}

// pruneIndex removes the entries that lead to no session or to another user's,
// and returns their number. An entry stays if its session cannot be read.
func (f *Store) pruneIndex() (removed int, err error) {
	for n := range shards {
		err := f.eachUserEntry(n, func(u userEntry) error {
			finds := func(handle string) bool { return f.mayBelong(handle, u.entryKeys) }
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
// with these keys, or may be a tombstone that leads to the user's session.
func (f *Store) mayBelong(handle string, k entryKeys) bool {
	belongs := true
	err := f.Look(handle, func(s *store.Session, state store.State, _ error) error {
		switch state {
		// In other states the user is not known: belongs stays true.
		case store.Live, store.Idle, store.Old, store.Oversize:
			belongs = store.UserKey("", s.User) == k.user &&
				(k.name == "" || s.CookieName == "" || store.UserKey(s.CookieName, s.User) == k.name)
		case store.Over:
			belongs = false
		}
		return nil
	})
	return belongs && !errors.Is(err, store.ErrNotFound)
}
