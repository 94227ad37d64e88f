package file

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// unsafeError says why a file is ErrUnsafe. Its values are constants, so that
// they take no time before they happen.
type unsafeError string

func (e unsafeError) Error() string { return store.ErrUnsafe.Error() + ": " + string(e) }

func (e unsafeError) Unwrap() error { return store.ErrUnsafe }

const (
	errSymlink = unsafeError("a symbolic link stands where a session's file belongs; remove it")
	errNotFile = unsafeError("not a regular file; remove it")
)

// openError names what stands in the place of a session's file (open(2)).
func openError(err error) error {
	switch err {
	case unix.ELOOP:
		return errSymlink
	case unix.EISDIR, unix.ENXIO: // a directory; a socket
		return errNotFile
	}
	return err
}

// checkFile refuses what no session's file is. The user is an argument because to ask
// for it is a system call, as much as to look at a file.
func checkFile(st *unix.Stat_t, uid int) error {
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return errNotFile
	case st.Nlink > 1:
		return fmt.Errorf("%w: has %d hard links; remove all of them", store.ErrUnsafe, st.Nlink)
	}
	return checkOwned(st, uid, 0o077)
}

// checkOwned refuses what belongs to another user than uid, or has a mode with any
// of the forbidden bits.
func checkOwned(st *unix.Stat_t, uid int, forbidden uint32) error {
	switch {
	case int(st.Uid) != uid:
		return fmt.Errorf("%w: belongs to user %d, not to %d, who runs this", store.ErrUnsafe, st.Uid, uid)
	case uint32(st.Mode)&forbidden&0o022 != 0:
		return fmt.Errorf("%w: mode %#o lets other users in; run cgisession doctor --repair", store.ErrUnsafe, st.Mode&0o777)
	case uint32(st.Mode)&forbidden != 0:
		return fmt.Errorf("%w: mode %#o lets other users in; chmod go-rwx it", store.ErrUnsafe, st.Mode&0o777)
	}
	return nil
}

// isOwn reports whether it is a regular file of this user's, and has no other
// name.
func isOwn(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFREG && st.Nlink == 1 && int(st.Uid) == os.Geteuid()
}

// isOwnDir reports whether it is a directory of this user's.
func isOwnDir(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFDIR && int(st.Uid) == os.Geteuid()
}

// isOpen reports whether others can write what has this mode.
func isOpen(st *unix.Stat_t) bool { return st.Mode&0o022 != 0 }
