package file

import (
	"bytes"
	"slices"

	"cgisession/store"
)

// How a record gets into a file beside the one that counts; the package's
// comment says why that order is safe.

// save stores the session as the next version beside the record at, which
// stays whole. If it fails, no reader will ever see the new one.
func (e *entry) save(s *store.Session, at located, outcome store.Outcome) error {
	if err := e.f.opts.CheckSize(at.data, s.Data); err != nil {
		return err
	}
	line := record{version: at.version + 1, created: s.Created, user: s.User, old: s.OldKeys, data: s.Data}.encode()
	p := nextPlacement(at, len(line), int(e.stat.Size))
	if err := e.write(p, line); err != nil {
		return err
	}
	begin, total := p.begin, max(p.to, int(e.stat.Size))
	if e.f.opts.Durable || total > page || outcome == store.Wipe {
		if err := e.sync(begin); err != nil {
			return err
		}
	}
	if err := e.confirm(begin); err != nil {
		return err
	}
	if outcome == store.Wipe {
		if err := e.blank(begin, begin+len(line), total); err != nil {
			return err
		}
		if int64(total) > e.f.fileLimit() && begin > 0 { // else nobody could read it
			if err := e.pullDown(begin, len(line)); err != nil {
				return err
			}
			begin = 0
		}
	}
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

// page is the unit in which files grow and are cut, in bytes.
const page = 4096

// A placement is where the next record goes: it begins at begin, and all from
// offset from up to to is written in one pwrite, line feeds around the record.
type placement struct{ begin, from, to int }

// nextPlacement finds the place of the next record in a file of so many bytes. It goes to
// the start, if it fits before the current one; else to the end of the file's last
// page, if it fits behind the current one; else the file grows, and it goes to the
// new end. The first ever goes to the start.
//
// So the current record always begins the file or ends it, and all room that it
// leaves is in one piece: two records in a row that fit into the file's pages
// together need no more of them, on a full disk either. The file never grows beyond
// three times its largest record and a page.
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

// pages rounds up to whole pages.
func pages(n int) int { return (n + page - 1) / page * page }

// write puts the record's line where it belongs. If that fails, the record is spoilt.
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

// padded returns line with line feeds before and after it.
func padded(before int, line []byte, after int) []byte {
	const feed = "\n"
	line = slices.Grow(line, before+after)
	line = slices.Insert(line, 0, bytes.Repeat([]byte(feed), before)...)
	return append(line, bytes.Repeat([]byte(feed), after)...)
}

// sync puts the file on the disk. If that fails, the record at begin is
// spoilt; to sync again would report success for pages that were dropped.
func (e *entry) sync(begin int) error {
	if err := fdatasync(e.fd); err != nil {
		e.spoil(begin)
		return e.fail("sync", err)
	}
	return nil
}

// confirm closes the file while the record can still be taken back: some file systems
// report only then that a write failed (close(2)). A second descriptor stands in for
// the one that is closed.
func (e *entry) confirm(begin int) error {
	spare, err := duplicate(e.fd)
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

// spoil makes sure that no reader sees the record at begin, which the caller is
// about to report as not stored. A file that grew for it is cut back: a write that
// failed may have left only a part of the record there.
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

// hide overwrites the first byte of the record at begin.
func (e *entry) hide(begin int) { pwriteAll(e.fd, []byte{'\n'}, int64(begin)) }

// blank overwrites all but the record from begin to end with line feeds.
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

// feed overwrites a part of the file with line feeds.
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

// pullDown copies the record that is alone in a large file to its start, so that the
// file can be cut: both say the same, and a crash leaves one at least.
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

// trim cuts a file that is over twice what its record needs, once that record is on
// the disk, and returns the file's size. Room for one more of its length is left,
// so that the next save needs no block. The session is stored already, so one that
// cannot be cut stays as it is.
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

// stillThere reports ErrNotFound if the file was removed by one who takes no
// lock, such as find -delete: then what was saved is gone with it.
func (e *entry) stillThere() error {
	if err := fstat(e.fd, &e.stat); err == nil && e.stat.Nlink == 0 {
		return store.ErrNotFound
	}
	return nil
}
