//go:build redis

package redis

import (
	"errors"
	"fmt"
	"math"
	"time"

	"cgisession/store"
)

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
	if err != nil && m.placed && !m.left && !m.leaving {
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
	leaving bool   // the second step was sent, and it is not known whether it was made
	left    bool   // it was made
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
	m.leaving = false
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
	m.leaving = true
	r, err := s.run(leaveScript, from, true, was.Version, m.to, m.until, keepMoved.Milliseconds(), now.Add(moveTime).UnixMilli())
	switch {
	case errors.Is(err, errNotReplicated), s.opts.Durable && errors.Is(err, store.ErrUnavailable):
		m.left = true
		return nil, m.takeBack(&was, err)
	case err != nil:
		return nil, err
	case r.state() != "live":
		m.leaving = false
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
		s.run(leaveScript, was.Handle, false, was.Version, m.to, m.until, keepMoved.Milliseconds(), int64(math.MaxInt64))
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
	was := found.Data
	outcome, err := m.change.Moving(found, store.GraceEnd(now, m.grace))
	if err != nil || outcome == store.Keep {
		return err
	}
	found.Version++
	return m.s.opts.CheckSize(was, found.Data)
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

// settle returns where the session is that a copy at the handle was made of: there,
// if the move's second step was made, whose last one is then made too; else where it
// was copied from.
func (s *Store) settle(handle, from string) (at string, err error) {
	moved, err := s.field(from, "moved")
	if err != nil || moved != handle {
		return from, err
	}
	r, err := s.run(confirmScript, handle, true)
	if err == nil && r.state() != "live" { // taken back meanwhile
		return from, nil
	}
	return handle, err
}

// endMoved removes what moves left at the handle: old ids, each leading to the next, or
// a copy that came to nothing. It returns where the session was, and whether it was
// ended only by this. What was moved without a grace, by a move whose
// last step was not made, is still the session of the old handle for an operator:
// nobody was told the new one.
func (s *Store) endMoved(handle string) (last string, ended bool, err error) {
	first := handle
	for range maxHops + 1 {
		left, err := s.hashes([]string{handle}, "moved", "pending", "from", "user")
		if err != nil {
			return handle, false, err
		}
		moved, pending, from, user := left[0][0], left[0][1], left[0][2], left[0][3]
		switch {
		case moved != "" && !isHex(moved, store.HandleSize), pending != "" && !isHex(from, store.HandleSize):
			return handle, false, s.corrupt(handle, "")
		case moved == "" && pending == "":
			return handle, false, nil
		case pending != "":
			r, err := s.run(forgetScript, handle, true, pending)
			s.dropUser(user, handle)
			if handle == first {
				return from, false, err
			}
			return handle, err == nil && r.state() == "live", err
		}
		if _, err := s.run(forgetScript, handle, true, moved); err != nil {
			return handle, false, err
		}
		handle = moved
	}
	return handle, false, nil
}
