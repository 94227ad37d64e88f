package cmd

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// A descriptor is read and written around os.File, by which Go ends the program on
// a broken pipe to stdout or stderr before it could say so in its exit code, and
// which closes what is only lent.
type descriptor int

func stderr() descriptor { return descriptor(os.Stderr.Fd()) }

// Read reads as io.Reader has it. It leaves the descriptor open, also once nothing
// refers to it any more.
func (d descriptor) Read(text []byte) (int, error) {
	for {
		n, err := unix.Read(int(d), text)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			unix.Poll([]unix.PollFd{{Fd: int32(d), Events: unix.POLLIN}}, -1)
		case err != nil:
			return 0, err
		case n == 0 && len(text) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func (d descriptor) Write(text []byte) (written int, err error) {
	for written < len(text) {
		n, err := unix.Write(int(d), text[written:])
		switch err {
		case nil:
			written += n
		case unix.EINTR:
		case unix.EAGAIN:
			unix.Poll([]unix.PollFd{{Fd: int32(d), Events: unix.POLLOUT}}, -1)
		default:
			return written, err
		}
	}
	return written, nil
}

// handedDown reports whether a descriptor is the caller's: those that the Go
// runtime opens, at numbers which the caller left free, are closed at an exec.
func handedDown(fd int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil && flags&unix.FD_CLOEXEC == 0
}
