//go:build !linux

package file

import (
	"golang.org/x/sys/unix"

	"cgisession/store"
)

// noAtime is not to be had here.
const noAtime = 0

// fdatasync puts the file on the disk.
func fdatasync(fd int) error { return fsync(fd) }

// exchange is not to be had here.
func exchange(int, string, int, string) error { return unix.ENOSYS }

// renameNew renames a file to a name that no other has, as its 160 random bits
// make sure.
func renameNew(fromDir int, from string, toDir int, to string) error {
	return renameat(fromDir, from, toDir, to)
}

// inMemory reports false: no way to tell is known here.
func inMemory(string) (bool, error) { return false, nil }

// lockHolder returns "": no way to tell is known here.
func lockHolder(*unix.Stat_t) string { return "" }

// space knows nothing here.
func space(string) (store.Space, error) { return store.Space{}, nil }
