//go:build redis

package redis

import (
	"errors"
	"fmt"
	"time"

	"cgisession/store"
)

// errLanded says that the change of a request was stored before. The session that
// comes with it has only the version that the change made.
var errLanded = errors.New("the change is stored already")

// read asks for the session, and also returns the server's time. how is what read.lua
// does besides:
//
//	snapshot  asks for no lock
//	peek      nothing
//	touch     marks the access
//	update    marks the access, and ends a session that is past its limits
//
// rid is the id of the update that the session is read for, else empty. If that is
// stored already, the error is errLanded. With store.ErrTooLarge comes the session
// without its data; any other error comes without a session.
func (s *Store) read(handle, how, rid string) (*store.Session, time.Time, error) {
	r, err := s.run(readScript, handle, false, fmt.Sprint(how, " ", s.opts.MaxRead(), " ", s.opts.CookieName), rid)
	if err != nil {
		return nil, time.Time{}, err
	}
	switch r.status() {
	case statusLive, statusOversize:
	case statusCorrupt:
		return nil, time.Time{}, s.corrupt(handle, how)
	case statusLanded:
		if rid == "" {
			return nil, time.Time{}, s.failed(errNoRedis)
		}
		return &store.Session{Version: r.uint(1)}, time.Time{}, errLanded
	default:
		return nil, time.UnixMilli(r.int(1)), s.refused(r, handle)
	}
	now := time.UnixMilli(r.int(1))
	found := s.newSession(handle, r.uint(2), r.int(3), time.UnixMilli(r.int(4)), r.text(5), nil)
	found.CookieName, found.Note = r.text(9), r.text(10)
	if r.status() == statusOversize {
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
		s.opts.LogEvent("access not marked: the server takes no changes", handle)
	}
	return found, now, nil
}

// tooLarge returns the error of a session whose data are not read.
func (s *Store) tooLarge(found *store.Session) error {
	return fmt.Errorf("key %s: data of %d bytes: %w allows; raise that, or destroy the session",
		s.key(found.Handle), found.Size, store.ErrTooLarge)
}

// corrupt logs a key that another program wrote, and returns the error for it, which is
// [store.ErrCorrupt]. Under --invalidate-corrupt it is [store.ErrInvalidated]: the key
// counts as an expired session, and an update removes it.
func (s *Store) corrupt(handle, how string) error {
	s.opts.LogEvent("corrupt", handle)
	if !s.opts.InvalidateCorrupt {
		return foreignError{s.key(handle),
			"it holds no session, but what another program wrote; delete it, or set --invalidate-corrupt"}
	}
	if how == "update" {
		if _, err := s.run(purgeScript, handle, false); err != nil {
			return err
		}
	}
	return store.ErrInvalidated
}
