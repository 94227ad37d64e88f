package store

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cursorFile tells the next sweep where to go on, and when the last one ended:
// "<directory> <Unix seconds> <seen> <removed>". Nothing depends on it.
const cursorFile = ".cleanup"

// A LastSweep is what the last sweep left word of.
type LastSweep struct {
	At            time.Time // when it ended; zero: never
	Seen, Removed int64
	next          int
}

// LastSweep implements [Keeper].
func (f *File) LastSweep() (LastSweep, error) {
	var last LastSweep
	var seconds int64
	text := f.readCursor()
	n, _ := fmt.Sscanf(text, "%02x %d %d %d\n", &last.next, &seconds, &last.Seen, &last.Removed)
	if n < 4 || last.next < 0 || last.next >= shards {
		return LastSweep{}, nil
	}
	last.At = time.Unix(seconds, 0)
	return last, nil
}

func (f *File) readCursor() string {
	if err := f.openRoot(false); err != nil {
		return ""
	}
	fd, err := openat(f.root, cursorFile, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	text := make([]byte, 128)
	n, _ := preadAll(fd, text, 0)
	return string(text[:n])
}

func (f *File) writeCursor(next int, done Swept) error {
	text := strings.Join([]string{
		shardName(next), strconv.FormatInt(time.Now().Unix(), 10),
		strconv.FormatInt(done.Seen, 10), strconv.FormatInt(done.Removed, 10),
	}, " ") + "\n"
	fd, err := createat(f.root, cursorFile, unix.O_TRUNC|unix.O_NONBLOCK, 0o600)
	if err == nil {
		err = pwriteAll(fd, []byte(text), 0)
		unix.Close(fd)
	}
	if err != nil {
		return &dirError{f.dir, fmt.Errorf("write %s: %w", cursorFile, err)}
	}
	return nil
}
