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
// A crash before the second step leaves the session where it was, and a copy
// that nobody can reach, which ends by itself. A crash after it leaves the
// session at the new key alone: who comes by the tombstone finds it, and takes
// the mark off. It lasts as it is for longer than the tombstone leads to it, so
// that it is there for all who can come. There is no moment at which changes
// can be made at both keys, and none at which neither has the session. Without a
// grace the tombstone leads nobody on, and only tells the mover that its second
// step has landed.
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
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strconv"
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
)

// Store is a [store.Keeper] whose sessions are in Redis.
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
	return s.follow(handle, create, u.try)
}

// update is one change under way, over all its tries.
type update struct {
	s      *Store
	rid    string
	change store.Change
	sent   *store.Session // what may have been stored without an answer
	was    store.Session  // the one that this was made of
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
	case err != nil:
		return nil, err
	}
	was := *found
	outcome, err := u.change(found)
	if err == nil && outcome != store.Keep && outcome != store.Remove {
		err = u.s.checkSize(found)
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
	u.sent, u.was = found, was
	return found, u.s.save(found, &was, u.rid)
}

// landed returns what is stored already, once that is as sure as any change.
func (u *update) landed(handle string, version uint64) (*store.Session, error) {
	u.sent.Handle, u.sent.Path = handle, u.s.key(handle)
	err := u.s.save(u.sent, &u.was, u.rid)
	if !errors.Is(err, store.ErrUnavailable) {
		err = nil
	}
	u.sent.Version = version
	return u.sent, err
}

func (s *Store) checkSize(found *store.Session) error {
	if len(found.Data) > s.opts.MaxSize {
		return fmt.Errorf("data of %d bytes: %w of %d", len(found.Data), store.ErrTooLarge, s.opts.MaxSize)
	}
	return nil
}

// save stores the session over the version that it was. The index of users
// leads to it before it is the user's.
func (s *Store) save(found, was *store.Session, rid string) error {
	if found.User != was.User {
		if err := s.addUser(found.User, found.Handle); err != nil {
			return err
		}
	}
	owned := flag(found.Handle == s.astray)
	r, err := s.run(saveScript, found.Handle, true, was.Version, rid, again{}, found.Created, found.User, string(found.Data), owned, store.FormatOldKeys(found.OldKeys))
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
	case "live", "missing", "ended", "astray", "expired": // an answer may have been lost
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

// Move implements [store.Store]; the package's comment has the steps.
func (s *Store) Move(from, to string, grace time.Duration, change store.Change) (*store.Session, error) {
	s.time.begin()
	m := move{s: s, to: to, id: newID(), rid: newID(), grace: grace, change: change}
	moved, err := s.follow(from, false, func(from string, _ bool) (*store.Session, error) {
		found, err := m.try(from)
		if _, before := err.(movedError); before {
			err = store.ErrMoved
		}
		return found, err
	})
	known := !errors.Is(err, store.ErrUnavailable) || errors.Is(err, errNotMoved)
	if err != nil && m.placed && !m.left && known {
		s.run(undoScript, to, false, m.id)
		s.dropUser(m.user, to)
	}
	return store.MovedBefore(s, from, moved, err)
}

// move is one move under way, over all its tries.
type move struct {
	s       *Store
	to      string
	id, rid string
	grace   time.Duration
	until   int64 // Unix milliseconds at which that is over; 0: there is none
	change  store.Change
	placed  bool
	left    bool   // the second step was made
	rids    string // ids of requests that go with the session
	user    string // in whose index the new handle is
}

func (m *move) try(from string) (*store.Session, error) {
	s := m.s
	found, now, err := s.read(from, "update", "")
	if err != nil {
		return nil, err
	}
	was := *found
	if err := m.ask(found, now); err != nil {
		s.restore(&was, now)
		return nil, err
	}
	found.Handle, found.Path, found.Size = m.to, s.key(m.to), int64(len(found.Data))
	if err := m.place(found, &was); err != nil {
		return nil, err
	}
	m.user = found.User
	if err := s.addUser(m.user, m.to); err != nil {
		return nil, err
	}
	r, err := s.run(leaveScript, from, true, was.Version, m.to, m.until, keepMoved.Milliseconds())
	switch {
	case errors.Is(err, errNotReplicated), s.opts.Durable && errors.Is(err, store.ErrUnavailable):
		m.left = true
		return nil, m.takeBack(&was, err)
	case err != nil:
		return nil, err
	case r.state() != "live":
		return nil, s.refused(r, from)
	}
	m.left = true
	// Without an answer the last step is made by the next call that comes there.
	// If the session has ended or moved on by then, it was moved all the same.
	s.run(confirmScript, m.to, true)
	s.dropUser(was.User, from)
	return found, nil
}

// takeBack has a session stay where it was whose move no replica confirmed: its
// new handle will be told to nobody. It is put back first, so that it is never
// nowhere. If somebody meanwhile came to the new handle, by the tombstone, then
// that has the session, and the tombstone leads to it for the grace. The wait for
// a replica has taken most of the call's time; this has its own.
func (m *move) takeBack(was *store.Session, failed error) error {
	s := m.s.apart()
	r, err := s.run(backScript, was.Handle, false, m.to, was.Version, was.Created, was.Accessed.UnixMilli(), was.User, string(was.Data), m.rids, store.FormatOldKeys(was.OldKeys))
	if err != nil || r.state() != "live" {
		return failed
	}
	r, err = s.run(undoScript, m.to, false, m.id)
	if err == nil && r.state() != "live" {
		s.run(leaveScript, was.Handle, false, was.Version, m.to, m.until, keepMoved.Milliseconds())
		return failed
	}
	s.dropUser(was.User, m.to)
	return fmt.Errorf("redis %s: %w: %w", s.where, store.ErrUnavailable, errNotMoved)
}

// ask runs the change, and leaves in found what is to be stored.
func (m *move) ask(found *store.Session, now time.Time) error {
	m.until = 0
	if m.grace > 0 {
		m.until = now.Add(m.grace).UnixMilli() + 1 // now is cut to whole ms
	}
	outcome, err := m.change.Moving(found, store.GraceEnd(now, m.grace))
	if err != nil || outcome == store.Keep {
		return err
	}
	found.Version++
	return m.s.checkSize(found)
}

// place puts the session at its new key. The ids of former requests go with it,
// so that their answers can still be told from there.
func (m *move) place(found, was *store.Session) error {
	s := m.s
	rids, err := s.field(was.Handle, "rids")
	if err != nil {
		return err
	}
	m.rids = rids
	if found.Version > was.Version {
		rids = (m.rid + rids)[:min(len(rids)+len(m.rid), ridsKept*len(m.rid))]
	}
	keep := m.grace.Milliseconds() + keepMoved.Milliseconds()
	r, err := s.run(placeScript, m.to, true, m.id, keep, found.Version, found.Created, found.User, string(found.Data), rids, was.Handle, store.FormatOldKeys(found.OldKeys))
	m.placed = err == nil && r.state() == "live"
	switch {
	case errors.Is(err, errNotReplicated):
		m.placed = true
		return fmt.Errorf("redis %s: %w: %w", s.where, store.ErrUnavailable, errNotMoved)
	case err == nil && r.state() == "taken":
		return fmt.Errorf("move: the new handle is taken")
	case err == nil && !m.placed:
		return s.failed(errNoRedis)
	}
	return err
}

// read asks for the session, and returns what the server's clock says too.
func (s *Store) read(handle, how, rid string) (*store.Session, time.Time, error) {
	r, err := s.run(readScript, handle, false, how, rid)
	if err != nil {
		return nil, time.Time{}, err
	}
	switch r.state() {
	case "live":
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
	data, err := store.ParseData([]byte(r.text(6)))
	keys, ok := store.ParseOldKeys(r.text(8), now)
	if err != nil || !ok {
		return nil, time.Time{}, s.corrupt(handle, how)
	}
	if r.text(7) != "" {
		s.log("access not marked: the server takes no changes", handle)
	}
	found := s.session(handle, r.uint(2), r.int(3), time.UnixMilli(r.int(4)), r.text(5), data)
	found.OldKeys = keys
	return found, now, nil
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

var (
	errBusy     = errors.New("busy")
	errConflict = errors.New("conflict")
	errEnded    = fmt.Errorf("%w: it ended under the lock of this request", store.ErrNotFound)
	errLost     = errors.New("lost")
	errAstray   = fmt.Errorf("%w: nor is the lock of this request there", store.ErrNotFound)
	errNotMoved = errors.New("no replica confirmed the new id, as --durable wants; the session keeps the old one")
)

// foreignError says that another program wrote to a key. It is [store.ErrCorrupt],
// whose own words are about files.
type foreignError struct{ key, text string }

func (e foreignError) Error() string        { return "key " + e.key + ": " + e.text }
func (e foreignError) Is(target error) bool { return target == store.ErrCorrupt }

// movedError says that a tombstone stands where the session was.
type movedError struct{ to string }

func (e movedError) Error() string { return "moved to " + e.to }

// landedError says that a change was stored before, as this version.
type landedError struct{ version uint64 }

func (e landedError) Error() string { return "stored as version " + strconv.FormatUint(e.version, 10) }

// refused turns the state of a session that was not as it should be into an error.
func (s *Store) refused(r reply, handle string) error {
	switch r.state() {
	case "missing":
		return store.ErrNotFound
	case "ended":
		s.ended = true
		return errEnded
	case "astray":
		return errAstray
	case "moved":
		if !isHex(r.text(1), store.HandleSize) {
			return s.corrupt(handle, "")
		}
		return movedError{r.text(1)}
	case "expired":
		return store.ErrInvalidated
	case "busy":
		return errBusy
	case "conflict":
		return errConflict
	case "lost":
		return errLost
	case "unknown":
		return fmt.Errorf("redis %s: %w: an answer was lost, and too much changed since to tell whether this change is stored", s.where, store.ErrUnavailable)
	case "corrupt":
		return s.corrupt(handle, "")
	}
	return s.failed(errNoRedis)
}

// follow runs visit on the handle, then where tombstones lead from it, and again
// where another process has the lock or was faster, until the time for that is
// over. What a tombstone leads to is never created.
func (s *Store) follow(handle string, create bool, visit func(string, bool) (*store.Session, error)) (*store.Session, error) {
	first, mayCreate := handle, create
	deadline := time.Now().Add(s.opts.LockTimeout)
	for try, hops := 0, 0; hops <= maxHops; {
		found, err := visit(handle, create)
		moved, ok := err.(movedError)
		switch {
		case ok:
			handle, create = moved.to, false
			hops++
			continue
		case err == errLost, err == errAstray && create:
			again, err := s.weigh(handle, err)
			if !again {
				return nil, err
			}
			continue
		case err != errBusy && err != errConflict:
			return found, err
		case !time.Now().Before(deadline):
			s.log("lock timeout", handle)
			return nil, fmt.Errorf("key %s: %w; if this request holds the lock, export CGISESSION_LOCK_TOKEN", s.key(handle), store.ErrLocked)
		}
		time.Sleep(min(pause(try, err), time.Until(deadline)))
		s.time.waited()
		try++
		handle, create, hops = first, mayCreate, 0
	}
	return nil, store.ErrNotFound
}

// pause is how long to wait before the next try: longer from one to the next, up
// to a tenth of a second, and by chance, so that those who collided do not again.
func pause(try int, err error) time.Duration {
	most := time.Millisecond << min(try, 6)
	if err == errBusy {
		most = max(most, 4*time.Millisecond)
	}
	return most/2 + mathrand.N(most)
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
