package store

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// How a record gets into a file beside the one that counts; the package's
// comment says why that order is safe.

// save stores the session as the next version beside the record at, which
// stays whole. If it fails, no reader will ever see the new one.
func (e *entry) save(s *Session, at found, outcome Outcome) error {
	if len(s.Data) > e.f.opts.MaxSize {
		return fmt.Errorf("data of %d bytes: %w of %d", len(s.Data), ErrTooLarge, e.f.opts.MaxSize)
	}
	line := record{version: at.version + 1, created: s.Created, user: s.User, data: s.Data}.encode()
	begin, size := place(at, len(line), int(e.stat.Size))
	end := begin + size
	if err := e.write(begin, padded(line, size)); err != nil {
		return err
	}
	total := max(end, int(e.stat.Size))
	if e.f.opts.Durable || total > page || outcome == Wipe {
		if err := e.sync(begin); err != nil {
			return err
		}
	}
	if outcome == Wipe {
		if err := e.blank(begin, begin+len(line), total); err != nil {
			return err
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

// place returns where the next record goes and how many bytes are written
// there: at the start if it fits before the current record, line feeds filling
// up to that; else right after it, line feeds filling over all older text and
// up to a whole page.
func place(at found, length, size int) (begin, filled int) {
	if at.begin >= length {
		return 0, at.begin
	}
	return at.end, pages(max(at.end+length, size)) - at.end
}

// pages rounds up to whole pages.
func pages(n int) int { return (n + page - 1) / page * page }

// padded returns line followed by line feeds, size bytes in all.
func padded(line []byte, size int) []byte {
	line = slices.Grow(line, size-len(line))
	for len(line) < size {
		line = append(line, '\n')
	}
	return line
}

// write puts text at begin. If that fails, the record there is spoilt.
func (e *entry) write(begin int, text []byte) error {
	if err := pwriteAll(e.fd, text, int64(begin)); err != nil {
		e.spoil(begin)
		if e.refused != nil {
			err = e.refused
		}
		return e.fail("write", err)
	}
	return nil
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

// spoil makes sure that no reader sees the record at begin, of which it will
// be reported that it is not stored.
func (e *entry) spoil(begin int) {
	if !e.stored {
		ftruncate(e.fd, 0)
		return
	}
	pwriteAll(e.fd, []byte{'\n'}, int64(begin))
}

// pwriteAll writes text at the offset; a short write goes on to learn why.
func pwriteAll(fd int, text []byte, offset int64) error {
	for len(text) > 0 {
		var n int
		err := retry(func() (err error) {
			n, err = unix.Pwrite(fd, text, offset)
			return err
		})
		if err != nil {
			return err
		}
		text, offset = text[n:], offset+int64(n)
	}
	return nil
}

// blank overwrites all but the record from begin to end with line feeds.
func (e *entry) blank(begin, end, total int) error {
	err := pwriteAll(e.fd, padded(nil, begin), 0)
	if err == nil {
		err = pwriteAll(e.fd, padded(nil, total-end), int64(end))
	}
	if err != nil {
		return e.fail("delete the data, but not yet the older record, of", err)
	}
	return nil
}

// trim cuts a file that is over twice what its record needs down to the pages
// up to end, once that record is on the disk, and returns the file's size. The
// session is stored already, so that one which cannot be cut stays as it is.
func (e *entry) trim(end, length, total int) int {
	if total <= 2*pages(length) || pages(end) >= total {
		return total
	}
	if err := ftruncate(e.fd, pages(end)); err != nil {
		e.f.opts.log("not cut: "+err.Error(), e.handle)
		return total
	}
	return pages(end)
}

// stillThere reports ErrNotFound if the file was removed by one who takes no
// lock, such as find -delete: then what was saved is gone with it.
func (e *entry) stillThere() error {
	if err := fstat(e.fd, &e.stat); err == nil && e.stat.Nlink == 0 {
		return ErrNotFound
	}
	return nil
}
