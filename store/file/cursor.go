package file

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// cursorFile is where a sweep notes the directory in which the next one begins,
// and its result: "<directory> <Unix seconds> <seen> <removed>". It may be
// removed at any time.
const cursorFile = ".cleanup"

// LastSweep implements [store.Operator].
func (f *Store) LastSweep() (store.LastSweep, error) {
	last, _ := f.lastSweep()
	return last, nil
}

// lastSweep returns the last sweep, and the directory in which the next one
// begins. A file that is missing or malformed counts as no sweep.
func (f *Store) lastSweep() (last store.LastSweep, next int) {
	var seconds int64
	text := f.readCursor()
	n, _ := fmt.Sscanf(text, "%02x %d %d %d\n", &next, &seconds, &last.Seen, &last.Removed)
	if n < 4 || next < 0 || next >= shards {
		return store.LastSweep{}, 0
	}
	last.At = time.Unix(seconds, 0)
	return last, next
}

// readCursor returns the text of the cursor's file; empty if it cannot be read.
func (f *Store) readCursor() string {
	if err := f.openRoot(false); err != nil {
		return ""
	}
	fd, err := openat(f.root, cursorFile, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer closeFD(fd)
	text := make([]byte, 128) // longer than the longest note
	n, _ := preadAll(fd, text, 0)
	return string(text[:n])
}

// writeCursor notes the result of a sweep. It syncs nothing: a lost note only
// makes the next sweep begin with the first directory.
func (f *Store) writeCursor(next int, done store.Swept) error {
	text := strings.Join([]string{
		shardName(next), strconv.FormatInt(time.Now().Unix(), 10),
		strconv.FormatInt(done.Seen, 10), strconv.FormatInt(done.Removed, 10),
	}, " ") + "\n"
	fd, err := createat(f.root, cursorFile, unix.O_TRUNC|unix.O_NONBLOCK, 0o600)
	if err == nil {
		err = pwriteAll(fd, []byte(text), 0)
		closeFD(fd)
	}
	if err != nil {
		return &dirError{f.config.Dir, fmt.Errorf("write %s: %w", cursorFile, err)}
	}
	return nil
}
