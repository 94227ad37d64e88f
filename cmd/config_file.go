package cmd

// This file reads the configuration file. Who can change it can give a site's sessions
// away, so only this user and root may have written it (safefile.go).

import (
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

// readConfig reads the configuration file, or without a path the usual one, which alone
// may be absent. That it is absent costs one open(2).
func readConfig(path string) (config, error) {
	if path == noConfig {
		return config{}, nil
	}
	if path == "" {
		path = configFile
		fd, err := openat(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
		switch err {
		case nil:
			unix.Close(fd)
		case unix.ENOENT: // also if a directory of the path is absent; a link to nowhere is ELOOP
			return config{}, nil
		}
	}
	text, err := readTrusted(path)
	if err != nil {
		return config{}, fmt.Errorf("%w file %s: %w", store.ErrConfig, path, err)
	}
	return parseConfig(path, text)
}

// readTrusted reads a file that only this user and root can have written. Unlike the
// log, it may be a symbolic link, if these users made it.
func readTrusted(path string) ([]byte, error) {
	fd, err := openTrusted(path)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return readAll(fd, maxConfig)
}

// checkConfig returns an error for a file that another user may have written.
func checkConfig(st *unix.Stat_t) error {
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return fmt.Errorf("%w: not a regular file", store.ErrUnsafe)
	case !trusted(st):
		return fmt.Errorf("%w: belongs to user %d; it must be root's or the caller's", store.ErrUnsafe, st.Uid)
	case st.Mode&0o022 != 0:
		return fmt.Errorf("%w: mode %#o lets other users write to it; chmod go-w it", store.ErrUnsafe, st.Mode&0o777)
	}
	return nil
}

// readAll reads a regular file of at most limit bytes.
func readAll(fd, limit int) ([]byte, error) {
	text := make([]byte, 0, 4096)
	for {
		if len(text) == cap(text) {
			text = append(text, 0)[:len(text)]
		}
		n, err := unix.Read(fd, text[len(text):cap(text)])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil || n == 0:
			return text, err
		}
		if text = text[:len(text)+n]; len(text) > limit {
			return nil, fmt.Errorf("larger than %d bytes", limit)
		}
	}
}
