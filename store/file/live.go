package file

import (
	"cmp"
	"errors"

	"cgisession/store"
)

// Live implements [store.Store]. A handle without a session costs one open(2)
// that fails, beside the one of its directory. So a client that sends many
// cookies with made-up ids costs little.
func (f *Store) Live(handles []string, enough int) ([]string, error) {
	now := make([]string, len(handles))
	sessions := make(map[string]bool)
	var failed error
	for i, handle := range handles {
		s, err := f.read(handle, store.Snapshot)
		switch {
		case err == nil, errors.Is(err, store.ErrTooLarge) && s != nil:
			now[i] = s.Handle
			sessions[s.Handle] = true
		case !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrInvalidated):
			failed = cmp.Or(failed, err)
		}
		if len(sessions) == enough {
			break
		}
	}
	return now, failed
}

// End implements [store.Store]. It removes the file with one unlink(2) and
// takes no lock. That is safe at any moment: a process that has the file open
// goes on with a file that no name leads to, and reports the session as gone.
func (f *Store) End(handle string) error {
	shard, err := f.openShard(handle, false)
	if err != nil {
		return err
	}
	defer closeFD(shard)
	s, err := f.snapshot(handle)
	if _, moved := err.(store.MovedError); moved || err == store.ErrNotFound {
		f.endMoved(handle)
		return store.ErrNotFound
	}
	if err != nil && s == nil {
		return err
	}
	e := entry{f: f, handle: handle, shard: shard}
	if err := e.remove(); err != nil {
		return err
	}
	f.dropUser(s, handle)
	return nil
}
