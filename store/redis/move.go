//go:build redis

package redis

import (
	"errors"
	"math"
	"time"

	"cgisession/store"
)

// Move implements [store.Store]; the package's comment has the steps. If it fails before
// the second step, it takes back the first. If the answer to the second step was lost,
// it takes back nothing, since the session may be at the new key by now.
//
// With Durable a move that no replica confirms is taken back: the error is errNotMoved.
func (s *Store) Move(from, to string, grace time.Duration, change store.Change) (*store.Session, error) {
	s.budget.begin()
	m := move{s: s, to: to, id: newID(), rid: newID(), grace: grace, change: change}
	moved, err := s.follow(from, false, func(from string, _ bool) (*store.Session, error) {
		found, err := m.try(from)
		if _, before := err.(store.MovedError); before {
			err = store.ErrMoved
		}
		return found, err
	})
	if err != nil && m.placed && !m.left && !m.leaving {
		s.run(undoScript, to, false, m.id)
		s.dropUser(m.user, to)
	}
	return store.MovedBefore(s, from, moved, err)
}

// errNotMoved is part of a [store.ErrUnavailable].
var errNotMoved = errors.New("no replica confirmed the new id, as --durable wants; the session keeps the old one")

// move is one call of Move, over all its tries.
type move struct {
	s       *Store
	to      string
	id      string // of the move, which marks the copy
	rid     string // of the request, if it changes the session too
	grace   time.Duration
	until   int64 // Unix milliseconds when the grace ends; 0: there is none
	change  store.Change
	placed  bool   // the first step was made
	leaving bool   // the second step was sent, and may have been made
	left    bool   // the second step was made
	rids    string // request ids of the session at the old key
	user    string // whose set in the index has the new handle
}

// try makes all three steps. It returns errConflict if another process changed the
// session after it was read; the next try then writes the copy anew, from that version.
func (m *move) try(from string) (*store.Session, error) {
	s := m.s
	found, now, err := s.read(from, "update", "")
	if err != nil {
		return nil, err
	}
	was := *found
	m.leaving = false
	if err := m.apply(found, now); err != nil {
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
	m.leaving = true
	r, err := s.run(leaveScript, from, true,
		was.Version, m.to, m.until, milliseconds(keepMoved), now.Add(moveTime).UnixMilli())
	switch {
	case errors.Is(err, errNotReplicated), s.opts.Durable && errors.Is(err, store.ErrUnavailable):
		m.left = true
		return nil, m.takeBack(&was, err)
	case err != nil:
		return nil, err
	case r.status() != statusLive:
		m.leaving = false
		return nil, s.refused(r, from)
	}
	m.left = true
	// If the last step fails, the next call that finds the copy makes it. The session
	// may also have ended or moved on by then: it was moved all the same.
	s.run(confirmScript, m.to, true)
	s.dropUser(was.User, from)
	return found, nil
}

// takeBack undoes a move that no replica confirmed: nobody will be told the new
// handle. The session is put back first, so that at each moment it is somewhere. If
// another process meanwhile followed the tombstone to the new key and confirmed the
// move, the session stays there, and the tombstone leads to it for the grace. The
// wait for a replica has used up most of the call's time, so this has its own.
func (m *move) takeBack(was *store.Session, failed error) error {
	s := m.s.apart()
	r, err := s.run(backScript, was.Handle, false, m.to, was.Version, was.Created, was.Accessed.UnixMilli(),
		was.User, string(was.Data), m.rids, store.FormatOldKeys(was.OldKeys), was.CookieName, was.Note)
	if err != nil || r.status() != statusLive {
		return failed
	}
	r, err = s.run(undoScript, m.to, false, m.id)
	if err == nil && r.status() != statusLive {
		s.run(leaveScript, was.Handle, false,
			was.Version, m.to, m.until, milliseconds(keepMoved), int64(math.MaxInt64))
		return failed
	}
	s.dropUser(was.User, m.to)
	return s.unavailable(errNotMoved)
}

// apply runs the change, and leaves the result in found. now is the server's time, from
// which the grace is counted, since the scripts compare it with that.
func (m *move) apply(found *store.Session, now time.Time) error {
	m.until = 0
	if m.grace > 0 {
		m.until = now.Add(m.grace).UnixMilli() + 1 // now has whole ms only
	}
	was := found.Data
	outcome, err := m.change.Moving(found, store.GraceEnd(now, m.grace))
	m.s.opts.NameSession(found)
	if err != nil || outcome == store.Keep {
		return err
	}
	if found.Version == lastVersion {
		return m.s.corrupt(found.Handle, "")
	}
	found.Version++
	return m.s.opts.CheckSize(was, found.Data)
}

// place makes the first step: it writes the copy of found. The copy gets the request ids
// of was too, so that a request whose answer was lost still finds its change there.
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
	keep := milliseconds(m.grace) + milliseconds(keepMoved)
	r, err := s.run(placeScript, m.to, true, m.id, keep, found.Version, found.Created,
		found.User, string(found.Data), rids, was.Handle, store.FormatOldKeys(found.OldKeys),
		found.CookieName, found.Note)
	m.placed = err == nil && r.status() == statusLive
	switch {
	case errors.Is(err, errNotReplicated):
		m.placed = true
		return s.unavailable(errNotMoved)
	case err == nil && r.status() == statusTaken:
		return store.ErrTaken
	case err == nil && !m.placed:
		return s.failed(errNoRedis)
	}
	return err
}

// settle returns the handle of the session that has a pending copy at the handle:
// the same one, if the move's second step was made, and then settle makes the third;
// else the one that it was copied from.
func (s *Store) settle(handle, from string) (at string, err error) {
	moved, err := s.field(from, "moved")
	if err != nil || moved != handle {
		return from, err
	}
	r, err := s.run(confirmScript, handle, true)
	if err == nil && r.status() != statusLive { // the move was undone meanwhile
		return from, nil
	}
	return handle, err
}

// endMoved removes what moves left at the handle, once the session that they led to
// has ended: tombstones, each leading to the next, or the copy of a move that was not
// made.
//
// Tombstones may lead to a copy, of a move without a grace whose last step was not made.
// Nobody was told its handle, so for an operator it is the session of the old handle. It
// is removed, and endMoved reports that a session has ended by that.
func (s *Store) endMoved(handle string) (ended bool, err error) {
	first := handle
	for range store.MaxHops + 1 {
		left, err := s.fields([]string{handle}, "moved", "pending", "from", "user")
		if err != nil {
			return false, err
		}
		moved, pending, from, user := left[0][0], left[0][1], left[0][2], left[0][3]
		switch {
		case moved != "" && !store.IsHandle(moved), pending != "" && !store.IsHandle(from):
			return false, s.corrupt(handle, "")
		case moved == "" && pending == "":
			return false, nil
		case pending != "":
			r, err := s.run(forgetScript, handle, true, pending)
			s.dropUser(user, handle)
			return handle != first && err == nil && r.status() == statusLive, err
		}
		if _, err := s.run(forgetScript, handle, true, moved); err != nil {
			return false, err
		}
		handle = moved
	}
	return false, nil
}
