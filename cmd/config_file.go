package cmd

// This file reads the configuration file. Who can change it can give a site's sessions
// away, so only this user and root may have written it (safefile.go).

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// configFile is the usual configuration file. The linker may set another one.
var configFile = "/etc/cgisession.conf"

// noConfig is what --config says for no file.
const noConfig = "none"

// maxConfig bounds the configuration file, in bytes.
const maxConfig = 1 << 20

// readConfig reads and parses the configuration file.
func readConfig(path string) (config, error) {
	path, text, err := readConfigText(path)
	if err != nil || path == "" {
		return config{}, err
	}
	return parseConfig(path, text)
}

// readConfigText returns the path and the text of the configuration file; both are "" if
// no file is read. Without a path it reads the usual file. Only that one may be absent, and
// then the call costs one open(2).
func readConfigText(path string) (from, text string, err error) {
	if path == noConfig {
		return "", "", nil
	}
	if path == "" {
		path = configFile
		fd, err := openFile(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
		switch err {
		case nil:
			unix.Close(fd)
		case unix.ENOENT: // also if a directory of the path is absent; a link to nowhere is ELOOP
			return "", "", nil
		}
	}
	if text, err = readTrusted(path); err != nil {
		return "", "", fmt.Errorf("%w file %s: %w", store.ErrConfig, path, err)
	}
	return path, text, nil
}

// readTrusted reads a file that only this user and root can have written. Unlike the
// log, it may be a symbolic link, if these users made it.
func readTrusted(path string) (string, error) {
	fd, err := openTrusted(path)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil {
		err = checkConfig(&st)
	}
	if err != nil {
		return "", err
	}
	return readSized(fd, st.Size)
}

// checkConfig returns an error for a file that another user may have written.
func checkConfig(st *unix.Stat_t) error {
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return fmt.Errorf("%w: not a regular file", store.ErrUnsafe)
	case !trusted(st):
		return fmt.Errorf("%w: belongs to user %d; it must be root's or the caller's", store.ErrUnsafe, st.Uid)
	case st.Size > maxConfig:
		return fmt.Errorf("larger than %d bytes", maxConfig)
	case st.Mode&0o022 != 0:
		return fmt.Errorf("%w: mode %#o lets other users write to it; chmod go-w it", store.ErrUnsafe, st.Mode&0o777)
	}
	return nil
}

// readSized reads a regular file of this size.
func readSized(fd int, size int64) (string, error) {
	var room [4096]byte // on the stack, which costs less than new memory
	text := room[:]
	if size >= int64(len(text)) {
		text = make([]byte, size+1) // a byte more, to see the end
	}
	for n := 0; n < len(text); {
		more, err := unix.Read(fd, text[n:])
		switch n += max(more, 0); {
		case err == unix.EINTR:
		case err != nil:
			return "", err
		case more == 0, int64(n) == size:
			return string(text[:n]), nil
		}
	}
	return "", errors.New("it has just grown; call again")
}
