package cmd

// This file has the system calls that only Linux has.

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// dropCapabilities drops all capabilities of all threads. Changing from root to
// another user does that too, except under the securebit no_setuid_fixup
// (capabilities(7)).
func dropCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData // version 3 has two
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET,
		uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none)), 0)
	switch errno {
	case 0:
		return nil
	case unix.ENOTSUP: // returned by AllThreadsSyscall in a program built with cgo
		return checkCapabilities()
	}
	return os.NewSyscallError("capset", errno)
}

// checkCapabilities returns an error if this thread has capabilities left.
func checkCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var left [2]unix.CapUserData
	err := unix.Capget(&header, &left[0])
	if err == nil && left[0].Permitted|left[1].Permitted != 0 {
		err = unix.EPERM
	}
	return os.NewSyscallError("capget", err)
}

// noWait is RWF_NOWAIT: this one write does not wait, whether or not the descriptor is
// O_NONBLOCK (pwritev2(2)).
const noWait = 0x8

// writeNoWait writes to a pipe or a socket without waiting. Older systems may wait:
// for pipes those before Linux 6.5.
func writeNoWait(fd int, text []byte) (int, error) {
	n, err := unix.Pwritev2(fd, [][]byte{text}, -1, noWait)
	if err == unix.EOPNOTSUPP || err == unix.ENOSYS {
		return unix.Write(fd, text)
	}
	return n, err
}
