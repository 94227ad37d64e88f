package file

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// noAtime is the flag of openat that leaves a file's time of access as it is,
// which would be a write. It is for the file's owner only (open(2)).
const noAtime = unix.O_NOATIME

// fdatasync waits until the open file's data is on the disk, and of its
// metadata what is needed to read them (fdatasync(2)).
func fdatasync(fd int) error {
	return retry(func() error { return unix.Fdatasync(fd) })
}

// exchange swaps two names in one step (renameat2(2)).
func exchange(fromDir int, from string, toDir int, to string) error {
	return retry(func() error { return unix.Renameat2(fromDir, from, toDir, to, unix.RENAME_EXCHANGE) })
}

// renameNew renames a file to a name that no other file has, or returns
// unix.EEXIST (renameat2(2)). Where the file system cannot check that, it returns
// unix.EINVAL; where the kernel cannot, unix.ENOSYS.
func renameNew(fromDir int, from string, toDir int, to string) error {
	return retry(func() error { return unix.Renameat2(fromDir, from, toDir, to, unix.RENAME_NOREPLACE) })
}

// inMemory reports whether path is on a file system in memory: tmpfs or ramfs.
func inMemory(path string) (bool, error) {
	var fs unix.Statfs_t
	if err := retry(func() error { return unix.Statfs(path, &fs) }); err != nil {
		return false, err
	}
	magic := uint32(fs.Type) // fs.Type differs in type and sign between processors
	return magic == unix.TMPFS_MAGIC || magic == unix.RAMFS_MAGIC, nil
}

// lockHolder returns ", pid N" for a process that holds the lock of the file,
// or "" if none is seen. The process that took the lock may have handed its
// descriptor on and ended; so those that have the descriptor come first
// (proc_pid_fdinfo(5)).
func lockHolder(st *unix.Stat_t) string {
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)), st.Ino)
	taker := lockTaker("/proc/locks", file)
	if taker == "" {
		return ""
	}
	for _, pid := range []string{taker, "[0-9]*"} {
		descriptors, _ := filepath.Glob("/proc/" + pid + "/fdinfo/*")
		for _, name := range descriptors {
			if lockTaker(name, file) != "" {
				return ", pid " + strings.Split(name, "/")[2]
			}
		}
	}
	return ", pid " + taker
}

// lockTaker returns the process that took the file's lock, as the proc file of
// this name lists it (proc_locks(5)), or "".
func lockTaker(name, file string) string {
	text, _ := os.ReadFile(name)
	for line := range strings.Lines(string(text)) {
		// 1: FLOCK  ADVISORY  WRITE 1234 fd:01:56789 0 EOF
		fields := strings.Fields(strings.TrimPrefix(line, "lock:"))
		if len(fields) == 8 && fields[1] == "FLOCK" && fields[5] == file {
			return fields[4]
		}
	}
	return ""
}

// space returns the size of path's file system, and what is left of it
// (statfs(2)).
func space(path string) (store.Space, error) {
	var fs unix.Statfs_t
	if err := retry(func() error { return unix.Statfs(path, &fs) }); err != nil {
		return store.Space{}, err
	}
	return store.Space{
		Bytes: int64(fs.Blocks) * int64(fs.Bsize), FreeBytes: int64(fs.Bavail) * int64(fs.Bsize),
		Inodes: int64(fs.Files), FreeInodes: int64(fs.Ffree), System: fileSystem(int64(uint32(fs.Type))),
	}, nil
}

// fileSystem returns the name of a file system that does not suit sessions
// well, by its number in statfs(2); "" for any other.
func fileSystem(magic int64) string {
	switch magic {
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC:
		return "memory"
	case unix.NFS_SUPER_MAGIC:
		return "NFS"
	case unix.SMB_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC:
		return "SMB"
	case unix.V9FS_MAGIC:
		return "9P"
	case unix.FUSE_SUPER_MAGIC:
		return "FUSE"
	case unix.MSDOS_SUPER_MAGIC:
		return "vfat"
	case unix.EXFAT_SUPER_MAGIC:
		return "exfat"
	case 0x5346544e, 0x7366746e: // "NTFS" and "ntfs", of the drivers ntfs and ntfs3
		return "ntfs"
	}
	return ""
}

// openOn is fileSystem for the file system of an open file (fstatfs(2)).
func openOn(fd int) string {
	var fs unix.Statfs_t
	if retry(func() error { return unix.Fstatfs(fd, &fs) }) != nil {
		return ""
	}
	return fileSystem(int64(uint32(fs.Type)))
}
