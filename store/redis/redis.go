//go:build redis

// Package redis keeps sessions in Redis or Valkey: in one server, in one that
// Sentinel watches, or in a cluster.
//
// # Keys
//
// PREFIX is Config.Prefix. The braces are a hash tag: a cluster chooses the server of
// a key by what stands in them (Redis cluster specification).
//
//	PREFIX{<handle>}          hash: a session, or what is in place of one
//	PREFIXusers:{<user key>}  set of handles: the index of users, see users.go
//	PREFIXswept               hash: the last sweep, see sweep.go
//
// The fields of a session's hash are text:
//
//	version    number of saves, from 1
//	created    Unix seconds
//	accessed   Unix milliseconds by the server's clock
//	user       name of the user who logged in; empty: nobody
//	data       JSON object; never empty
//	old        keys of former ids, as store.FormatOldKeys writes them
//	rids       ids of the requests that made the last 16 versions, the newest first
//
//	cookie_name, note  beside a user, as in store.Session; older programs store neither
//
//	lock       token of the lock; not there: nobody has it
//	leased     Unix milliseconds at which the lock ends unless it is renewed
//	ended      1: the session has ended, and only its lock is left
//
//	moved      tombstone: the new handle. It has only until and lock besides
//	until      tombstone: Unix milliseconds at which the grace is over; 0: no grace
//	pending    copy of a move that is not confirmed: the id of the move
//	from       the same: the old handle
//
// The server itself removes a key when the timeout or the lifetime is over (PEXPIRE).
//
// # Changes
//
// Each change is one script on the server, and takes effect only over the version
// that it was made from. If another version is stored by then, the change is made
// again, from that one. So no update is lost, and between calls no lock is needed.
//
// # Lost answers
//
// A request whose answer was lost is sent again, and its change must not happen
// twice. The hash therefore keeps the ids of the requests that made its last
// versions. A change has landed if its id is among them. It has not if its id is
// missing and no more versions came after it than ids are kept. Beyond that
// nobody can tell, and the call fails and says so.
//
// Every other request may be made twice without harm: a script that finds its work
// done says so, and a set or a hash of counts is the same afterwards.
//
// # Moves
//
// The old and the new key of a move may be on two servers, where no single step
// can change both. The steps are:
//
//  1. The new key gets a copy of the session, marked as pending and with a time
//     at which the server removes it. Nobody has been told the new handle, so
//     nobody changes the copy.
//  2. The old key becomes a tombstone that leads to the new one, if it still
//     holds the version that was copied. This is the commit.
//  3. The mark and the time are taken off the new key.
//
// A pending copy is no session. Every script refuses it and returns the old
// handle, where the caller looks. If a tombstone there leads to the copy, the
// second step was made: the caller makes the third, and has found the session.
// Otherwise the session is still at the old key. So at each moment the session is
// at one of the two keys, and can be changed there only.
//
// A crash before the second step leaves the session where it was, and a copy that
// operators see as moving for a minute; then it is no longer listed, and cleanup or
// the server removes it. The second step is refused half a minute after the first,
// so a mover that was stopped cannot commit to a copy that is gone. A crash after
// the second step leaves the session at the new key, for longer than the tombstone
// leads there. A tombstone without a grace leads no client: it only tells whether
// the second step was made, and operators do not see it.
//
// # Locks
//
// A lock that outlives a call is a lease: a random token in the hash, and the time
// on the server's clock when the lease ends. The process with the token renews it.
// Once the lease is over, another process may change the session, and thereby
// takes the token off. From then on every call with the old token is refused, even
// if its own clock is slow.
//
// The token also names the handle that it was taken on. Where there is no session,
// a token alone may not create one, for its session may have ended after the lock
// was lost: the lock must be there, or still be held on the session that the token
// names.
package redis

import (
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"cgisession/store"
)

// Numbers that the scripts share are in lua/prelude.lua too.
const (
	// leaseTime is how long a lock lasts that is not renewed: less than the default
	// of --lock-timeout, so that a waiting process outlasts a holder that crashed.
	leaseTime = 6 * time.Second

	// ridsKept is how many request ids are kept with a session.
	ridsKept = 16

	// ridSize is how many characters a request id has.
	ridSize = 16

	// keepMoved is how long a tombstone without a grace is kept, and beyond the grace
	// a session whose move was not confirmed: far longer than a move takes.
	keepMoved = time.Hour

	// moveTime is how long after its first step a move may make its second one.
	// movingTime is how long the copy is there at least, and listed. Two servers may
	// measure the two.
	moveTime   = 30 * time.Second
	movingTime = time.Minute
)

// Store is a [store.Backend] whose sessions are in Redis. All methods return
// [store.ErrUnavailable], with the server and the reason, if no server can do what was
// asked in time. A store is used by one goroutine; only a lease that it returned may be
// renewed and released by another.
type Store struct {
	client redis.UniversalClient
	prefix string // of all keys
	where  string // the server, for messages: host and port, or a socket's path
	opts   store.Options
	lock   lock
	budget *budget

	// cluster is the client if the sessions are in a cluster, and nil otherwise.
	cluster *cluster

	exposed *exposed
}

// Close closes the connections.
func (s *Store) Close() error { return s.client.Close() }

// key returns the key of the session with this handle.
func (s *Store) key(handle string) string { return s.prefix + "{" + handle + "}" }

// Read implements [store.Store]. A Touch by a server that takes no changes succeeds; its
// access is not marked, which is logged.
func (s *Store) Read(handle string, how store.Reading) (*store.Session, error) {
	words := map[store.Reading]string{store.Touch: "touch", store.Peek: "peek", store.Snapshot: "snapshot"}
	s.budget.begin()
	return s.follow(handle, false, func(handle string, _ bool) (*store.Session, error) {
		found, _, err := s.read(handle, words[how], "")
		return found, err
	})
}

// Update implements [store.Store].
func (s *Store) Update(handle string, create bool, change store.Change) (*store.Session, error) {
	s.budget.begin()
	u := update{s: s, rid: newID(), change: change}
	found, err := s.follow(handle, create, u.try)
	switch {
	case errors.Is(err, store.ErrNotFound) && u.at != handle:
		return &store.Session{Handle: u.at}, err
	case err == nil && u.outcome == store.Remove && found.Handle != handle:
		_, err = s.endMoved(handle)
	}
	return found, err
}

// Repeats implements [store.Store]: a change is made again if another process was
// faster.
func (s *Store) Repeats() bool { return true }

// newSession returns a session of this store. created is in Unix seconds.
func (s *Store) newSession(handle string, version uint64, created int64, accessed time.Time,
	user string, data store.Data) *store.Session {
	return &store.Session{
		Handle: handle, Version: version, Created: created, Accessed: accessed,
		User: user, Data: data, Path: s.key(handle), Size: int64(len(data)),
	}
}
