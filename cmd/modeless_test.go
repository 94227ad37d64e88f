package cmd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

// fileSystems are those without modes, by the first bytes of statfs(2) in memory, and a usual one.
var fileSystems = map[string]struct {
	magic, why string
}{
	"vfat":  {"444d000000000000", "vfat has no modes of its own"},
	"exfat": {"b0ba112000000000", "exfat has no modes of its own"},
	"ntfs":  {"4e54465300000000", "ntfs has no modes of its own"},
	"ntfs3": {"6e74667300000000", "ntfs has no modes of its own"},
	"FUSE":  {"4655736500000000", "FUSE may have no modes of its own, as with ntfs-3g"},
	"ext4":  {"53ef000000000000", ""},
}

// on runs the program as if all files were on a file system with this number: strace(1) writes it
// into the answers of the kernel.
func (r request) on(t *testing.T, magic string, args ...string) cmdtest.Ended {
	t.Helper()
	poke := "/^f?statfs$:poke_exit=@arg2=" + magic
	strace := argv{"-f", "--seccomp-bpf", "-qq", "-o", os.DevNull, "-e", "trace=/^f?statfs$", "-e", "inject=" + poke, cmdtest.Program}
	return cmdtest.Finish(t, r.Command("strace", append(strace, args...)...))
}

// Where files have no modes, a mode that lets other users in is the mount's: nothing advises to
// chmod it, and no repair tries to, or sets sessions aside for it.
func TestFileSystemsWithoutModes(t *testing.T) {
	needStrace(t)
	for name, system := range fileSystems {
		for _, mode := range []os.FileMode{0o700, 0o755, 0o777} { // of all files, as one option of the mount sets them
			if testing.Short() && (mode != 0o755 || name != "vfat") {
				continue
			}
			r := in(t.TempDir())
			if got := r.Call(t, "set", "--adopt-id", cmdtest.Visitor, "a=1"); got.Code != 0 {
				t.Fatalf("%+v", got)
			}
			must(t, filepath.WalkDir(r.Dir+"/sessions", func(path string, _ os.DirEntry, err error) error {
				must(t, err)
				return os.Chmod(path, mode)
			}))
			if got := r.on(t, system.magic, "doctor"); strings.Contains(got.Stderr, "poke") {
				t.Skipf("strace cannot do that: %s", got.Stderr)
			}
			for _, args := range []argv{{"get", "--adopt-id", cmdtest.Visitor}, {"doctor"}, {"doctor", "--deep"}, {"doctor", "--repair"}} {
				got := r.on(t, system.magic, args...)
				text := got.Stdout + got.Stderr
				if system.why == "" { // the repair comes last
					if advice := strings.Contains(text, "chmod") || strings.Contains(text, "--repair") || strings.Contains(text, "its mode is now"); advice != (mode != 0o700) && args[0] == "get" {
						t.Errorf("%s, %v, %q: %+v", name, mode, args, got)
					}
					continue
				}
				if strings.Contains(text, "chmod") || strings.Contains(text, "its mode is now") || strings.Contains(text, "it is now") {
					t.Errorf("%s, %v, %q: %+v", name, mode, args, got)
				}
				advised := strings.Contains(text, system.why+"; mount it with umask=077,uid=")
				if advised != (mode != 0o700) || (got.Code == 0) != (mode == 0o700) {
					t.Errorf("%s, %v, %q: %+v", name, mode, args, got)
				}
				if args[0] == "doctor" && mode == 0o700 && name != "FUSE" && !strings.Contains(text, "warning  file system: "+system.why) {
					t.Errorf("%s, %q: %+v", name, args, got)
				}
			}
			if system.why != "" {
				info, err := os.Stat(r.file(cmdtest.Visitor))
				if err != nil || info.Mode() != mode {
					t.Errorf("%s, %v: after the repair %+v, %v", name, mode, info, err)
				}
			}
		}
	}
}
