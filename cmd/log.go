package cmd

// This file appends to the log file, which must be safe (safefile.go). No call waits
// for the log's reader.

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// log appends a line about an event to the log file, if there is one. It holds the
// session's handle, never its id. A log that cannot be written stops nothing: a call
// reports it once, on stderr.
func (c *call) log(event, handle string) {
	if c.logFile == "" {
		return
	}
	line := fmt.Sprintf("time=%s event=%q handle=%s\n", time.Now().UTC().Format(time.RFC3339), event, handle)
	if isStderr(c.logFile) {
		c.progress.print(func() { writeNow(unix.Stderr, line) })
		return
	}
	if err := appendLine(c.logFile, line); err != nil {
		c.logFailed.Do(func() {
			text := "cgisession: log file: " + c.secrets.printable(err.Error()) + "\n"
			c.progress.print(func() { writeNow(unix.Stderr, text) })
		})
	}
}

// isStderr reports whether the log file is a name of standard error. log writes to
// the descriptor then, and does not open the name: if it is a socket, as under
// systemd, open(2) fails.
func isStderr(file string) bool {
	return file == "-" || file == "/dev/stderr" || file == "/dev/fd/2" || file == "/proc/self/fd/2"
}

// appendLine opens the file and appends a line. It opens the file for each line, so
// that the log can be rotated. If the file is a full FIFO, the line is lost.
func appendLine(file, line string) error {
	fd, err := openLog(file)
	if err != nil {
		return &os.PathError{Op: "open", Path: file, Err: err}
	}
	n, err := unix.Write(fd, []byte(line))
	if err == unix.EAGAIN {
		err = errors.New("its reader does not keep up; the line is dropped")
	} else if err == nil && n < len(line) {
		err = unix.ENOSPC
	}
	if closing := unix.Close(fd); err == nil && closing != unix.EINTR {
		err = closing
	}
	if err != nil {
		return &os.PathError{Op: "write", Path: file, Err: err}
	}
	return nil
}

// writeNow writes the text, unless it would have to wait. It does not set O_NONBLOCK
// on the descriptor: that would apply to all processes that share it (fcntl(2)).
func writeNow(fd int, text string) {
	var st unix.Stat_t
	ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 0)
	if err != nil || ready == 0 || unix.Fstat(fd, &st) != nil {
		return
	}
	write := unix.Write
	if kind := st.Mode & unix.S_IFMT; kind == unix.S_IFIFO || kind == unix.S_IFSOCK {
		write = writeNoWait // another process may have filled it since poll
	}
	write(fd, []byte(text))
}

// openLog opens the log file, or creates it with mode 0600.
func openLog(file string) (fd int, err error) {
	if file, err = withoutLinks(file, 0); err != nil {
		return -1, err
	}
	// O_NONBLOCK: a FIFO without a reader is an error at once (fifo(7)).
	// O_NOCTTY: a terminal does not become that of this process.
	const flags = unix.O_WRONLY | unix.O_APPEND | unix.O_NONBLOCK | unix.O_NOCTTY
	fd, err = openFile(file, flags, 0)
	if err == unix.ENOENT {
		fd, err = openFile(file, flags|unix.O_CREAT|unix.O_EXCL, 0o600)
		if err == nil {
			err = unix.Fchmod(fd, 0o600) // whatever the umask is
		}
	}
	if err == unix.EEXIST { // another call created it since
		fd, err = openFile(file, flags, 0)
	}
	if err != nil {
		return -1, err
	}
	return checked(fd, checkLog)
}

// checkLog returns an error for a file that belongs to another user or that others
// can write to. A device may be writable for all, as /dev/null is.
func checkLog(st *unix.Stat_t) error {
	kind := st.Mode & unix.S_IFMT
	switch {
	case kind != unix.S_IFREG && kind != unix.S_IFIFO && kind != unix.S_IFCHR:
		return fmt.Errorf("%w: not a file, a FIFO or a character device", store.ErrUnsafe)
	case !trusted(st):
		return fmt.Errorf("%w: belongs to user %d; it must be root's or the caller's", store.ErrUnsafe, st.Uid)
	case kind == unix.S_IFCHR:
	case st.Mode&0o022 != 0:
		return fmt.Errorf("%w: mode %#o lets other users write to it; chmod go-w it", store.ErrUnsafe, st.Mode&0o777)
	case st.Nlink > 1:
		return fmt.Errorf("%w: has %d hard links; remove the others", store.ErrUnsafe, st.Nlink)
	}
	return nil
}
