package cmd

import (
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// A descriptor is read and written without os.File, for two reasons. If stdout or
// stderr is a broken pipe, os.File ends the program by SIGPIPE (os/signal), without
// an exit code. And it closes its descriptor when it is collected, here the caller's.
type descriptor int

func stderr() descriptor { return descriptor(os.Stderr.Fd()) }

// Read implements io.Reader. It waits even if the descriptor is O_NONBLOCK.
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

// Write implements io.Writer. It waits even if the descriptor is O_NONBLOCK.
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

// handedDown reports whether a descriptor is open and came from the caller. The Go
// runtime opens some too, at numbers that the caller left free, but with FD_CLOEXEC.
func handedDown(fd int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil && flags&unix.FD_CLOEXEC == 0
}

// closeOnExec keeps descriptors that were handed down from the programs that this one
// starts: all but standard input, output and error.
func closeOnExec() error {
	names, err := os.ReadDir("/dev/fd")
	for _, name := range names {
		if fd, err := strconv.Atoi(name.Name()); err == nil && fd > unix.Stderr {
			unix.CloseOnExec(fd)
		}
	}
	return err
}
