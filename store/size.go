package store

import "fmt"

// MaxRead returns how many bytes of data are read at most: a MaxSize that was lowered
// still lets the sessions from before be read. Larger data is ErrTooLarge, and that
// session can only be ended, or its data deleted.
func (o Options) MaxRead() int { return 3*(o.MaxSize+page) + page }

// CheckSize reports as ErrTooLarge data that is over MaxSize, unless it is what was
// stored before.
func (o Options) CheckSize(was, data Data) error {
	if len(data) <= o.MaxSize || string(data) == string(was) {
		return nil
	}
	return fmt.Errorf("data of %d bytes: %w of %d", len(data), ErrTooLarge, o.MaxSize)
}

// Unread returns the change of a session whose data was not read, as tooLarge says. It
// may end the session or delete its data; whatever else it says is tooLarge.
func (c Change) Unread(tooLarge error) Change {
	return func(s *Session) (Outcome, error) {
		s.Data = Empty
		outcome, err := c(s)
		if err != nil || outcome != Wipe && outcome != Remove {
			return Keep, tooLarge
		}
		return outcome, nil
	}
}
