package file

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// defect says what is wrong with the file, which holds this text, of which
// current said at and err: nil for nothing.
func (e *entry) defect(text []byte, at located, err error) error {
	if err == nil && at.movedTo == e.handle {
		return errOrphan
	}
	if wrong := damage(text, at, err); wrong != nil {
		return wrong
	}
	return checkMode(&e.stat, at.record)
}

// errOrphan is what a crash leaves in the middle of a move with grace, or what
// such a move is about to finish.
var errOrphan = errors.New("an old id that leads to itself: regenerate --grace was killed, or is under way")

// damage says what is wrong with the text of a session's file, of which current
// said at and err: nil for nothing.
func damage(text []byte, at located, err error) error {
	newest := claims(text)
	switch {
	case err == nil && newest[0].version > at.version:
		return fmt.Errorf("its newest version was damaged, or the writer of that crashed; version %d counts, and the next save mends it", at.version)
	case err == nil, len(text) == 0:
		return nil
	case err == store.ErrNotFound, lineVersion(lastLine(text)) > 0:
		return errors.New("it was cut short, or the writer of its first version crashed")
	case len(newest) > 0:
		return errors.New("bytes in it were changed: its checksum is wrong")
	}
	return errors.New("it holds no session, but what another program wrote")
}

// lastLine returns what follows the last line feed.
func lastLine(text []byte) []byte { return text[bytes.LastIndexByte(text, '\n')+1:] }

// checkMode reports a mode other than that of a file with this record.
func checkMode(st *unix.Stat_t, r record) error {
	want := uint32(0o600)
	if r.movedTo != "" {
		want = 0o400
	}
	if is := uint32(st.Mode) & 0o7777; is != want {
		return wrongMode{is, want}
	}
	return nil
}

// A wrongMode is a mode that a file should have.
type wrongMode struct{ is, want uint32 }

func (w wrongMode) Error() string {
	return fmt.Sprintf("mode %#o, not %#o; chmod it", w.is, w.want)
}
