//go:build !redis

package cmd

// This file executes the larger program, for a build without Redis.

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

const hasRedis = false

// openRedis has the larger program take this one's place (execve(2)), which does not
// return, or returns why that cannot be. The arguments were read, and nothing else: no
// standard input, no descriptor of the caller's, and no log. What the caller set stays:
// the environment, the descriptors, the directory, the umask, the limits (Go raises that
// of descriptors, and syscall.Exec sets it back), and the signals that Go lets a caller
// ignore, as for COMMAND of run.
func (o *options) openRedis(store.Options) (store.Backend, error) {
	usual, larger, err := findLarger()
	if err == nil {
		calledAs := largerName + " " + Version + " " + usual // see usualProgram
		err = unix.Exec(larger, append([]string{calledAs}, os.Args[1:]...), os.Environ())
		err = fmt.Errorf("%s: %w", larger, err)
	}
	return nil, fmt.Errorf("%w: --type redis: %w", store.ErrConfig, err)
}

// findLarger returns the paths of this program and of the larger one, which lies beside
// it or in ../libexec/cgisession. PATH plays no role: the caller may have set it.
func findLarger() (usual, larger string, err error) {
	if os.Getuid() != os.Geteuid() || os.Getgid() != os.Getegid() {
		return "", "", errors.New("a program with another user's rights (set-user-ID) executes no other; call " +
			largerName + " itself")
	}
	usual, err = os.Readlink(itself)
	var st unix.Stat_t
	if err == nil {
		err = unix.Stat(itself, &st)
	}
	if err != nil || !filepath.IsAbs(usual) {
		return "", "", fmt.Errorf("%s is missing, so nothing says where %s is; call that itself", itself, largerName)
	}
	if filepath.Base(usual) == largerName || filepath.Base(os.Args[0]) == largerName {
		return "", "", errNotLarger
	}
	dir := filepath.Dir(usual)
	for _, beside := range []string{".", "../libexec/cgisession"} {
		larger = filepath.Join(dir, beside, largerName)
		if err = checkLarger(larger, st.Uid); !errors.Is(err, unix.ENOENT) {
			break
		}
		err = fmt.Errorf("no %s beside this program; install it there, or in ../libexec/cgisession", largerName)
	}
	return usual, larger, err
}

// checkLarger returns an error unless the file at path belongs to the owner of this
// program, and no other user may write to it. The same holds for the directories of the
// path, which may also be root's or the caller's. So only a user who could replace this
// program, or the caller's own files, can change what the path leads to between the
// check and execve(2). The owner's group does not matter, since no group may write.
func checkLarger(path string, owner uint32) error {
	real, err := withoutLinks(path, owner)
	var st, above unix.Stat_t
	if err == nil {
		err = unix.Lstat(real, &st)
	}
	if err == nil {
		err = unix.Lstat(filepath.Dir(real), &above)
	}
	switch {
	case err != nil:
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		err = errors.New("not a regular file")
	case st.Uid != owner:
		err = fmt.Errorf("belongs to user %d, and this program to user %d", st.Uid, owner)
	case st.Mode&0o022 != 0:
		err = fmt.Errorf("mode %#o lets other users write to it; chmod go-w it", st.Mode&0o777)
	case above.Mode&0o022 != 0: // sticky, or withoutLinks refuses it: others may add links to files (link(2))
		err = fmt.Errorf("mode %#o of its directory lets other users write there; chmod go-w it", above.Mode&0o777)
	case strings.HasPrefix(firstBytes(path), "#!"):
		err = errors.New("a script, not the program")
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return err
}
