//go:build !linux

package file

import (
	"golang.org/x/sys/unix"

	"cgisession/store"
)

// noAtime is Linux-only.
const noAtime = 0

// fdatasync syncs the whole file: not all systems have fdatasync(2).
func fdatasync(fd int) error { return fsync(fd) }

// exchange is Linux-only; here Move with a grace is ErrUnsupported.
func exchange(int, string, int, string) error { return unix.ENOSYS }

// renameNew is Linux-only; here it returns unix.ENOSYS.
func renameNew(int, string, int, string) error { return unix.ENOSYS }

// inMemory is Linux-only; here it reports false.
func inMemory(string) (bool, error) { return false, nil }

// lockHolder is Linux-only; here it returns "".
func lockHolder(*unix.Stat_t) string { return "" }

// space is Linux-only; here nothing is known of the file system.
func space(string) (store.Space, error) { return store.Space{}, nil }

// openOn is Linux-only; here nothing is known of the file system.
func openOn(int) string { return "" }
