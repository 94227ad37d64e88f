package cmd

// This file reads the keys that sign ids, and other files that must be safe.

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"cgisession/cookie"
	"cgisession/store"
)

// readKeys returns the keys that sign ids: those of the secret file, else those of
// CGISESSION_SECRET, else nil, and then ids are not signed. A key that is empty, too
// short or unsafe is an error (ErrConfig), never a reason not to sign.
func readKeys(file string, lookup func(string) (string, bool)) (cookie.Keys, error) {
	if set, ok := lookup("CGISESSION_SECRET_FILE"); file == "" && ok && set == "" {
		return nil, fmt.Errorf("%w: CGISESSION_SECRET_FILE is set but empty; name a key file or unset it",
			store.ErrConfig)
	}
	if file != "" {
		keys, err := readKeyFile(file)
		if err != nil {
			return nil, fmt.Errorf("%w: key file %s: %w", store.ErrConfig, file, err)
		}
		return keys, nil
	}
	secret, ok := lookup("CGISESSION_SECRET")
	if !ok {
		return nil, nil
	}
	keys, err := cookie.ParseKeys([]byte(secret))
	if err != nil {
		return nil, fmt.Errorf("%w: CGISESSION_SECRET: %w", store.ErrConfig, err)
	}
	return keys, nil
}

// maxKeyFile bounds a key file, in bytes.
const maxKeyFile = 64 << 10

func readKeyFile(file string) (cookie.Keys, error) {
	text, err := readSecretFile(file)
	if err != nil {
		return nil, err
	}
	return cookie.ParseKeys(text)
}

// readSecretFile reads a file that no user but this one and root can read or write.
func readSecretFile(file string) ([]byte, error) {
	return readRegular(file, unix.O_NOFOLLOW, maxKeyFile, func(st *unix.Stat_t) error {
		switch {
		case !trusted(st):
			return fmt.Errorf("belongs to user %d; it must be root's or the caller's", st.Uid)
		case st.Mode&0o077 != 0:
			return fmt.Errorf("mode %#o lets other users read it; chmod 600 it, and make a new key", st.Mode&0o777)
		}
		return nil
	})
}

// readRegular reads a regular file of at most limit bytes, unless check returns an
// error for it. It refuses a FIFO without waiting for a writer (O_NONBLOCK, open(2)).
func readRegular(file string, flags, limit int, check func(*unix.Stat_t) error) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK|flags, 0)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer f.Close()
	var st unix.Stat_t
	err = unix.Fstat(int(f.Fd()), &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errors.New("not a regular file")
	}
	if err == nil {
		err = check(&st)
	}
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if len(text) > limit {
		return nil, fmt.Errorf("larger than %d bytes", limit)
	}
	return text, withoutPath(err)
}

// trusted reports whether the file belongs to this user or to root.
func trusted(st *unix.Stat_t) bool { return st.Uid == 0 || int(st.Uid) == os.Geteuid() }
