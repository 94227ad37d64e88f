//go:build redis

package redis

import "cgisession/store"

// Repeats implements [store.Store]: a change is made again if another process
// stored one meanwhile.
func (s *Store) Repeats() bool { return true }

// A lock is a token; there are no descriptors.

// LockPath implements [store.Locker].
func (s *Store) LockPath(string, bool) (string, error) { return "", store.ErrUnsupported }

// UseFD implements [store.Locker].
func (s *Store) UseFD(int) error { return store.ErrUnsupported }

// UnlockFD implements [store.Locker].
func (s *Store) UnlockFD(string, int) error { return store.ErrUnsupported }

// Examine implements [store.Operator].
func (s *Store) Examine(how store.Examination) []store.Finding {
	found := store.Findings(s.examineServers())
	if how.Deep || how.Repair {
		s.whole = true
		store.CheckSessions(&found, store.Sessions{Each: s.Each, Look: s.Look, Index: s.MendUser}, how.Repair)
	}
	return found
}
