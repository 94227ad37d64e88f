package store

import "golang.org/x/sys/unix"

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
