package cmd_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/cmd/cmdtest"
)

// A logPlace is where a log file is to be, and who calls the program.
type logPlace struct {
	t    *testing.T
	user int
	root string // a directory of root's that all can enter
}

// dir makes a directory that belongs to a user.
func (p logPlace) dir(name string, uid int, mode fs.FileMode) string {
	p.t.Helper()
	path := filepath.Join(p.root, name)
	must(p.t, os.Mkdir(path, 0o700))
	must(p.t, os.Chmod(path, mode))
	must(p.t, os.Chown(path, uid, uid))
	return path
}

// file makes a file that belongs to a user.
func (p logPlace) file(path string, uid int, mode fs.FileMode) string {
	p.t.Helper()
	must(p.t, os.WriteFile(path, nil, 0o600))
	must(p.t, os.Chown(path, uid, uid))
	must(p.t, os.Chmod(path, mode))
	return path
}

// link makes a symbolic link that belongs to a user.
func (p logPlace) link(target, name string, uid int) string {
	p.t.Helper()
	path := filepath.Join(p.root, name)
	must(p.t, os.Symlink(target, path))
	must(p.t, os.Lchown(path, uid, uid))
	return path
}

// logCases make a place for the log, and return its path and, if it is not to be
// written to, what is said of it. Those of other users need root to make them.
var logCases = map[string]func(p logPlace) (path, refused string){
	"own file": func(p logPlace) (string, string) {
		return p.file(p.dir("log", p.user, 0o700)+"/log", p.user, 0o600), ""
	},
	"own file that others read": func(p logPlace) (string, string) {
		return p.file(p.dir("log", p.user, 0o755)+"/log", p.user, 0o644), ""
	},
	"own file to be made": func(p logPlace) (string, string) {
		return p.dir("log", p.user, 0o750) + "/log", ""
	},
	"own file to be made in what is shared": func(p logPlace) (string, string) {
		return p.dir("log", 0, 0o777|fs.ModeSticky) + "/log", ""
	},
	"own file in what is shared": func(p logPlace) (string, string) {
		return p.file(p.dir("log", 0, 0o777|fs.ModeSticky)+"/log", p.user, 0o600), ""
	},
	"own file in what a group shares": func(p logPlace) (string, string) {
		return p.file(p.dir("log", p.user, 0o770|fs.ModeSticky)+"/log", p.user, 0o600), ""
	},
	"by a link of root's": func(p logPlace) (string, string) {
		p.file(p.dir("log", p.user, 0o700)+"/log", p.user, 0o600)
		return p.link("log", "link", 0) + "/log", ""
	},
	"by links of one's own": func(p logPlace) (string, string) {
		p.file(p.dir("log", p.user, 0o700)+"/log", p.user, 0o600)
		p.link(p.root+"/log/", "link", p.user)
		return p.link("../"+filepath.Base(p.root)+"/link", "second", p.user) + "/.//../log/log", ""
	},
	"a directory that cannot be read": func(p logPlace) (string, string) {
		return p.file(p.dir("log", p.user, 0o300)+"/log", p.user, 0o600), ""
	},
	"/dev/null": func(p logPlace) (string, string) { return "/dev/null", "" },

	"another's file": func(p logPlace) (string, string) {
		return p.file(p.dir("log", 0, 0o777|fs.ModeSticky)+"/log", planter, 0o600), "belongs to user 1234|permission denied"
	},
	"another's file that all may write": func(p logPlace) (string, string) {
		return p.file(p.dir("log", 0, 0o777|fs.ModeSticky)+"/log", planter, 0o666), "belongs to user 1234"
	},
	"own file that all may write": func(p logPlace) (string, string) {
		return p.file(p.dir("log", p.user, 0o700)+"/log", p.user, 0o622), "mode 0622 lets other users write to it"
	},
	"own file that a group may write": func(p logPlace) (string, string) {
		return p.file(p.dir("log", p.user, 0o700)+"/log", p.user, 0o660), "mode 0660 lets other users write to it"
	},
	"root's file that all may write": func(p logPlace) (string, string) {
		return p.file(p.dir("log", p.user, 0o700)+"/log", 0, 0o666), "mode 0666 lets other users write to it"
	},
	"own file of two names": func(p logPlace) (string, string) {
		path := p.file(p.dir("log", p.user, 0o700)+"/log", p.user, 0o600)
		must(p.t, os.Link(path, p.root+"/other"))
		return path, "has 2 hard links"
	},
	"another's directory": func(p logPlace) (string, string) {
		return p.file(p.dir("log", planter, 0o755)+"/log", p.user, 0o600), "directory log belongs to user 1234"
	},
	"another's directory that all may write": func(p logPlace) (string, string) {
		return p.dir("log", planter, 0o777|fs.ModeSticky) + "/log", "directory log belongs to user 1234"
	},
	"another's directory further up": func(p logPlace) (string, string) {
		p.dir("up", planter, 0o755)
		return p.file(p.dir("up/log", p.user, 0o700)+"/log", p.user, 0o600), "directory up belongs to user 1234"
	},
	"another's directory that the way leaves again": func(p logPlace) (string, string) {
		p.dir("up", planter, 0o755)
		p.file(p.dir("log", p.user, 0o700)+"/log", p.user, 0o600)
		return p.root + "/up/../log/log", "directory up belongs to user 1234"
	},
	"a directory that all may write": func(p logPlace) (string, string) {
		return p.file(p.dir("log", p.user, 0o777)+"/log", p.user, 0o600), "mode 0777 of directory log lets other users write"
	},
	"root's directory that a group may write": func(p logPlace) (string, string) {
		return p.file(p.dir("log", 0, 0o775)+"/log", p.user, 0o600), "mode 0775 of directory log lets other users write"
	},
	"a directory further up that all may write": func(p logPlace) (string, string) {
		p.dir("up", 0, 0o757)
		return p.file(p.dir("up/log", p.user, 0o700)+"/log", p.user, 0o600), "mode 0757 of directory up lets other users write"
	},
	"another's link to one's own file": func(p logPlace) (string, string) {
		p.file(p.dir("log", p.user, 0o700)+"/log", p.user, 0o600)
		p.dir("shared", 0, 0o777|fs.ModeSticky)
		return p.link("../log", "shared/link", planter) + "/log", "symbolic link link belongs to user 1234"
	},
	"another's link behind one's own": func(p logPlace) (string, string) {
		p.file(p.dir("log", p.user, 0o700)+"/log", p.user, 0o600)
		p.dir("shared", 0, 0o777|fs.ModeSticky)
		p.link(p.root+"/log", "shared/his", planter)
		return p.link("shared/his", "own", p.user) + "/log", "symbolic link his belongs to user 1234"
	},
	"own link to the file": func(p logPlace) (string, string) {
		p.file(p.dir("log", p.user, 0o700)+"/log", p.user, 0o600)
		return p.link(p.root+"/log/log", "link", p.user), "too many levels of symbolic links"
	},
	"links in a ring": func(p logPlace) (string, string) {
		p.link("b", "a", p.user)
		return p.link("a", "b", p.user) + "/log", "too many levels of symbolic links"
	},
	"a file on the way": func(p logPlace) (string, string) {
		return p.file(p.dir("log", p.user, 0o700)+"/log", p.user, 0o600) + "/log", "not a directory"
	},
	"a directory": func(p logPlace) (string, string) {
		return p.dir("log", p.user, 0o700) + "/", "is a directory"
	},
	"another's FIFO": func(p logPlace) (string, string) {
		path := p.dir("log", 0, 0o777|fs.ModeSticky) + "/log"
		p.fifo(path)
		must(p.t, os.Chown(path, planter, planter))
		must(p.t, os.Chmod(path, 0o622))
		return path, "belongs to user 1234"
	},
	"a socket": func(p logPlace) (string, string) {
		path := p.dir("log", p.user, 0o700) + "/s"
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
		must(p.t, err)
		p.t.Cleanup(func() { l.Close() })
		must(p.t, os.Chown(path, p.user, p.user))
		return path, "no such device or address"
	},
}

// fifo makes a FIFO that belongs to the caller, and is read.
func (p logPlace) fifo(path string) *os.File {
	p.t.Helper()
	must(p.t, unix.Mkfifo(path, 0o600))
	must(p.t, os.Chown(path, p.user, p.user))
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
	must(p.t, err)
	p.t.Cleanup(func() { f.Close() })
	return f
}

// content returns what is in all files below the directory.
func content(t *testing.T, dir string) string {
	t.Helper()
	var all bytes.Buffer
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		fmt.Fprintf(&all, "%s: %q\n", path, text)
		return err
	}))
	return all.String()
}

// A log that others could have planted, or can write, gets no line; that is said
// in one line, once, and the request goes on. So it is for each user who calls,
// root as well, and for verbs of operators.
func TestLogPlaces(t *testing.T) {
	needRoot(t)
	bin := reachable(t)
	for name, set := range logCases {
		for _, user := range []int{other, 0} {
			t.Run(fmt.Sprintf("%s/user %d", name, user), func(t *testing.T) {
				t.Parallel()
				p := logPlace{t, user, open(t)}
				path, refused := set(p)
				site := in(p.dir("site", user, 0o700)).with("CGISESSION_LOG_FILE=" + path).with("CGISESSION_ADOPT_ID=" + cmdtest.Visitor)
				before := content(t, p.root)
				for _, args := range []argv{{"set", "a=1"}, {"set", "--adopt-id", "the-second-session", "a=1"}} {
					got := cmdtest.Finish(t, asUser(site.Command(bin, args...), user))
					p.check(got, path, refused)
				}
				if text := strings.Count(content(t, p.root), "event="); (refused == "" && path != "/dev/null") != (text == 2) {
					t.Errorf("%d lines in the log:\n%s\nbefore:\n%s", text, content(t, p.root), before)
				}
				// As root called for the owner, many events are one line.
				must(t, os.Chtimes(site.file(cmdtest.Visitor), time.Unix(1, 0), time.Unix(1, 0)))
				must(t, os.Chtimes(site.file("the-second-session"), time.Unix(1, 0), time.Unix(1, 0)))
				got := site.Call(t, "cleanup", "--timeout", "1h")
				if !strings.HasPrefix(got.Stdout, "seen 2, removed 2,") {
					t.Errorf("cleanup: %+v", got)
				}
				got.Stdout = "Set-Cookie"
				p.check(got, path, refused)
			})
		}
	}
}

func (p logPlace) check(got cmdtest.Ended, path, refused string) {
	p.t.Helper()
	if got.Code != 0 || !strings.Contains(got.Stdout, "Set-Cookie") {
		p.t.Errorf("the request fails: %+v", got)
	}
	if refused == "" {
		if got.Stderr != "" {
			p.t.Errorf("%+v", got)
		}
		return
	}
	said := false
	for _, text := range strings.Split(refused, "|") {
		said = said || strings.Contains(got.Stderr, text)
	}
	if !said || strings.Count(got.Stderr, "\n") != 1 || !strings.HasPrefix(got.Stderr, "cgisession: log file: open "+path+": ") {
		p.t.Errorf("%+v, want %q", got, refused)
	}
}

// A relative path begins in the working directory, whatever is above that; an
// absolute one has nothing to do with it.
func TestLogRelative(t *testing.T) {
	needRoot(t)
	bin := reachable(t)
	p := logPlace{t, other, open(t)}
	p.dir("up", planter, 0o777)
	work := p.dir("up/own", other, 0o700)
	shared := p.dir("shared", planter, 0o777)
	r := in(p.dir("site", other, 0o700))
	for _, c := range []struct{ dir, path, refused string }{
		{work, "log", ""},
		{work, "./log", ""},
		{work, "../own/log", "directory .. belongs to user 1234"},
		{shared, "log", "directory . belongs to user 1234"},
		{shared, p.root + "/site/log", ""},
	} {
		c1 := asUser(r.with("CGISESSION_LOG_FILE="+c.path).Command(bin, "load"), other)
		c1.Dir = c.dir
		p.check(cmdtest.Finish(t, c1), c.path, c.refused)
	}
	if n := strings.Count(content(t, p.root), "event="); n != 3 {
		t.Errorf("%d lines:\n%s", n, content(t, p.root))
	}
}

// fillPipe fills a pipe or a socket to the last byte, so that a writer would wait.
func fillPipe(t *testing.T, fd int) {
	t.Helper()
	must(t, unix.SetNonblock(fd, true))
	for _, piece := range []int{4096, 1} {
		for err := error(nil); err != unix.EAGAIN; {
			if _, err = unix.Write(fd, make([]byte, piece)); err != nil && err != unix.EAGAIN {
				t.Fatal(err)
			}
		}
	}
	must(t, unix.SetNonblock(fd, false))
}

// A FIFO whose reader does not read gets a line for as long as it has room; after
// that lines are dropped, which is said once, and no call waits.
func TestLogStuckFIFO(t *testing.T) {
	p := logPlace{t, os.Geteuid(), open(t)}
	r := plant(t, 500, all).with("CGISESSION_LOG_FILE=" + p.root + "/fifo")
	f := p.fifo(p.root + "/fifo")
	if got := r.Call(t, "load"); got.Code != 0 || got.Stderr != "" {
		t.Errorf("with room: %+v", got)
	}
	text := make([]byte, 1000)
	if n, _ := f.Read(text); !strings.Contains(string(text[:n]), `event="created"`) {
		t.Errorf("%q", text[:n])
	}
	fillPipe(t, int(f.Fd()))
	said := "cgisession: log file: write " + p.root + "/fifo: its reader does not keep up; the line is dropped\n"
	for _, args := range []argv{
		{"load"}, {"get", "--default", "0", "--id", nobody}, {"destroy", filepath.Base(r.planted(7))}, {"cleanup", "--timeout", "1h"},
	} {
		if got := r.Call(t, args...); got.Code != 0 || got.Stderr != said {
			t.Errorf("%q: %+v", args, got)
		}
	}
}

func socketPair(t *testing.T, kind int) (read, write *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, kind, 0)
	must(t, err)
	read, write = os.NewFile(uintptr(fds[0]), "read"), os.NewFile(uintptr(fds[1]), "write")
	t.Cleanup(func() { read.Close(); write.Close() })
	return read, write
}

// With room, the line is there.
func TestLogToStderr(t *testing.T) {
	r := begin(t, `{}`).client(nobody)
	for _, name := range []string{"-", "/dev/stderr", "/dev/fd/2", "/proc/self/fd/2"} {
		r := r.with("CGISESSION_LOG_FILE=" + name)
		got := r.Call(t, "get", "--default", "0")
		if got.Code != 0 || strings.Count(got.Stderr, "\n") != 1 || !strings.Contains(got.Stderr, `event="refused unknown id"`) {
			t.Errorf("%s, a pipe: %+v", name, got)
		}
		file := filepath.Join(t.TempDir(), "log")
		read, write := socketPair(t, unix.SOCK_STREAM)
		f, err := os.Create(file)
		must(t, err)
		for _, to := range []*os.File{f, write} {
			c := r.Command(cmdtest.Program, "get", "--default", "0")
			c.Stderr = to
			must(t, c.Run())
		}
		text, err := os.ReadFile(file)
		must(t, err)
		line := make([]byte, 1000)
		n, _ := read.Read(line)
		if strings.Count(string(text), "event=") != 1 || strings.Count(string(line[:n]), "event=") != 1 {
			t.Errorf("%s: %q in the file, %q in the socket", name, text, line[:n])
		}
		f.Close()
	}
}

// Calls at once make the log file in one piece, each with its line, though it is
// taken away all the time.
func TestLogMadeAtOnce(t *testing.T) {
	r := in(t.TempDir())
	log := r.Dir + "/log"
	for range cmdtest.Full(5, 50) {
		os.Remove(log)
		cmdtest.AtOnce(8, func(int) {
			if got := r.Call(t, "load", "--log-file", log); got.Code != 0 || got.Stderr != "" {
				t.Errorf("%+v", got)
			}
		})
		if text, err := os.ReadFile(log); err != nil || strings.Count(string(text), "event=\"created\"") != 8 {
			t.Errorf("%q, %v", text, err)
		}
	}
}
