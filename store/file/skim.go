package file

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"cgisession/store"
)

// What can be done with a session whose data is too large to be read: it can be
// listed and ended, and its data can be deleted. Its file is read in pieces, so
// that a process has only one of them in memory.

// fileLimit returns the size in bytes above which a file is not read as a
// whole: the largest one that sessions with MaxRead bytes of data can make; see
// nextPlacement.
func (f *Store) fileLimit() int64 { return 3*(int64(f.opts.MaxRead())+page) + page }

// tooLarge returns the error of a session whose data is too large to be read.
func (e *entry) tooLarge() error {
	return e.fail("read", fmt.Errorf("file of %d bytes: %w allows; "+
		"raise that, or remove the file", e.stat.Size, store.ErrTooLarge))
}

// sessionUnread is sessionIn for a file that is not read as a whole. It returns
// the session without its data, and with it the error tooLarge.
func (e *entry) sessionUnread(tooLarge error) (*store.Session, located, error) {
	at, err := e.skim()
	switch {
	case errors.Is(err, store.ErrCorrupt) && e.f.opts.InvalidateCorrupt:
		err = store.ErrInvalidated
		fallthrough
	case err != nil:
		e.f.opts.LogEvent("corrupt", e.handle)
		return nil, at, err
	}
	e.stored = true
	s := e.session(at.record, modified(&e.stat))
	if e.f.opts.State(s, time.Now()) != store.Live {
		return nil, at, store.ErrInvalidated
	}
	return s, at, tooLarge
}

// inspectUnread is inspect for a file that is not read as a whole.
func (e *entry) inspectUnread(s *store.Session, tooLarge error) (*store.Session, store.State, error) {
	at, err := e.skim()
	if err != nil {
		return s, store.Corrupt, err
	}
	s = e.session(at.record, s.Accessed)
	if state := e.f.state(s, at.record, nil); state != store.Live {
		return s, state, nil
	}
	return s, store.Oversize, tooLarge
}

const (
	// skimSize is how much of a file is read at once, in bytes.
	skimSize = 64 << 10

	// headSize is the most that a record has before its data, in bytes. The name of a
	// cookie alone may have a page.
	headSize = 2 * page
)

// skim returns the record that counts in a file of any size, without its data.
// It goes by the checksums alone: the data would have to be in memory to be
// parsed. It is ErrCorrupt if no checksum is right.
func (e *entry) skim() (best located, err error) {
	var line longLine
	piece := make([]byte, skimSize)
	for offset := 0; ; {
		n, err := preadAll(e.fd, piece, int64(offset))
		if err != nil {
			return located{}, e.fail("read", err)
		}
		if n == 0 {
			break
		}
		for rest := piece[:n]; len(rest) > 0; {
			part, after, ended := bytes.Cut(rest, []byte{'\n'})
			line.add(part)
			offset += len(part)
			if rest = after; !ended {
				continue
			}
			offset++
			if r, ok := line.head(); ok && r.version > best.version {
				best = located{r, offset - line.length - 1, offset}
			}
			line = longLine{start: line.start[:0]}
		}
	}
	if best.version == 0 {
		return located{}, e.fail("read", fmt.Errorf("%w file; remove it, or set --invalidate-corrupt", store.ErrCorrupt))
	}
	return best, nil
}

// A longLine is a line of a file that is read in pieces. Only its start is
// kept.
type longLine struct {
	start  []byte // at most headSize bytes
	length int    // of all pieces so far
	crc    uint32 // of what the record's checksum covers
}

// add appends a piece of the line.
func (l *longLine) add(part []byte) {
	l.start = append(l.start, part[:min(len(part), headSize-len(l.start))]...)
	// The checksum covers the line from recordStart on.
	summed := part[min(len(part), max(0, recordStart-l.length)):]
	l.crc = crc32.Update(l.crc, crc32.MakeTable(crc32.Castagnoli), summed)
	l.length += len(part)
}

// head returns the record without its data, as the start of the line has it. It
// reports false if the checksum is wrong or the line is no record. It parses
// all the members before the data, since it has to know the user and the times.
func (l *longLine) head() (r record, ok bool) {
	if len(l.start) < recordStart || lineVersion(l.start) == 0 {
		return r, false
	}
	// The checksum comes first: most lines that are no record end here.
	sum, err := strconv.ParseUint(string(l.start[crcStart:crcStart+8]), 16, 32)
	if err != nil || uint32(sum) != l.crc {
		return r, false
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(l.start))
	if _, err := d.ReadToken(); err != nil {
		return r, false
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err == nil && name.String() == "data" {
			return r, true
		}
		member := name.String()
		value, failed := d.ReadValue()
		if cmp.Or(err, failed) != nil || !r.setMember(member, bytes.Clone(value)) {
			return r, false
		}
	}
	return r, false
}

// isWholeAnonymous reports whether the newest record in a file is a session's
// without a user, and has the right checksum. size is the length of its data.
// It is a shorter longLine.head, for a text that is in memory: it parses no
// member, and a sweep, which reads every file that it removes, needs no more.
// decode takes four times as long.
func isWholeAnonymous(text []byte) (ok bool, size int) {
	lines := claims(text)
	if len(lines) == 0 || lines[0].version > lastVersion {
		return false, 0
	}
	line := text[lines[0].begin : lines[0].end-1]
	head, _, _ := bytes.Cut(line, []byte(`"data":{`))
	// Eight quotes are those of crc and its value, version and created: there is no user,
	// and a tombstone has no data. The checksum says that a save wrote the line.
	if bytes.ContainsAny(head[recordStart:], `{}[]`) || bytes.Count(head, []byte(`"`)) != 8 {
		return false, 0
	}
	sum := checksum(line[recordStart:])
	return bytes.Equal(sum[:], line[crcStart:crcStart+len(sum)]), len(line) - len(head) - len(`"data":}`)
}
