package file

import (
	"bytes"
	"fmt"
	"slices"

	"cgisession/store"
)

// How a record gets into the file beside the one that counts. The package
// comment says why a crash at any moment does no harm.

// save stores the session as the version after that of the record at, which
// stays whole. If the new record cannot be stored, it is taken back, so that no
// reader ever sees it. With Wipe everything else in the file is then
// overwritten; if that fails, the new record counts nevertheless. Data over
// MaxSize is ErrTooLarge. After lastVersion there is no next one: ErrCorrupt.
func (e *entry) save(s *store.Session, at located, outcome store.Outcome) error {
	if at.version == lastVersion {
		return e.fail("save", fmt.Errorf("%w file: its version cannot grow; remove it", store.ErrCorrupt))
	}
	if err := e.f.opts.CheckSize(at.data, s.Data); err != nil {
		return err
	}
	e.f.opts.NameSession(s)
	line := record{
		version: at.version + 1, created: s.Created, user: s.User, name: s.CookieName, note: s.Note,
		old: s.OldKeys, data: s.Data,
	}.encode()
	p := nextPlacement(at, len(line), int(e.stat.Size))
	if err := e.write(p, line); err != nil {
		return err
	}
	begin, total := p.begin, max(p.to, int(e.stat.Size)) // total: the file's size now

	// A file of one page needs no sync for a power cut to leave a whole record; see the
	// package comment. Before a Wipe the new record must be on the disk.
	if e.f.opts.Durable || total > page || outcome == store.Wipe {
		if err := e.sync(begin); err != nil {
			return err
		}
	}
	if err := e.confirm(begin); err != nil {
		return err
	}
	if outcome == store.Wipe {
		var err error
		if begin, err = e.wipe(begin, len(line), total); err != nil {
			return err
		}
	}

	// A new file's name is on the disk only after its directory is (fsync(2)).
	if at.version == 0 && e.f.opts.Durable {
		if err := e.syncDir(e.shard); err != nil {
			e.spoil(begin)
			return err
		}
	}
	s.Version, s.Size = at.version+1, int64(e.trim(begin+len(line), len(line), total))
	e.markUser(s)
	return e.stillThere()
}

// page is the unit in which files grow and are cut, in bytes. The package
// comment says what it has to do with power cuts.
const page = 4096

// A placement is the range of the file that a save writes, in byte offsets:
// from "from" to "to" in one pwrite(2), with the record at begin and line feeds
// around it.
type placement struct{ begin, from, to int }

// nextPlacement returns where the next record of this length goes, in a file of
// size bytes whose current record is at:
//
//   - at the file's start, if it is the first record or fits before the current one;
//   - else at the end of the file's last page, if it fits behind the current one;
//   - else at the end of the file, which grows by as many pages as it takes.
//
// So the current record is always the first or the last thing in the file, and
// the room beside it is in one piece. Two records in a row that fit into the
// file's pages together need no more pages, on a full disk either. The file
// never grows beyond three times its largest record and a page.
func nextPlacement(at located, length, size int) placement {
	room := pages(size)
	switch {
	case at.end == 0:
		return placement{0, 0, max(room, pages(length))}
	case at.begin >= length:
		return placement{0, 0, at.begin}
	case room-at.end < length:
		room = pages(at.end + length)
	}
	return placement{room - length, at.end, room}
}

// pages rounds a size in bytes up to whole pages.
func pages(n int) int { return (n + page - 1) / page * page }

// write writes the record's line at its placement. If that fails, it takes the
// record back. The error of a file that is open for reading only is the one of
// opening it.
func (e *entry) write(p placement, line []byte) error {
	text := padded(p.begin-p.from, line, p.to-p.begin-len(line))
	if err := pwriteAll(e.fd, text, int64(p.from)); err != nil {
		e.spoil(p.begin)
		if e.refused != nil {
			err = e.refused
		}
		return e.fail("write", err)
	}
	return nil
}

// padded returns line with so many line feeds before and after it.
func padded(before int, line []byte, after int) []byte {
	const feed = "\n"
	line = slices.Grow(line, before+after)
	line = slices.Insert(line, 0, bytes.Repeat([]byte(feed), before)...)
	return append(line, bytes.Repeat([]byte(feed), after)...)
}

// sync syncs the file's data. If that fails, it takes back the record at begin,
// and does not try again: the kernel may have dropped the pages, and a second
// sync would report success for them (fsync(2)).
func (e *entry) sync(begin int) error {
	if err := fdatasync(e.fd); err != nil {
		e.spoil(begin)
		return e.fail("sync", err)
	}
	return nil
}

// confirm closes the file while the record at begin can still be taken back:
// some file systems report a failed write only then (close(2)). A duplicate of
// the descriptor keeps the file open.
func (e *entry) confirm(begin int) error {
	spare, err := duplicate(e.fd, 0)
	if err == nil {
		err = e.closeData()
		e.fd = spare
	}
	if err != nil {
		e.spoil(begin)
		return e.fail("close", err)
	}
	return nil
}

// spoil makes the record at begin unreadable, which the caller is about to
// report as not stored. A file that grew for the record is cut back to its old
// size; a write that failed may have stored part of it only.
func (e *entry) spoil(begin int) {
	old := int(e.stat.Size)
	switch {
	case !e.stored:
		ftruncate(e.fd, 0)
		return
	case begin < old:
		e.hide(begin)
	}
	if err := ftruncate(e.fd, old); err != nil && begin >= old {
		e.hide(begin)
	}
}

// hide overwrites the first byte of the record at begin, so that the line is no
// record any more.
func (e *entry) hide(begin int) { pwriteAll(e.fd, []byte{'\n'}, int64(begin)) }

// wipe overwrites everything in the file but the record at begin, and returns where the
// record begins then. In a file so large that the next call would not read it, the
// record moves to the start, so that trim can cut the file.
func (e *entry) wipe(begin, length, total int) (int, error) {
	if err := e.blank(begin, begin+length, total); err != nil {
		return begin, err
	}
	if int64(total) <= e.f.fileLimit() || begin == 0 {
		return begin, nil
	}
	return 0, e.pullDown(begin, length)
}

// blank overwrites everything outside of the record from begin to end with line
// feeds, up to total, the file's size.
func (e *entry) blank(begin, end, total int) error {
	e.unconfirmed = true
	err := e.feed(0, begin)
	if err == nil {
		err = e.feed(end, total)
	}
	if err != nil {
		return e.fail("delete the data, but not yet the older record, of", err)
	}
	return nil
}

// feed overwrites the file from one offset to another with line feeds, in
// pieces, so that a large file takes little memory.
func (e *entry) feed(from, to int) error {
	for from < to {
		n := min(to-from, skimSize)
		if err := pwriteAll(e.fd, padded(n, nil, 0), int64(from)); err != nil {
			return err
		}
		from += n
	}
	return nil
}

// pullDown copies the only record of a large file from begin to the file's
// start, so that the file can be cut. The two copies are equal, and a crash
// leaves at least one.
func (e *entry) pullDown(begin, length int) error {
	line := make([]byte, length)
	_, err := preadAll(e.fd, line, int64(begin))
	if err == nil {
		err = pwriteAll(e.fd, line, 0)
	}
	if err == nil {
		err = fdatasync(e.fd)
	}
	if err != nil {
		return e.fail("cut, with its data deleted,", err)
	}
	return nil
}

// trim cuts a file that is more than twice as large as its record needs, and
// returns the file's size. end is where the record ends, which is on the disk
// by now. It leaves room for another record of this length, so that the next
// save needs no new block on the disk. The session is stored already, so a
// failure is only logged.
func (e *entry) trim(end, length, total int) int {
	size := max(pages(end), pages(2*length))
	if total <= 2*pages(length) || size >= total {
		return total
	}
	if err := ftruncate(e.fd, size); err != nil {
		e.f.opts.LogEvent("not cut: "+err.Error(), e.handle)
		return total
	}
	return size
}

// stillThere returns ErrNotFound if the file was removed during the save by a
// program that takes no lock, such as find -delete: the session is gone then.
func (e *entry) stillThere() error {
	if err := fstat(e.fd, &e.stat); err == nil && e.stat.Nlink == 0 {
		return store.ErrNotFound
	}
	return nil
}
