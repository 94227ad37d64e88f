package file

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"hash/crc32"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"cgisession/store"
)

// A head is one line of a session's file:
//
//	{"crc":"<8 hex>","version":12,"created":1764000000,"data":{…}}
//
// The crc is the CRC-32C (RFC 3720, appendix B.4) of all that follows its
// comma up to the line feed. A session of a user has "user", and one that was
// moved with a grace "old", an object of its OldKeys with the end of each. A
// tombstone has "moved" and "until" in place of data. Unknown members are passed
// over.
type record struct {
	version uint64
	created int64  // Unix seconds
	user    string // who logged in; empty: nobody
	movedTo string // a tombstone's: the handle where the session is now
	until   int64  // a tombstone's: Unix seconds at which it is over
	old     []store.OldKey
	data    store.Data
}

const (
	crcStart    = len(`{"crc":"`)
	recordStart = len(`{"crc":"01234567",`)
)

// encode returns the record's line.
func (r record) encode() []byte {
	b := make([]byte, 0, pages(len(r.data)+len(r.movedTo)+128)) // with room for padding
	b = append(b, `{"crc":"01234567","version":`...)
	b = strconv.AppendUint(b, r.version, 10)
	b = append(b, `,"created":`...)
	b = strconv.AppendInt(b, r.created, 10)
	if r.user != "" {
		b = append(b, `,"user":`...)
		b, _ = jsontext.AppendQuote(b, r.user)
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

// checksum returns the CRC-32C of text as 8 hex digits.
func checksum(text []byte) (digits [8]byte) {
	sum := crc32.Checksum(text, castagnoli(len(text)))
	hex.Encode(digits[:], []byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
	return digits
}

// castagnoli returns the CRC-32C's table for a text of so many bytes. The one
// that comes with Go uses the processor's own instruction, but takes 0.1 ms to
// set up: more than all else that a call does with a small session.
func castagnoli(length int) *crc32.Table {
	const long = 64 << 10
	if length >= long {
		return crc32.MakeTable(crc32.Castagnoli)
	}
	return portableCastagnoli()
}

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

// A located record and where its line begins and ends in the file.
type located struct {
	record
	begin, end int
}

// current returns the record that counts in a session's file. It is
// ErrNotFound if none was ever stored (no line is whole), and ErrCorrupt if
// there are lines but none counts.
func current(file []byte) (located, error) {
	if bytes.IndexByte(file, '\n') < 0 {
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

// claims returns the lines that begin as a record does, with no more than the
// version that each claims, the newest first.
func claims(file []byte) (lines []located) {
	for begin := 0; ; {
		next := bytes.IndexByte(file[begin:], '{') // past padding, most of many files
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

// lineVersion returns the version that a line claims, 0 if it is no record's.
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

// decode reads a line without its line feed. It reports false unless the line
// is whole: the checksum is right and the line is one strict JSON object with
// the members of a record. Stored data could forge the first, not both.
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
		end := int(d.InputOffset()) // the decoder's own copy does not last
		if !r.setMember(member, line[end-len(value):end]) {
			return r, false
		}
	}
	if _, err := d.ReadToken(); err != nil || int(d.InputOffset()) != len(line) {
		return r, false
	}
	return r, (r.data == nil) != (r.movedTo == "")
}

// setMember takes over one member. It reports false if the value is not of
// the member's kind.
func (r *record) setMember(name string, value []byte) bool {
	var err error
	switch name {
	case "version":
		r.version, err = strconv.ParseUint(string(value), 10, 64)
	case "created":
		r.created, err = strconv.ParseInt(string(value), 10, 64)
	case "until":
		r.until, err = strconv.ParseInt(string(value), 10, 64)
	case "user":
		r.user = store.Value(value).Text()
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
