package cmd

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// The log. A line is written to a file that nobody but this user and root can
// have put there, and no call waits for the one that reads it.

// log appends one line about an event to the log file, if there is one. It
// holds the session's handle, never its id. That the log cannot be written is
// said once a call, and stops nothing.
func (c *call) log(event, handle string) {
	if c.logFile == "" {
		return
	}
	line := fmt.Sprintf("time=%s event=%q handle=%s\n", time.Now().UTC().Format(time.RFC3339), event, handle)
	if isStderr(c.logFile) {
		writeNow(unix.Stderr, line)
		return
	}
	if err := appendLine(c.logFile, line); err != nil {
		c.logFailed.Do(func() { writeNow(unix.Stderr, "cgisession: log file: "+c.secrets.printable(err.Error())+"\n") })
	}
}

// isStderr reports whether the log is standard error. Where that is a socket,
// as systemd makes it, none of its names can be opened.
func isStderr(file string) bool {
	return file == "-" || file == "/dev/stderr" || file == "/dev/fd/2" || file == "/proc/self/fd/2"
}

// appendLine adds a line to the file, which is opened anew each time so that
// it can be rotated. To a FIFO that is full it is not added.
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

// writeNow writes the text if it can be written without waiting, though the
// descriptor may be one that waits: others have it too, so it stays as it is.
func writeNow(fd int, text string) {
	var st unix.Stat_t
	ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 0)
	if err != nil || ready == 0 || unix.Fstat(fd, &st) != nil {
		return
	}
	write := unix.Write
	if kind := st.Mode & unix.S_IFMT; kind == unix.S_IFIFO || kind == unix.S_IFSOCK {
		write = writeNoWait // another process may have filled it meanwhile
	}
	write(fd, []byte(text))
}

// openLog opens the log file, or makes it.
func openLog(file string) (fd int, err error) {
	dir, name, err := openParent(file)
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	// A FIFO that nobody reads is an error at once; a terminal stays another's.
	const how = unix.O_WRONLY | unix.O_APPEND | unix.O_NONBLOCK | unix.O_NOCTTY
	fd, err = openat(dir, name, how, 0)
	if err == unix.ENOENT {
		fd, err = openat(dir, name, how|unix.O_CREAT|unix.O_EXCL, 0o600)
		if err == nil {
			err = unix.Fchmod(fd, 0o600) // whatever the mask is
		}
	}
	if err == unix.EEXIST { // another call just made it
		fd, err = openat(dir, name, how, 0)
	}
	if err != nil {
		return -1, err
	}
	return checked(fd, checkLog)
}

// openat opens what is no symbolic link. If a signal interrupts that, it is
// repeated.
func openat(dir int, name string, flags int, mode uint32) (fd int, err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		fd, err = unix.Openat(dir, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	}
	return fd, err
}

// checked returns the descriptor unless check refuses the file; then it closes it.
func checked(fd int, check func(st *unix.Stat_t) error) (int, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	if err == nil {
		err = check(&st)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// checkLog refuses a file that belongs to another user, or that others can write.
// A device may be anybody's to write to, as /dev/null is.
func checkLog(st *unix.Stat_t) error {
	kind := st.Mode & unix.S_IFMT
	switch {
	case kind != unix.S_IFREG && kind != unix.S_IFIFO && kind != unix.S_IFCHR:
		return fmt.Errorf("%w: not a file, a FIFO or a character device", store.ErrUnsafe)
	case !trusted(st):
		return fmt.Errorf("%w: belongs to user %d; it must be root's or that of who runs this", store.ErrUnsafe, st.Uid)
	case kind == unix.S_IFCHR:
	case st.Mode&0o022 != 0:
		return fmt.Errorf("%w: mode %#o lets other users write to it; chmod go-w it", store.ErrUnsafe, st.Mode&0o777)
	case st.Nlink > 1:
		return fmt.Errorf("%w: has %d hard links; remove the others", store.ErrUnsafe, st.Nlink)
	}
	return nil
}

// A walk goes along a path from directory to directory. It goes through those and
// follows those symbolic links by which no other user can lead it elsewhere.
type walk struct {
	dir   int      // descriptor of the directory that it has come to
	ahead []string // the names that are left
	links int      // that were followed
}

// maxLinks bounds how many symbolic links are followed, as Linux does
// (path_resolution(7)).
const maxLinks = 40

// openParent opens the directory that the last name of the path is in, and
// returns that name.
func openParent(path string) (dir int, last string, err error) {
	w := walk{dir: -1}
	err = w.prepend(path)
	for err == nil && len(w.ahead) > 1 {
		name := w.ahead[0]
		w.ahead = w.ahead[1:]
		if name != "" {
			err = w.step(name)
		}
	}
	if err != nil {
		unix.Close(w.dir)
		return -1, "", err
	}
	return w.dir, cmp.Or(w.ahead[0], "."), nil
}

// prepend puts a path before the names that are left, and goes to where that
// begins.
func (w *walk) prepend(path string) error {
	w.ahead = append(strings.Split(path, "/"), w.ahead...)
	switch {
	case strings.HasPrefix(path, "/"):
		return w.enter(unix.AT_FDCWD, "/")
	case w.dir < 0:
		return w.enter(unix.AT_FDCWD, ".")
	}
	return nil
}

// enter goes to a directory.
func (w *walk) enter(at int, name string) error {
	fd, err := openat(at, name, searchOnly|unix.O_DIRECTORY, 0)
	if err == nil {
		fd, err = checked(fd, func(st *unix.Stat_t) error { return checkWay(st, name) })
	}
	if err == nil {
		unix.Close(w.dir)
		w.dir = fd
	}
	return err
}

// checkWay refuses a directory in which another user can rename what others
// made.
func checkWay(st *unix.Stat_t, name string) error {
	switch {
	case !trusted(st):
		return fmt.Errorf("%w: directory %s belongs to user %d; it must be root's or that of who runs this", store.ErrUnsafe, name, st.Uid)
	case st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0:
		return fmt.Errorf("%w: mode %#o of directory %s lets other users write to it; chmod go-w it", store.ErrUnsafe, st.Mode&0o777, name)
	}
	return nil
}

// step goes on by a name: to a directory, or along a symbolic link.
func (w *walk) step(name string) error {
	err := w.enter(w.dir, name)
	var st unix.Stat_t
	if err == nil || errors.Is(err, store.ErrUnsafe) ||
		unix.Fstatat(w.dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return err
	}
	if !trusted(&st) {
		return fmt.Errorf("%w: symbolic link %s belongs to user %d; it must be root's or that of who runs this", store.ErrUnsafe, name, st.Uid)
	}
	if w.links++; w.links > maxLinks {
		return unix.ELOOP
	}
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(w.dir, name, target)
	if err != nil {
		return err
	}
	return w.prepend(string(target[:n]))
}
