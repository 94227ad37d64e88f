//go:build redis

package redis

import (
	"context"

	"cgisession/store"
)

// What operators see of the sessions as a whole. No lock is taken and no access is
// marked. A walk may name a session twice, and leave out one that comes or moves meanwhile.

// Missing implements [store.Operator]: a server has a place for sessions.
func (s *Store) Missing() error { return nil }

// Each implements [store.Operator]. It leaves out the data.
func (s *Store) Each(visit store.Visit) error { return s.each(false, visit) }

// each is Each, and reads the data too, if they are asked for.
func (s *Store) each(data bool, visit store.Visit) error {
	at := store.Progress{} // without a share: the server holds other keys too
	return s.eachKey(s.prefix+"{*}", func(keys []string) error {
		return s.visitKeys(keys, data, func(found *store.Session, state store.State, wrong error) error {
			at.Seen++
			s.opts.ReportProgress(at)
			return visit(found, state, wrong)
		})
	})
}

// Look implements [store.Operator]. It reads the data too.
func (s *Store) Look(handle string, visit store.Visit) error {
	none := true
	err := s.visitKeys([]string{s.key(handle)}, true, func(found *store.Session, state store.State, wrong error) error {
		none = false
		return visit(found, state, wrong)
	})
	if err == nil && none {
		err = store.ErrNotFound
	}
	return err
}

// Find implements [store.Operator]. For less than a whole handle it walks through all
// keys, since a server keeps them in no order.
func (s *Store) Find(prefix string) (string, error) {
	if len(prefix) == store.HandleSize {
		return prefix, s.exists(prefix)
	}
	return store.OnlyHandle(func(visit func(handle string) error) error {
		return s.eachKey(s.prefix+"{"+prefix+"*}", func(keys []string) error {
			for _, key := range keys {
				if handle, ok := s.handleOf(key); ok {
					if err := visit(handle); err != nil {
						return err
					}
				}
			}
			return nil
		})
	})
}

// exists returns ErrNotFound where nothing is at the handle.
func (s *Store) exists(handle string) error {
	s.budget.begin()
	var n int64
	err := s.attempt(func(ctx context.Context, _ int) (err error) {
		n, err = s.client.Exists(ctx, s.key(handle)).Result()
		return err
	})
	if err == nil && n == 0 {
		err = store.ErrNotFound
	}
	return err
}

// Count implements [store.Operator]. It has no Space: memory is the server's.
func (s *Store) Count(deep bool) (*store.Count, error) {
	c, err := store.CountEach(func(visit store.Visit) error { return s.each(deep, visit) },
		store.Live, store.Idle, store.Old, store.Moving, store.Moved, store.Over, store.Unused,
		store.Corrupt, store.Oversize)
	c.Deep, c.By = deep, "sessions, their data unread (--deep reads them)"
	if deep {
		c.By = "sessions, each read"
	}
	return c, err
}

// visitKeys calls visit with the sessions at the keys, in their order, and with their data
// if these are asked for. The data of only one are in memory at a time.
func (s *Store) visitKeys(keys []string, data bool, visit store.Visit) error {
	return s.visitAll(keys, data, func(found *store.Session, state store.State, wrong error) error {
		if state == unlisted {
			return nil
		}
		return visit(found, state, wrong)
	})
}

// visitAll is visitKeys, and also visits what is unlisted. Keys that are no session's are
// left out.
func (s *Store) visitAll(keys []string, data bool, visit store.Visit) error {
	s.budget.waited()
	asked, now, err := s.ask(keys)
	if err != nil {
		return err
	}
	for i, g := range asked {
		handle, ok := s.handleOf(keys[i])
		if !ok {
			continue
		}
		found, state, wrong := s.stateOf(handle, g, now)
		if found == nil {
			continue
		}
		if data && (state == store.Live || state == store.Idle || state == store.Old) {
			if state, wrong, err = s.readData(found, state); err != nil {
				return err
			}
		}
		if err := visit(found, state, wrong); err != nil {
			return err
		}
	}
	return nil
}

// readData reads the session's data too. If they are damaged, so is the session.
func (s *Store) readData(found *store.Session, state store.State) (now store.State, wrong, err error) {
	s.budget.waited()
	text, err := s.field(found.Handle, "data")
	if err != nil {
		return state, nil, err
	}
	if found.Data, err = store.ParseData([]byte(text)); err != nil {
		return store.Corrupt, errForeign, nil
	}
	return state, nil, nil
}
