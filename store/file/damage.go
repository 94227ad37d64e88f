package file

import (
	"bytes"
	"errors"
	"fmt"

	"cgisession/store"
)

// defect returns what is wrong with the file, whose text current parsed as (at,
// err); nil if nothing is.
func (e *entry) defect(text []byte, at located, err error) error {
	if err == nil && at.movedTo == e.handle {
		return errOrphan
	}
	if wrong := damage(text, at, err); wrong != nil {
		return wrong
	}
	return e.checkMode(at.record)
}

// errOrphan is the defect of a tombstone that leads to itself. It stands at the
// new handle in the middle of a move with a grace: the move is in progress, or
// its process died.
var errOrphan = errors.New("an old id that leads to itself: regenerate --grace was killed, or is under way")

// damage returns what is wrong with the text of a session's file, which current
// parsed as (at, err); nil if nothing is. Only the text decides: a file that
// was cut short ends within a line, while a line with a wrong checksum was
// changed.
func damage(text []byte, at located, err error) error {
	newest := claims(text)
	switch {
	case err == nil && newest[0].version > at.version:
		return fmt.Errorf("its newest version was damaged, or the writer of that crashed; "+
			"version %d counts, and the next save mends it", at.version)
	case err == nil, len(text) == 0:
		return nil
	case err == store.ErrNotFound, lineVersion(lastLine(text)) > 0:
		return errors.New("it was cut short, or the writer of its first version crashed")
	case len(newest) > 0 && newest[0].version > lastVersion:
		return errors.New("its version cannot grow, so no save can follow it")
	case len(newest) > 0:
		return errors.New("bytes in it were changed: its checksum is wrong")
	}
	return errors.New("it holds no session, but what another program wrote")
}

// lastLine returns the text after the last line feed: empty, if no line was cut
// short.
func lastLine(text []byte) []byte { return text[bytes.LastIndexByte(text, '\n')+1:] }

// checkMode returns a wrongMode unless the file with this record has the mode
// that tells sessions (0600) from tombstones (0400), where files have modes.
func (e *entry) checkMode(r record) error {
	want := uint32(0o600)
	if r.movedTo != "" {
		want = 0o400
	}
	if is := uint32(e.stat.Mode) & 0o7777; is != want && modeless(openOn(e.fd)) == "" {
		return wrongMode{is, want}
	}
	return nil
}

// A wrongMode is the mode of a file or directory, and the one that it should
// have.
type wrongMode struct{ is, want uint32 }

func (w wrongMode) Error() string {
	return fmt.Sprintf("mode %#o, not %#o; chmod it", w.is, w.want)
}
