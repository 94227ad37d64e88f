package store

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// fdatasync puts the file's data on the disk, and of its metadata what is
// needed to read them (fdatasync(2)).
func fdatasync(fd int) error { return unix.Fdatasync(fd) }

// exchange swaps two names in one step (renameat2(2)).
func exchange(fromDir int, from string, toDir int, to string) error {
	return unix.Renameat2(fromDir, from, toDir, to, unix.RENAME_EXCHANGE)
}

// inMemory reports whether path is on a file system that lives in memory.
func inMemory(path string) (bool, error) {
	var fs unix.Statfs_t
	if err := retry(func() error { return unix.Statfs(path, &fs) }); err != nil {
		return false, err
	}
	return fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC, nil
}

// lockHolder returns ", pid N" for the process that locked the file, or "". It
// is the process that took the lock; a child of it may hold it since
// (proc_locks(5)).
func lockHolder(st *unix.Stat_t) string {
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return ""
	}
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)), st.Ino)
	for line := range strings.Lines(string(locks)) {
		// 1: FLOCK  ADVISORY  WRITE 1234 fd:01:56789 0 EOF
		fields := strings.Fields(line)
		if len(fields) == 8 && fields[1] == "FLOCK" && fields[5] == file {
			return ", pid " + fields[4]
		}
	}
	return ""
}
