//go:build redis

package redis

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"

	"cgisession/store"
)

// update is one call of Update, over all its tries.
type update struct {
	s       *Store
	rid     string // id of the request; the same for all tries
	change  store.Change
	at      string        // the handle of the last try
	outcome store.Outcome // of the last change

	// Of the last save whose answer may have been lost:
	sent *store.Session // nil: there was none
	was  store.Session  // the session it was made from
	wipe bool           // the outcome was Wipe
}

// try reads the session, has it changed and stores it. It returns errConflict if
// another process stored it meanwhile; follow then tries again. A change that fails, or
// whose data are too large, leaves no mark of an access.
func (u *update) try(handle string, create bool) (*store.Session, error) {
	s := u.s
	u.at = handle
	found, now, err := s.read(handle, "update", u.rid)
	switch {
	case err == errLanded && u.sent != nil:
		return u.landed(handle, found.Version)
	case err == errLanded: // nothing was sent
		return nil, s.failed(errNoRedis)
	case create && (err == store.ErrNotFound || err == errNoLock && s.lock.besideLock == handle):
		found = s.newSession(handle, 0, now.Unix(), now, "", store.Empty)
	case errors.Is(err, store.ErrTooLarge):
		u.change = u.change.Unread(err)
	case err != nil:
		return nil, err
	}
	was := *found
	outcome, err := u.change(found)
	u.outcome = outcome
	if err == nil && outcome != store.Keep && outcome != store.Remove {
		err = s.opts.CheckSize(was.Data, found.Data)
	}
	if err != nil {
		s.restore(&was, now)
		return nil, err
	}
	switch {
	case outcome == store.Keep, outcome == store.Remove && was.Version == 0 && s.lock.token == "":
		return found, nil
	case outcome == store.Remove:
		return found, s.remove(&was)
	}
	u.sent, u.was, u.wipe = found, was, outcome == store.Wipe
	return found, s.save(found, &was, u.rid, u.wipe)
}

// landed returns the session that an earlier try stored. It is saved once more,
// which changes nothing, but is confirmed by a replica under --durable.
func (u *update) landed(handle string, version uint64) (*store.Session, error) {
	u.sent.Handle, u.sent.Path = handle, u.s.key(handle)
	err := u.s.save(u.sent, &u.was, u.rid, u.wipe)
	if !errors.Is(err, store.ErrUnavailable) {
		err = nil
	}
	u.sent.Version = version
	return u.sent, err
}

// save stores the session in place of the version was, and sets its new version. A
// wipe is stored even by a server whose memory is full.
//
// The index of users gets the handle before the session gets the user, and loses it
// after, so that it always finds the user's sessions; one handle too many does no harm.
func (s *Store) save(found, was *store.Session, rid string, wipe bool) error {
	s.opts.NameSession(found)
	if found.User != was.User {
		if err := s.addUser(found.User, found.Handle); err != nil {
			return err
		}
	}
	beside := flag(found.Handle == s.lock.besideLock)
	r, err := s.run(saveScript, found.Handle, true, was.Version, rid, retryFlag{},
		found.Created, found.User, string(found.Data), beside, store.FormatOldKeys(found.OldKeys), flag(wipe),
		found.CookieName, found.Note)
	if err != nil {
		return err
	}
	switch r.status() {
	case statusLive, statusLanded:
		found.Version, found.Size = r.uint(1), int64(len(found.Data))
		if found.User == was.User {
			return nil
		}
		s.dropUser(was.User, found.Handle)
		if was.Version > 0 {
			return nil
		}
		return s.addUser(found.User, found.Handle) // a cleanup may have removed the handle before the session was there
	}
	return s.refused(r, found.Handle)
}

// remove ends the session if it is still of this version; else it returns errConflict.
// That there is no session by now is success: the answer to an earlier try may have
// been lost.
func (s *Store) remove(was *store.Session) error {
	r, err := s.run(removeScript, was.Handle, true, was.Version)
	if err != nil {
		return err
	}
	switch r.status() {
	case statusLive, statusMissing, statusEnded, statusNoLock, statusExpired:
		s.dropUser(was.User, was.Handle)
		return nil
	}
	return s.refused(r, was.Handle)
}

// restore takes back the mark of an access after which nothing was changed, unless
// there was another access meanwhile. If it fails, only that mark is wrong.
func (s *Store) restore(was *store.Session, marked time.Time) {
	if was.Version > 0 {
		s.run(restoreScript, was.Handle, false, marked.UnixMilli(), was.Accessed.UnixMilli())
	}
}

// newID returns the id of a request: 64 random bits in hex.
func newID() string { return randomHex(ridSize / 2) }

// randomHex returns this many random bytes in hex.
func randomHex(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b)
	return hex.EncodeToString(b)
}
