package file

import (
	"cmp"
	"errors"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// Live implements [store.Store]. A handle without a session costs an open(2) that
// fails, beside that of the directory which it would be in.
func (f *Store) Live(handles []string, places int) ([]string, error) {
	at := make([]string, len(handles))
	found := make(map[string]bool)
	var failed error
	for i, handle := range handles {
		s, err := f.read(handle, store.Snapshot)
		switch {
		case err == nil, errors.Is(err, store.ErrTooLarge) && s != nil:
			at[i] = s.Handle
			found[s.Handle] = true
		case !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrInvalidated):
			failed = cmp.Or(failed, err)
		}
		if len(found) == places {
			break
		}
	}
	return at, failed
}

// End implements [store.Store]. It is one unlink(2), which is safe at any moment: a
// process that has the file open works on one that no name leads to.
func (f *Store) End(handle string) error {
	shard, err := f.openShard(handle, false)
	if err != nil {
		return err
	}
	defer unix.Close(shard)
	s, err := f.snapshot(handle)
	if _, moved := err.(movedError); moved {
		err = store.ErrNotFound
	}
	if err != nil && s == nil {
		return err
	}
	e := entry{f: f, handle: handle, shard: shard}
	if err := e.remove(); err != nil {
		return err
	}
	f.dropUser(s.User, handle)
	return nil
}
