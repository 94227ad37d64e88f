package file

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// Which files and directories are safe to use: those that belong to this user
// alone. The data directory may stand in /tmp, where other users can make files
// too.

// An unsafeError is the reason why a file is [store.ErrUnsafe]. It is a string
// so that its values can be constants: building them takes no time at start-up.
type unsafeError string

func (e unsafeError) Error() string { return store.ErrUnsafe.Error() + ": " + string(e) }

func (e unsafeError) Unwrap() error { return store.ErrUnsafe }

const (
	errSymlink = unsafeError("a symbolic link stands where a session's file belongs; remove it")
	errNotFile = unsafeError("not a regular file; remove it")
)

// openError replaces the errors that open(2) returns for something else than a
// regular file by the reason in words.
func openError(err error) error {
	switch err {
	case unix.ELOOP:
		return errSymlink
	case unix.EISDIR, unix.ENXIO: // a directory; a socket
		return errNotFile
	}
	return err
}

// checkFile returns ErrUnsafe unless st is that of a regular file with one
// name, owned by the user uid, and closed to all others. Under a second name (a
// hard link) a session would outlive its removal here. uid is an argument
// because asking for it is a system call, and as slow as stat(2).
func checkFile(st *unix.Stat_t, uid int) error {
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return errNotFile
	case st.Nlink > 1:
		return fmt.Errorf("%w: has %d hard links, as a backup by cp -al makes them; "+
			"run cgisession doctor --repair, and back up with cp -a", store.ErrUnsafe, st.Nlink)
	}
	return checkOwned(st, uid, 0o077)
}

// checkOwned returns ErrUnsafe if st is that of something which belongs to
// another user than uid, or whose mode has any of the forbidden bits.
func checkOwned(st *unix.Stat_t, uid int, forbidden uint32) error {
	switch {
	case int(st.Uid) != uid:
		return fmt.Errorf("%w: belongs to user %d, not to the caller, user %d", store.ErrUnsafe, st.Uid, uid)
	case uint32(st.Mode)&forbidden&0o022 != 0:
		return fmt.Errorf("%w: mode %#o lets other users in; "+
			"run cgisession doctor --repair", store.ErrUnsafe, st.Mode&0o777)
	case uint32(st.Mode)&forbidden != 0:
		return fmt.Errorf("%w: mode %#o lets other users in; chmod go-rwx it", store.ErrUnsafe, st.Mode&0o777)
	}
	return nil
}

// modeless returns why modes cannot be changed on a file system of this name; ""
// if they can. The drivers of some disks of other systems make up the modes and
// owners of all files from the options of the mount (mount(8)). Of FUSE it
// depends on the driver: that of ntfs-3g, fuseblk, is one of them.
func modeless(system string) string {
	switch system {
	case "vfat", "exfat", "ntfs":
		return system + " has no modes of its own"
	case "FUSE":
		return "FUSE may have no modes of its own, as with ntfs-3g"
	}
	return ""
}

// mountAdvice is what to do about it.
func mountAdvice() string {
	return fmt.Sprintf("mount it with umask=077,uid=%d, or choose a --data-dir on another file system", os.Geteuid())
}

// atMount returns err, which is what is wrong with the open file fd. If that is
// its mode or owner, and the mount decides about those, the error says so.
func atMount(fd int, st *unix.Stat_t, forbidden uint32, err error) error {
	if err == nil {
		return nil
	}
	uid := os.Geteuid()
	if checkOwned(st, uid, forbidden) == nil {
		return err
	}
	why := modeless(openOn(fd))
	switch {
	case why == "":
		return err
	case int(st.Uid) != uid:
		return fmt.Errorf("%w: belongs to user %d, and %s; %s", store.ErrUnsafe, st.Uid, why, mountAdvice())
	}
	return fmt.Errorf("%w: mode %#o lets other users in, and %s; %s",
		store.ErrUnsafe, st.Mode&0o777, why, mountAdvice())
}

// isOwn reports whether st is that of a regular file of this user with one
// name. Unlike checkFile it accepts any mode.
func isOwn(st *unix.Stat_t) bool { return isOwnFile(st) && st.Nlink == 1 }

// isOwnFile is isOwn for a file that may have other names.
func isOwnFile(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFREG && int(st.Uid) == os.Geteuid()
}

// isOwnDir reports whether st is that of a directory of this user.
func isOwnDir(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFDIR && int(st.Uid) == os.Geteuid()
}

// isOpen reports whether other users can write to a file or directory with this
// mode.
func isOpen(st *unix.Stat_t) bool { return st.Mode&0o022 != 0 }
