//go:build redis

// Package redis keeps sessions in Redis or Valkey: one server, one that
// Sentinel watches over, or a cluster.
//
// A session is one hash, at the key PREFIX{<handle>}, with the fields version,
// created (Unix seconds), accessed (Unix milliseconds), user, data and old (text
// of [store.FormatOldKeys]). Each change is one script on the server, and takes
// effect only over the version that it was made of; over another one it is made
// again, from what is stored by then. So no update is lost, and between calls no
// lock is needed.
//
// # Answers that are lost
//
// A change is sent again if its answer did not come, and must not happen twice.
// The hash therefore keeps the ids of the requests that made its last versions.
// A change whose id is among them has landed. One whose id is not, while no more
// versions came after than ids are kept, has not. Beyond that nobody knows, and
// the call fails and says so.
//
// # Moves
//
// The old and the new key of a move may be on two servers, where no step can
// change both. The steps are:
//
//  1. The session as it will be is put at the new key, marked as pending and
//     with an end. Nobody has been told the new handle, so nobody changes it.
//  2. At the old key the session becomes a tombstone that leads to the new one,
//     if it is still of the version that was copied. This is the commit.
//  3. At the new key the mark and the end are taken off.
//
// A copy that is pending is no session. Every script refuses it and names the old
// key, where the caller looks: if a tombstone there leads to the copy, the second
// step was made; the caller makes the third one, and finds the session. Else the
// session is still at the old key, and the caller goes on there. So at each moment
// the session is at one of the two keys, and a change can be made at that one only.
//
// A crash before the second step leaves the session where it was, and a copy that
// operators see as moving, for a minute; then it is listed no more, and cleanup or
// the server removes it. The second step is refused half a minute after the first,
// so a mover that was stopped does not lose the session to that. A crash after the
// second step leaves the session at the new key, for longer than the tombstone leads
// there. Without a grace the tombstone leads nobody on: it only tells what became of
// the copy, and operators do not see it.
//
// # Locks
//
// A lock that outlives a call is a lease: a random token in the hash, and when
// the lease ends by the server's clock. Who has the token renews it. Once the
// lease is over another process may change the session, and thereby takes the
// token off; from then on every call with the old token is refused, however its
// own clock runs.
//
// The token also says which session it was taken on. Where there is no session,
// it is not enough to have one, for the session may have ended after the lock was
// lost: the lock must be there, or be found at the session that the token names.
package redis

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"cgisession/store"
)

const (
	// leaseTime is how long a lock lasts that is not renewed: under the default
	// of --lock-timeout, so that who waits outlasts a holder that crashed.
	leaseTime = 6 * time.Second

	// ridsKept is how many requests' ids are kept with a session.
	ridsKept = 16

	// maxHops bounds how many tombstones are followed from a handle.
	maxHops = 8

	// keepMoved is how long a tombstone without a grace is kept, and a session
	// that was put at its new key beyond the grace: far longer than a move takes.
	keepMoved = time.Hour

	// moveTime is how long after its first step a move may make its second one, and
	// movingTime how long the copy is there at least, and seen by operators. The two
	// may be measured by two servers.
	moveTime   = 30 * time.Second
	movingTime = time.Minute
)

// Store is a [store.Backend] whose sessions are in Redis.
type Store struct {
	client redis.UniversalClient
	prefix string
	where  string // the server, for messages
	opts   store.Options
	ended  bool   // the session that LockToken locked has ended
	void   bool   // under the lock: elsewhere the token means nothing any more
	astray string // a handle that may get a session, though the lock is elsewhere
	whole  bool   // Each reads data too
	time   *budget
	lost   *sync.Once                      // tells of a lock that was lost
	node   func(addr string) *redis.Client // of one server of a cluster; nil: no cluster
}

// Close gives back what the store holds of the system.
func (s *Store) Close() error { return s.client.Close() }

func (s *Store) key(handle string) string { return s.prefix + "{" + handle + "}" }

// Read implements [store.Store].
func (s *Store) Read(handle string, how store.Reading) (*store.Session, error) {
	words := map[store.Reading]string{store.Touch: "touch", store.Peek: "peek", store.Snapshot: "snapshot"}
	s.time.begin()
	return s.follow(handle, false, func(handle string, _ bool) (*store.Session, error) {
		found, _, err := s.read(handle, words[how], "")
		return found, err
	})
}

// Update implements [store.Store].
func (s *Store) Update(handle string, create bool, change store.Change) (*store.Session, error) {
	s.time.begin()
	u := update{s: s, rid: newID(), change: change}
	at := handle
	found, err := s.follow(handle, create, func(handle string, create bool) (*store.Session, error) {
		at = handle
		return u.try(handle, create)
	})
	if err == store.ErrNotFound && create && at != handle { // old handles of a session that has ended
		found = &store.Session{Handle: at, Data: store.Empty}
		var changed error
		if u.outcome, changed = change(found); changed != nil || u.outcome != store.Remove {
			return nil, cmp.Or(changed, err)
		}
		err = nil
	}
	if err != nil || u.outcome != store.Remove || found.Version > 0 && found.Handle == handle {
		return found, err
	}
	last, ended, err := s.endMoved(handle)
	if found.Version == 0 {
		found.Handle = last
	}
	if ended {
		found.Version = 1
	}
	return found, err
}

// update is one change under way, over all its tries.
type update struct {
	s       *Store
	rid     string
	change  store.Change
	outcome store.Outcome
	sent    *store.Session // what may have been stored without an answer
	wipe    bool           // that was a Wipe
	was     store.Session  // the one that this was made of
}

// try reads the session, has it changed and stores it, if no other process did
// so meanwhile.
func (u *update) try(handle string, create bool) (*store.Session, error) {
	found, now, err := u.s.read(handle, "update", u.rid)
	landed := landedError{}
	switch {
	case errors.As(err, &landed) && u.sent != nil:
		return u.landed(handle, landed.version)
	case errors.As(err, &landed): // nothing was sent
		return nil, u.s.failed(errNoRedis)
	case create && (err == store.ErrNotFound || err == errAstray && u.s.astray == handle):
		found = u.s.session(handle, 0, now.Unix(), now, "", store.Empty)
	case errors.Is(err, store.ErrTooLarge):
		u.change = u.change.Unread(err)
	case err != nil:
		return nil, err
	}
	was := *found
	outcome, err := u.change(found)
	u.outcome = outcome
	if err == nil && outcome != store.Keep && outcome != store.Remove {
		err = u.s.opts.CheckSize(was.Data, found.Data)
	}
	if err != nil {
		u.s.restore(&was, now)
		return nil, err
	}
	switch {
	case outcome == store.Keep, outcome == store.Remove && was.Version == 0 && u.s.opts.LockToken == "":
		return found, nil
	case outcome == store.Remove:
		return found, u.s.remove(&was)
	}
	u.sent, u.wipe, u.was = found, outcome == store.Wipe, was
	return found, u.s.save(found, &was, u.rid, u.wipe)
}

// landed returns what is stored already, once that is as sure as any change.
func (u *update) landed(handle string, version uint64) (*store.Session, error) {
	u.sent.Handle, u.sent.Path = handle, u.s.key(handle)
	err := u.s.save(u.sent, &u.was, u.rid, u.wipe)
	if !errors.Is(err, store.ErrUnavailable) {
		err = nil
	}
	u.sent.Version = version
	return u.sent, err
}

// save stores the session over the version that it was; a wipe on a full server too.
// The index of users leads to it before it is the user's.
func (s *Store) save(found, was *store.Session, rid string, wipe bool) error {
	if found.User != was.User {
		if err := s.addUser(found.User, found.Handle); err != nil {
			return err
		}
	}
	owned := flag(found.Handle == s.astray)
	r, err := s.run(saveScript, found.Handle, true, was.Version, rid, again{}, found.Created, found.User, string(found.Data), owned, store.FormatOldKeys(found.OldKeys), flag(wipe))
	if err != nil {
		return err
	}
	switch r.state() {
	case "live", "landed":
		found.Version, found.Size = r.uint(1), int64(len(found.Data))
		if found.User == was.User {
			return nil
		}
		s.dropUser(was.User, found.Handle)
		if was.Version > 0 {
			return nil
		}
		return s.addUser(found.User, found.Handle) // cleanup may have taken out what led nowhere yet
	}
	return s.refused(r, found.Handle)
}

// remove ends the session if it is still of this version.
func (s *Store) remove(was *store.Session) error {
	r, err := s.run(removeScript, was.Handle, true, was.Version)
	if err != nil {
		return err
	}
	switch r.state() {
	case "live", "missing", "ended", "nolock", "expired": // an answer may have been lost
		s.dropUser(was.User, was.Handle)
		return nil
	}
	return s.refused(r, was.Handle)
}

// restore takes back the mark of an access that came to nothing, unless there
// was another meanwhile. If it fails, no more than the access is marked.
func (s *Store) restore(was *store.Session, marked time.Time) {
	if was.Version > 0 {
		s.run(restoreScript, was.Handle, false, marked.UnixMilli(), was.Accessed.UnixMilli())
	}
}

// read asks for the session, and returns what the server's clock says too. With
// ErrTooLarge comes all of the session but its data.
func (s *Store) read(handle, how, rid string) (*store.Session, time.Time, error) {
	r, err := s.run(readScript, handle, false, fmt.Sprint(how, " ", s.opts.MaxRead()), rid)
	if err != nil {
		return nil, time.Time{}, err
	}
	switch r.state() {
	case "live", "oversize":
	case "corrupt":
		return nil, time.Time{}, s.corrupt(handle, how)
	case "landed":
		if rid == "" {
			return nil, time.Time{}, s.failed(errNoRedis)
		}
		return nil, time.Time{}, landedError{r.uint(1)}
	default:
		return nil, time.UnixMilli(r.int(1)), s.refused(r, handle)
	}
	now := time.UnixMilli(r.int(1))
	found := s.session(handle, r.uint(2), r.int(3), time.UnixMilli(r.int(4)), r.text(5), nil)
	if r.state() == "oversize" {
		found.Size = r.int(6)
		return found, now, s.tooLarge(found)
	}
	var ok bool
	found.Data, err = store.ParseData([]byte(r.text(6)))
	found.OldKeys, ok = store.ParseOldKeys(r.text(8), now)
	if err != nil || !ok {
		return nil, time.Time{}, s.corrupt(handle, how)
	}
	found.Size = int64(len(found.Data))
	if r.text(7) != "" {
		s.log("access not marked: the server takes no changes", handle)
	}
	return found, now, nil
}

// tooLarge is the error of a session whose data are not read.
func (s *Store) tooLarge(found *store.Session) error {
	return fmt.Errorf("key %s: data of %d bytes: %w allows; raise that, or destroy the session", s.key(found.Handle), found.Size, store.ErrTooLarge)
}

func (s *Store) session(handle string, version uint64, created int64, accessed time.Time, user string, data store.Data) *store.Session {
	return &store.Session{
		Handle: handle, Version: version, Created: created, Accessed: accessed,
		User: user, Data: data, Path: s.key(handle), Size: int64(len(data)),
	}
}

// corrupt says that another program wrote where a session belongs, and ends
// that if it is to count as a session that was timed out.
func (s *Store) corrupt(handle, how string) error {
	s.log("corrupt", handle)
	if !s.opts.InvalidateCorrupt {
		return foreignError{s.key(handle), "it holds no session, but what another program wrote; delete it, or set --invalidate-corrupt"}
	}
	if how == "update" {
		if _, err := s.run(purgeScript, handle, false); err != nil {
			return err
		}
	}
	return store.ErrInvalidated
}

// flag returns a truth as scripts have it.
func flag(on bool) int {
	if on {
		return 1
	}
	return 0
}

// newID returns 64 random bits in hex, by which one request is told from others.
func newID() string { return randomHex(8) }

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}

func (s *Store) log(event, handle string) {
	if s.opts.Log != nil {
		s.opts.Log(event, handle)
	}
}

// field returns one field of a session's hash, empty if it is not there.
func (s *Store) field(handle, name string) (string, error) {
	var text string
	err := s.attempt(func(ctx context.Context, _ int) (err error) {
		text, err = s.client.HGet(ctx, s.key(handle), name).Result()
		if err == redis.Nil {
			err = nil
		}
		return err
	})
	return text, err
}
