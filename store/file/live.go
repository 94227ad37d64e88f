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
