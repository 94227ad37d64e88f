package file_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
	"cgisession/store/file"
)

const (
	// patience is the time after which a call that must not hang fails the test.
	patience = time.Minute

	// stranger is a user that runs no test.
	stranger = 54321
)

// within runs do, and fails the test if it does not return.
func within(t *testing.T, d time.Duration, what string, do func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-time.After(d):
		t.Fatalf("%s hangs", what)
		return nil
	}
}

// accesses are all calls that use a session.
var accesses = map[string]func(f *file.Store, handle string) error{
	"Touch":    func(f *file.Store, h string) error { _, err := f.Read(h, store.Touch); return err },
	"Peek":     func(f *file.Store, h string) error { _, err := f.Read(h, store.Peek); return err },
	"Snapshot": func(f *file.Store, h string) error { _, err := f.Read(h, store.Snapshot); return err },
	"Update":   func(f *file.Store, h string) error { _, err := f.Update(h, false, save(`{"a":2}`)); return err },
	"create":   func(f *file.Store, h string) error { _, err := f.Update(h, true, save(`{"a":2}`)); return err },
	"Remove":   func(f *file.Store, h string) error { _, err := f.Update(h, true, remove); return err },
	"Move": func(f *file.Store, h string) error {
		_, err := f.Move(h, store.Handle("test", store.NewID()), 0, nil)
		return err
	},
	"Move with grace": func(f *file.Store, h string) error {
		_, err := f.Move(h, store.Handle("test", store.NewID()), time.Hour, nil)
		return err
	},
	"Hold":     func(f *file.Store, h string) error { _, err := f.Hold(h, true); return err },
	"LockPath": func(f *file.Store, h string) error { _, err := f.LockPath(h, true); return err },
}

// refused checks that every access to the session is ErrUnsafe, at once, and
// that nothing below dir, nor any of the targets outside, is changed by it.
func refused(t *testing.T, dir, root, handle string, targets ...string) {
	t.Helper()
	before := state(t, root, targets)
	for name, access := range accesses {
		f := file.Open(file.Config{Dir: dir}, store.Options{MaxSize: 1 << 20})
		err := within(t, patience, name, func() error { return access(f, handle) })
		if !errors.Is(err, store.ErrUnsafe) {
			t.Errorf("%s: %v; want %v", name, err, store.ErrUnsafe)
		}
		f.Close()
		if after := state(t, root, targets); after != before {
			t.Errorf("%s changed\n%sto\n%s", name, before, after)
		}
	}
}

// state describes all files below root and the targets: names, modes, owners,
// links, times, and the content of regular files.
func state(t *testing.T, root string, targets []string) string {
	t.Helper()
	var b bytes.Buffer
	add := func(path string) {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		st := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&b, "%s %v %d %d %d %v", path, info.Mode(), st.Uid, st.Nlink, info.Size(), info.ModTime())
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, " %q", text)
		}
		b.WriteByte('\n')
	}
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err == nil {
			add(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range targets {
		add(path)
	}
	return b.String()
}

func asRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
}

// must fails the test on an error of its preparations.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestUnsafeDirectory(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, root, dir string){
		"symbolic link": func(t *testing.T, root, dir string) {
			must(t, os.Rename(dir, root+"/real"))
			must(t, os.Symlink(root+"/real", dir))
		},
		"dangling link": func(t *testing.T, root, dir string) {
			must(t, os.RemoveAll(dir))
			must(t, os.Symlink(root+"/none", dir))
		},
		"file": func(t *testing.T, root, dir string) {
			must(t, os.RemoveAll(dir))
			must(t, os.WriteFile(dir, []byte("text"), 0o600))
		},
		"FIFO": func(t *testing.T, root, dir string) {
			must(t, os.RemoveAll(dir))
			must(t, unix.Mkfifo(dir, 0o600))
		},
		"group-writable":    func(t *testing.T, root, dir string) { must(t, os.Chmod(dir, 0o720)) },
		"world-writable":    func(t *testing.T, root, dir string) { must(t, os.Chmod(dir, 0o702)) },
		"sticky as in /tmp": func(t *testing.T, root, dir string) { must(t, os.Chmod(dir, 0o777|os.ModeSticky)) },
		"foreign": func(t *testing.T, root, dir string) {
			asRoot(t)
			must(t, os.Chown(dir, stranger, -1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			dir := root + "/sessions"
			f := open(t, dir, patient)
			s := create(t, f, `{"a":1}`)
			spoil(t, root, dir)
			refused(t, dir, root, s.Handle)
		})
	}
}

func TestUnsafeShard(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, root, shard string){
		"symbolic link": func(t *testing.T, root, shard string) {
			must(t, os.Rename(shard, root+"/real"))
			must(t, os.Symlink(root+"/real", shard))
		},
		"file": func(t *testing.T, root, shard string) {
			must(t, os.RemoveAll(shard))
			must(t, os.WriteFile(shard, []byte("text"), 0o600))
		},
		"group-writable": func(t *testing.T, root, shard string) { must(t, os.Chmod(shard, 0o770)) },
		"world-writable": func(t *testing.T, root, shard string) { must(t, os.Chmod(shard, 0o707)) },
		"foreign": func(t *testing.T, root, shard string) {
			asRoot(t)
			must(t, os.Chown(shard, stranger, -1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			dir := root + "/sessions"
			s := create(t, open(t, dir, patient), `{"a":1}`)
			spoil(t, root, filepath.Dir(s.Path))
			refused(t, dir, root, s.Handle)
		})
	}
}

func TestUnsafeFile(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, root, path string) []string{
		"link to a session": func(t *testing.T, root, path string) []string {
			must(t, os.Rename(path, root+"/other"))
			return link(t, root+"/other", path)
		},
		"link to a system file": func(t *testing.T, root, path string) []string {
			asRoot(t)
			must(t, os.Remove(path))
			return link(t, "/etc/shadow", path)
		},
		"dangling link": func(t *testing.T, root, path string) []string {
			must(t, os.Remove(path))
			must(t, os.Symlink(root+"/none", path))
			return nil
		},
		"link to itself": func(t *testing.T, root, path string) []string {
			must(t, os.Remove(path))
			must(t, os.Symlink(path, path))
			return nil
		},
		"hard link": func(t *testing.T, root, path string) []string {
			must(t, os.Link(path, root+"/other"))
			return nil
		},
		"FIFO": func(t *testing.T, root, path string) []string {
			must(t, os.Remove(path))
			must(t, unix.Mkfifo(path, 0o600))
			return nil
		},
		"directory": func(t *testing.T, root, path string) []string {
			must(t, os.Remove(path))
			must(t, os.Mkdir(path, 0o700))
			return nil
		},
		"socket": func(t *testing.T, root, path string) []string {
			must(t, os.Remove(path))
			// A socket is made elsewhere: this path may be too long for its address (unix(7)).
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: root + "/s"})
			must(t, err)
			t.Cleanup(func() { l.Close() })
			must(t, os.Rename(root+"/s", path))
			return nil
		},
		"device": func(t *testing.T, root, path string) []string {
			asRoot(t)
			must(t, os.Remove(path))
			if err := unix.Mknod(path, unix.S_IFCHR|0o600, 1<<8|5); err != nil {
				t.Skip("mknod: ", err)
			}
			return nil
		},
		"foreign": func(t *testing.T, root, path string) []string {
			asRoot(t)
			must(t, os.Chown(path, stranger, -1))
			return nil
		},
		"mode 0666": func(t *testing.T, root, path string) []string { must(t, os.Chmod(path, 0o666)); return nil },
		"mode 0640": func(t *testing.T, root, path string) []string { must(t, os.Chmod(path, 0o640)); return nil },
		"mode 0604": func(t *testing.T, root, path string) []string { must(t, os.Chmod(path, 0o604)); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			dir := root + "/sessions"
			s := create(t, open(t, dir, patient), `{"a":1}`)
			refused(t, dir, root, s.Handle, spoil(t, root, s.Path)...)
		})
	}
}

// link makes path a symbolic link to target, which it returns.
func link(t *testing.T, target, path string) []string {
	t.Helper()
	must(t, os.Symlink(target, path))
	return []string{target}
}

// TestUnsafeFileLocked has a file that is unsafe and locked by the user who planted it.
// No call waits for that lock.
func TestUnsafeFileLocked(t *testing.T) {
	root := t.TempDir()
	f := open(t, root+"/sessions", patient)
	s := create(t, f, `{"a":1}`)
	must(t, os.Chmod(s.Path, 0o666))
	file, err := os.Open(s.Path)
	must(t, err)
	defer file.Close()
	must(t, unix.Flock(int(file.Fd()), unix.LOCK_EX))
	for name, access := range accesses {
		err := within(t, patience, name, func() error { return access(f, s.Handle) })
		if !errors.Is(err, store.ErrUnsafe) {
			t.Errorf("%s: %v; want %v", name, err, store.ErrUnsafe)
		}
	}
}

// TestModes makes directories and files under every sort of umask.
func TestModes(t *testing.T) {
	for _, mask := range []int{0, 0o022, 0o077, 0o777} {
		t.Run(fmt.Sprintf("umask %03o", mask), func(t *testing.T) {
			root := t.TempDir()
			defer unix.Umask(unix.Umask(mask))
			dir := root + "/sessions"
			f := open(t, dir, patient)
			s := create(t, f, `{"a":1}`)
			to := store.Handle("test", store.NewID())
			if _, err := f.Move(s.Handle, to, time.Hour, nil); err != nil {
				t.Fatal(err)
			}
			now := unix.Umask(mask)
			if now != mask {
				t.Errorf("umask %03o was left as %03o", mask, now)
			}
			for path, want := range map[string]os.FileMode{
				dir:                         0o700 | os.ModeDir,
				filepath.Dir(f.Path(to)):    0o700 | os.ModeDir,
				filepath.Dir(s.Path):        0o700 | os.ModeDir,
				f.Path(to):                  0o600,
				s.Path /* the tombstone */ : 0o400,
			} {
				if info, err := os.Stat(path); err != nil || info.Mode() != want {
					t.Errorf("%s: %v, %v; want mode %v", path, info.Mode(), err, want)
				}
			}
		})
	}
}

// TestTombstoneTimes checks what stat(2) shows of a tombstone: its modification time is
// in the past once its grace is over, and not before.
func TestTombstoneTimes(t *testing.T) {
	f := open(t, t.TempDir(), patient)
	s := create(t, f, `{"a":1}`)
	before := time.Now()
	to := store.Handle("test", store.NewID())
	if _, err := f.Move(s.Handle, to, time.Hour, nil); err != nil {
		t.Fatal(err)
	}
	after := time.Now()
	for _, how := range []store.Reading{store.Touch, store.Peek} { // which marks no access to the tombstone
		if _, err := f.Read(s.Handle, how); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(s.Path)
	must(t, err)
	if over := info.ModTime(); over.Before(before.Add(time.Hour)) || over.After(after.Add(time.Hour+2*time.Second)) {
		t.Errorf("over at %v; it was made between %v and %v for an hour", over, before, after)
	}
	if info, err := os.Stat(f.Path(to)); err != nil || info.ModTime().After(time.Now()) {
		t.Errorf("the session itself: %v, %v", info.ModTime(), err)
	}
}

// TestMissingDirectory reads where nothing was stored yet: no directory is made.
func TestMissingDirectory(t *testing.T) {
	root := t.TempDir()
	h := store.Handle("test", store.NewID())
	for _, name := range []string{"Touch", "Peek", "Snapshot", "Update", "Move", "Move with grace"} {
		f := open(t, root+"/sessions", patient)
		if err := accesses[name](f, h); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v; want %v", name, err, store.ErrNotFound)
		}
	}
	if left, err := os.ReadDir(root); err != nil || len(left) > 0 {
		t.Errorf("made %v, %v", left, err)
	}
	f := open(t, root+"/a/b", patient)
	if _, err := f.Update(h, true, save(`{}`)); !errors.Is(err, store.ErrConfig) {
		t.Errorf("without a parent directory: %v; want %v", err, store.ErrConfig)
	}
}

// TestAsOtherUser runs this test binary's other tests as a user other than root, whose
// accesses the system checks.
func TestAsOtherUser(t *testing.T) {
	asRoot(t)
	dir, err := os.MkdirTemp("", "store-test-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	exe, err := os.Executable()
	must(t, err)
	text, err := os.ReadFile(exe)
	must(t, err)
	must(t, os.WriteFile(dir+"/store.test", text, 0o755))
	must(t, os.Mkdir(dir+"/tmp", 0o700))
	must(t, os.Chown(dir+"/tmp", stranger, stranger))

	cmd := exec.Command(dir+"/store.test", "-test.run", "^Test(File|Unsafe|Modes|Missing|Foreign|Tombstone|Nothing|Hold|Deleted|Moved|Renamed|Replaced)", "-test.v")
	cmd.Dir = dir + "/tmp"
	cmd.Env = append(os.Environ(), "TMPDIR="+dir+"/tmp", "HOME="+dir+"/tmp")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stranger, Gid: stranger}}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestFile ")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestForeign runs as a user who finds sessions that root has made. They are unsafe or
// out of reach, and never used.
func TestForeign(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root sees everything; TestAsOtherUser runs this")
	}
	for name, dir := range map[string]string{"readable": "/etc", "not readable": "/root", "anyone's": "/tmp"} {
		for access, try := range accesses {
			f := open(t, dir, patient)
			err := try(f, store.Handle("test", store.NewID()))
			if !errors.Is(err, store.ErrUnsafe) && !errors.Is(err, unix.EACCES) {
				t.Errorf("%s, %s: %v; want %v or %v", name, access, err, store.ErrUnsafe, unix.EACCES)
			}
		}
	}
}
