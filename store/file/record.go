package file

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"hash/crc32"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"cgisession/store"
)

// A record is one line of a session's file:
//
//	{"crc":"<8 hex>","version":12,"created":1764000000,"data":{…}}
//
// The crc is the CRC-32C (RFC 3720, appendix B.4) of everything after its
// comma, up to the line feed. The session of a user has "user" before its data,
// with the "cookie_name", if it is known, and a "note", if there is one. One that
// was moved with a grace has "old", an object of its old keys and the end of each
// in Unix seconds. A tombstone has "moved" and "until" in place of data. Unknown
// members are ignored, so that a later version of the program can add some.
type record struct {
	version uint64
	created int64  // Unix seconds
	user    string // the user who logged in; empty: nobody
	name    string // of the cookie, beside a user; empty: not known
	note    string // of the client, beside a user
	movedTo string // of a tombstone: the handle of the session now; else empty
	until   int64  // of a tombstone: end of its grace, Unix seconds
	old     []store.OldKey
	data    store.Data
}

// The offsets in a line of the checksum's digits, and of what it is the
// checksum of.
const (
	crcStart    = len(`{"crc":"`)
	recordStart = len(`{"crc":"01234567",`)
)

// encode returns the record's line, with its line feed. Capacity for the line
// feeds around it is allocated at once; see padded.
func (r record) encode() []byte {
	b := make([]byte, 0, pages(len(r.data)+len(r.movedTo)+128)) // 128: all but data and a handle
	b = append(b, `{"crc":"01234567","version":`...)
	b = strconv.AppendUint(b, r.version, 10)
	b = append(b, `,"created":`...)
	b = strconv.AppendInt(b, r.created, 10)
	for _, member := range []struct{ name, value string }{
		{"user", r.user}, {"cookie_name", r.name}, {"note", r.note},
	} {
		if member.value != "" {
			b = append(b, `,"`+member.name+`":`...)
			b, _ = jsontext.AppendQuote(b, member.value)
		}
	}
	if len(r.old) > 0 {
		b = append(b, `,"old":`+store.FormatOldKeys(r.old)...)
	}
	if r.movedTo != "" {
		b = append(b, `,"moved":"`+r.movedTo+`","until":`...)
		b = strconv.AppendInt(b, r.until, 10)
	} else {
		b = append(b, `,"data":`...)
		b = append(b, r.data...)
	}
	b = append(b, '}')
	sum := checksum(b[recordStart:])
	copy(b[crcStart:], sum[:])
	return append(b, '\n')
}

// checksum returns the CRC-32C of text as 8 hex digits, the most significant
// first.
func checksum(text []byte) (digits [8]byte) {
	sum := crc32.Checksum(text, castagnoli(len(text)))
	hex.Encode(digits[:], []byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
	return digits
}

// castagnoli returns the table of the CRC-32C for a text of length bytes. The
// table of package crc32 uses the processor's own instruction, but its set-up
// takes 0.1 ms, which is more than everything else that a call does with a
// small session.
func castagnoli(length int) *crc32.Table {
	const long = 64 << 10
	if length >= long {
		return crc32.MakeTable(crc32.Castagnoli)
	}
	return portableCastagnoli()
}

// portableCastagnoli is the table for short texts, computed bit by bit. package
// crc32 does not know it as its own and uses its simple loop, without a set-up.
var portableCastagnoli = sync.OnceValue(func() *crc32.Table {
	t := new(crc32.Table)
	for i := range t {
		crc := uint32(i)
		for range 8 {
			crc = crc>>1 ^ crc32.Castagnoli&-(crc&1)
		}
		t[i] = crc
	}
	return t
})

// A located record is one with the offsets of its line in the file: of its
// first byte, and of the byte after its line feed. Version 0: there is none.
type located struct {
	record
	begin, end int
}

// lastVersion is the highest version that counts. The save after it would have no
// higher one, so that save refuses it; see entry.save.
const lastVersion = math.MaxUint64 - 1

// current returns the record that counts in the text of a session's file. It is
// ErrNotFound if nothing was ever stored in the file, and ErrCorrupt if no record
// counts in any other file.
func current(file []byte) (located, error) {
	if neverStored(file) {
		return located{}, store.ErrNotFound
	}
	for _, at := range claims(file) {
		if r, ok := decode(file[at.begin : at.end-1]); ok {
			at.record = r
			return at, nil
		}
	}
	return located{}, store.ErrCorrupt
}

// neverStored reports whether the text is what a crash leaves of a first save: no
// line is complete, and the text is the beginning of one. NULs around it count as
// nothing: after a power cut they stand for what did not reach the disk.
func neverStored(file []byte) bool {
	if bytes.IndexByte(file, '\n') >= 0 {
		return false
	}
	begun, start := string(bytes.Trim(file, "\x00")), `{"crc":"`
	return strings.HasPrefix(begun, start) || strings.HasPrefix(start, begun)
}

// claims returns the lines that look like records, the newest claimed version
// first. Their checksums are not verified; only version, begin and end are set.
func claims(file []byte) (lines []located) {
	for begin := 0; ; {
		next := bytes.IndexByte(file[begin:], '{') // skips line feeds, which fill most of a file
		if next < 0 {
			break
		}
		begin += bytes.LastIndexByte(file[begin:begin+next], '\n') + 1
		n := bytes.IndexByte(file[begin:], '\n')
		if n < 0 {
			break
		}
		if version := lineVersion(file[begin : begin+n]); version > 0 {
			lines = append(lines, located{record{version: version}, begin, begin + n + 1})
		}
		begin += n + 1
	}
	slices.SortStableFunc(lines, func(a, b located) int { return cmp.Compare(b.version, a.version) })
	return lines
}

// lineVersion returns the version that a line claims; 0 if it does not begin as
// a record does.
func lineVersion(line []byte) uint64 {
	rest, ok := bytes.CutPrefix(line, []byte(`{"crc":"`))
	if !ok || len(rest) < 8 {
		return 0
	}
	rest, ok = bytes.CutPrefix(rest[8:], []byte(`","version":`))
	end := bytes.IndexByte(rest, ',')
	if !ok || end < 0 {
		return 0
	}
	version, _ := strconv.ParseUint(string(rest[:end]), 10, 64)
	return version
}

// decode parses a line without its line feed. It reports false unless the line
// is whole: the checksum is right, and the line is one strict JSON object with
// the members of a record. The checksum alone would not do: a script may store
// text that looks like a record.
func decode(line []byte) (r record, ok bool) {
	if len(line) < recordStart || lineVersion(line) == 0 {
		return r, false
	}
	if sum := checksum(line[recordStart:]); !bytes.Equal(sum[:], line[crcStart:crcStart+8]) {
		return r, false
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(line))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return r, false
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return r, false
		}
		member := name.String()
		value, err := d.ReadValue()
		if err != nil {
			return r, false
		}
		end := int(d.InputOffset()) // the decoder overwrites value later
		if !r.setMember(member, line[end-len(value):end]) {
			return r, false
		}
	}
	// The closing brace, and nothing after it.
	if _, err := d.ReadToken(); err != nil || int(d.InputOffset()) != len(line) {
		return r, false
	}
	// Either data or moved: a session or a tombstone.
	return r, (r.data == nil) != (r.movedTo == "")
}

// setMember sets the field for one member of the JSON object. It reports false
// if the value is not one that this member can have.
func (r *record) setMember(name string, value []byte) bool {
	var err error
	switch name {
	case "version":
		r.version, err = strconv.ParseUint(string(value), 10, 64)
		return err == nil && r.version <= lastVersion
	case "created":
		r.created, err = strconv.ParseInt(string(value), 10, 64)
	case "until":
		r.until, err = strconv.ParseInt(string(value), 10, 64)
	case "user":
		r.user = store.Value(value).Text()
		return value[0] == '"'
	case "cookie_name":
		r.name = store.Value(value).Text()
		return value[0] == '"'
	case "note":
		r.note = store.Value(value).Text()
		return value[0] == '"'
	case "moved":
		r.movedTo = store.Value(value).Text()
		return store.IsHandle(r.movedTo)
	case "data":
		r.data = store.Data(value)
		return value[0] == '{' && r.data.IsCompact()
	case "old":
		var ok bool
		r.old, ok = store.ParseOldKeys(string(value), time.Now())
		return ok
	}
	return err == nil
}
