package cmd_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cgisession/cmd/cmdtest"
)

// configCases make a place for the configuration file, and return its path and, if it
// is refused, what is said of it.
var configCases = map[string]func(p logPlace) (path, refused string){
	"own file": func(p logPlace) (string, string) {
		return p.file(p.dir("etc", p.user, 0o700)+"/conf", p.user, 0o400), ""
	},
	"root's file that all read": func(p logPlace) (string, string) {
		return p.file(p.dir("etc", 0, 0o755)+"/conf", 0, 0o644), ""
	},
	"own file in what is shared": func(p logPlace) (string, string) {
		return p.file(p.dir("etc", 0, 0o777|fs.ModeSticky)+"/conf", p.user, 0o600), ""
	},
	"own file below what is shared": func(p logPlace) (string, string) {
		p.dir("up", 0, 0o777|fs.ModeSticky)
		return p.file(p.dir("up/etc", p.user, 0o755)+"/conf", p.user, 0o600), ""
	},
	"by a link of root's": func(p logPlace) (string, string) {
		p.file(p.dir("etc", 0, 0o755)+"/conf", 0, 0o644)
		return p.link("etc/conf", "link", 0), ""
	},
	"by links of root's, one in another directory": func(p logPlace) (string, string) {
		p.file(p.dir("etc", 0, 0o755)+"/conf", 0, 0o644)
		p.link("etc", "old", 0)
		return p.link(p.root+"/old/conf", "link", 0), ""
	},

	"another's file": func(p logPlace) (string, string) {
		return p.file(p.dir("etc", 0, 0o777|fs.ModeSticky)+"/conf", planter, 0o644), "belongs to user 1234"
	},
	"own file that all may write": func(p logPlace) (string, string) {
		return p.file(p.dir("etc", p.user, 0o700)+"/conf", p.user, 0o602), "mode 0602 lets other users write to it"
	},
	"own file that a group may write": func(p logPlace) (string, string) {
		return p.file(p.dir("etc", p.user, 0o700)+"/conf", p.user, 0o660), "mode 0660 lets other users write to it"
	},
	"root's file that all may write": func(p logPlace) (string, string) {
		return p.file(p.dir("etc", p.user, 0o700)+"/conf", 0, 0o666), "mode 0666 lets other users write to it"
	},
	"another's directory": func(p logPlace) (string, string) {
		return p.file(p.dir("etc", planter, 0o755)+"/conf", 0, 0o644), "directory etc belongs to user 1234"
	},
	"another's sticky directory": func(p logPlace) (string, string) {
		return p.file(p.dir("etc", planter, 0o777|fs.ModeSticky)+"/conf", 0, 0o644), "directory etc belongs to user 1234"
	},
	"another's directory further up": func(p logPlace) (string, string) {
		p.dir("up", planter, 0o755)
		return p.file(p.dir("up/etc", 0, 0o755)+"/conf", 0, 0o644), "directory up belongs to user 1234"
	},
	"a directory that all may write": func(p logPlace) (string, string) {
		return p.file(p.dir("etc", 0, 0o777)+"/conf", 0, 0o644), "mode 0777 of directory etc lets other users write"
	},
	"a directory further up that a group may write": func(p logPlace) (string, string) {
		p.dir("up", 0, 0o775)
		return p.file(p.dir("up/etc", 0, 0o755)+"/conf", 0, 0o644), "mode 0775 of directory up lets other users write"
	},
	"another's link": func(p logPlace) (string, string) {
		p.file(p.dir("etc", 0, 0o755)+"/conf", 0, 0o644)
		p.dir("shared", 0, 0o777|fs.ModeSticky)
		return p.link("../etc/conf", "shared/link", planter), "symbolic link link belongs to user 1234"
	},
	"own link to another's file": func(p logPlace) (string, string) {
		p.file(p.dir("etc", 0, 0o777|fs.ModeSticky)+"/conf", planter, 0o644)
		return p.link("etc/conf", "link", p.user), "belongs to user 1234"
	},
	"own link to nowhere": func(p logPlace) (string, string) {
		return p.link("nowhere", "link", p.user), "no such file or directory"
	},
	"own link to itself": func(p logPlace) (string, string) {
		return p.link("link", "link", p.user), "too many levels of symbolic links"
	},
	"no file": func(p logPlace) (string, string) {
		return p.dir("etc", 0, 0o755) + "/conf", "no such file or directory"
	},
	"no directory": func(p logPlace) (string, string) {
		return p.root + "/etc/conf", "no such file or directory"
	},
	"a file on the way": func(p logPlace) (string, string) {
		return p.file(p.dir("etc", 0, 0o755)+"/conf", 0, 0o644) + "/conf", "not a directory"
	},
	"a directory": func(p logPlace) (string, string) {
		return p.dir("etc", 0, 0o755), "not a regular file"
	},
	"a FIFO that nobody writes": func(p logPlace) (string, string) {
		path := p.root + "/fifo"
		must(p.t, syscall.Mkfifo(path, 0o600))
		must(p.t, os.Chown(path, p.user, p.user))
		return path, "not a regular file"
	},
	"too large": func(p logPlace) (string, string) {
		path := p.file(p.dir("etc", 0, 0o755)+"/conf", 0, 0o644)
		must(p.t, os.Truncate(path, 1<<20+1))
		return path, "larger than 1048576 bytes"
	},
	"/dev/null": func(p logPlace) (string, string) { return "/dev/null", "not a regular file" },
}

// A configuration file that another user may have written stops every verb, for each
// user who calls.
func TestConfigPlaces(t *testing.T) {
	needRoot(t)
	bin := reachable(t)
	for name, set := range configCases {
		for _, user := range []int{other, 0} {
			t.Run(fmt.Sprintf("%s/user %d", name, user), func(t *testing.T) {
				t.Parallel()
				p := logPlace{t, user, open(t)}
				path, refused := set(p)
				site := in(p.dir("site", user, 0o700)).with("CGISESSION_CONFIG=" + path)
				for _, args := range []argv{{"load"}, {"list"}, {"doctor"}, {"config"}} {
					got := cmdtest.Finish(t, asUser(site.Command(bin, args...), user))
					checkRefused(t, got, path, refused)
				}
			})
		}
	}
}

// checkRefused wants a call that goes well or, if the file is refused, exit code 78.
func checkRefused(t *testing.T, got cmdtest.Ended, path, refused string) {
	t.Helper()
	if refused == "" {
		if got.Code != 0 || got.Stderr != "" {
			t.Errorf("%+v", got)
		}
		return
	}
	if got.Code != 78 || got.Stdout != "" || strings.Count(got.Stderr, "\n") != 1 ||
		!strings.Contains(got.Stderr, ": configuration file "+path+": ") || !strings.Contains(got.Stderr, refused) {
		t.Errorf("%+v, want %q", got, refused)
	}
}

// The file of one user is refused by another, and by root, who could be led elsewhere.
func TestConfigOfAnotherUser(t *testing.T) {
	needRoot(t)
	bin := reachable(t)
	p := logPlace{t, other, open(t)}
	path := p.file(p.dir("home", other, 0o755)+"/conf", other, 0o644)
	for user, refused := range map[int]string{other: "", 0: "directory home belongs to user", planter: "directory home belongs to user"} {
		c := in(p.dir(fmt.Sprint("site", user), user, 0o700)).Command(bin, "load", "--config", path)
		checkRefused(t, cmdtest.Finish(t, asUser(c, user)), path, refused)
	}
}

// A jail is a directory that a process sees as the root of the file system, so that it
// has an /etc of its own.
type jail struct {
	*testing.T
	logPlace
}

func newJail(t *testing.T) jail {
	t.Helper()
	needRoot(t)
	p := logPlace{t, 0, open(t)}
	p.dir("etc", 0, 0o755)
	p.dir("tmp", 0, 0o777|fs.ModeSticky)
	must(t, exec.Command("cp", cmdtest.Program, p.root+"/cgisession").Run())
	return jail{t, p}
}

// configure writes the jail's /etc/cgisession.conf.
func (j jail) configure(text string) string {
	j.Helper()
	path := j.root + "/etc/cgisession.conf"
	must(j.T, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// call runs the program as a user with an environment of its own, as suEXEC does.
func (j jail) call(user int, env []string, args ...string) cmdtest.Ended {
	j.Helper()
	c := exec.Command("/cgisession", args...)
	c.Dir, c.Env = "/", append([]string{"GATEWAY_INTERFACE=CGI/1.1"}, env...)
	c.SysProcAttr = &syscall.SysProcAttr{
		Chroot: j.root, Credential: &syscall.Credential{Uid: uint32(user), Gid: uint32(user)},
	}
	return cmdtest.Finish(j.T, c)
}

// Under suEXEC the environment says nothing of the site. Each user's scripts have that
// user's directory all the same.
func TestConfigWithoutEnvironment(t *testing.T) {
	j := newJail(t)
	must(t, os.MkdirAll(j.root+"/var/lib", 0o755))
	j.dir("var/lib/cgisession", 0, 0o733|fs.ModeSticky)
	j.configure("data-dir = /var/lib/cgisession/%u\ncookie-name = everyone\n[shop]\ncookie-name = shop\n")
	for _, user := range []int{webUser, other} {
		got := j.call(user, nil, "load")
		if got.Code != 0 || !strings.HasPrefix(got.Stdout, "Set-Cookie: everyone=") {
			t.Errorf("user %d: %+v", user, got)
		}
		got = j.call(user, nil, "load", "--site", "shop")
		if got.Code != 0 || !strings.HasPrefix(got.Stdout, "Set-Cookie: shop=") {
			t.Errorf("user %d: %+v", user, got)
		}
		found, _ := filepath.Glob(fmt.Sprintf("%s/var/lib/cgisession/%d/??/*", j.root, user))
		if len(found) != 2 {
			t.Errorf("user %d has %q", user, found)
		}
	}
	if left, _ := filepath.Glob(j.root + "/tmp/*"); left != nil {
		t.Errorf("sessions in %q", left)
	}
	// In a variable or a flag, %u is two characters.
	got := j.call(0, []string{"CGISESSION_DATA_DIR=/tmp/%u"}, "load")
	if _, err := os.Stat(j.root + "/tmp/%u"); err != nil || got.Code != 0 {
		t.Errorf("%v, %+v", err, got)
	}
}

// The usual file may be absent. Any other fault of it, and each fault of a named file, is an
// error.
func TestConfigAbsent(t *testing.T) {
	j := newJail(t)
	if got := j.call(other, nil, "load"); got.Code != 0 || got.Stderr != "" {
		t.Errorf("absent: %+v", got)
	}
	const usual = "/etc/cgisession.conf"
	path := j.configure("cookie-name = everyone\n")
	must(t, os.Chmod(path, 0o600))
	checkRefused(t, j.call(other, nil, "load"), usual, "permission denied")
	for _, args := range []argv{{"help"}, {"version"}, {"secret"}, {"load", "--help"}, {"load", "--config", "none"}} {
		if got := j.call(other, nil, args...); got.Code != 0 || got.Stderr != "" {
			t.Errorf("%q reads it: %+v", args, got)
		}
	}
	if got := j.call(other, []string{"CGISESSION_CONFIG=none"}, "load"); got.Code != 0 {
		t.Errorf("none: %+v", got)
	}
	must(t, os.Chmod(path, 0o666))
	checkRefused(t, j.call(other, nil, "load"), usual, "lets other users write")
	must(t, os.Remove(path))
	must(t, os.Mkdir(path, 0o755))
	checkRefused(t, j.call(other, nil, "load"), usual, "not a regular file")
	must(t, os.Remove(path))
	must(t, os.Symlink("nowhere", path))
	checkRefused(t, j.call(other, nil, "load"), usual, "no such file")
	must(t, os.Remove(path))
	must(t, os.Chmod(j.root+"/etc", 0o700))
	checkRefused(t, j.call(other, nil, "load"), usual, "permission denied")
	must(t, os.Remove(j.root+"/etc"))
	if got := j.call(other, nil, "load"); got.Code != 0 || got.Stderr != "" {
		t.Errorf("no /etc: %+v", got)
	}
}

// Root reads a file that the owner of the data directory could not, and then becomes
// that owner.
func TestConfigOfOperator(t *testing.T) {
	j := newJail(t)
	j.dir("sessions", webUser, 0o700)
	must(t, os.Chmod(j.configure("data-dir = /sessions\ntimeout = 1h\n"), 0o600))
	if got := j.call(webUser, []string{"CGISESSION_CONFIG=none", "CGISESSION_DATA_DIR=/sessions"}, "load"); got.Code != 0 {
		t.Fatalf("%+v", got)
	}
	got := j.call(0, nil, "cleanup")
	if got.Code != 0 || !strings.HasPrefix(got.Stdout, "seen 1,") {
		t.Errorf("%+v", got)
	}
}

// The verb config shows the jail's file, with the lines.
func TestConfigVerb(t *testing.T) {
	j := newJail(t)
	j.configure("data-dir = /tmp/%u\n\n# idle\ntimeout = 30m\n[shop]\ncookie-name = shop\n")
	got := j.call(other, nil, "config", "--site", "shop")
	for _, line := range []string{
		fmt.Sprintf("data-dir /tmp/%d /etc/cgisession.conf:1", other), "timeout 30m /etc/cgisession.conf:4",
		"cookie-name shop /etc/cgisession.conf:6", "config /etc/cgisession.conf default", "site shop --site",
	} {
		if !strings.Contains("\n"+got.Stdout, "\n"+line+"\n") {
			t.Errorf("no %q in %+v", line, got)
		}
	}
	if left, _ := filepath.Glob(j.root + "/tmp/*"); left != nil {
		t.Errorf("it makes %q", left)
	}
}

// configExample returns the file that the manual shows.
func configExample(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("manual/cgisession.conf.5.md")
	must(t, err)
	_, text, ok := strings.Cut(string(page), "\n```conf\n")
	if text, _, _ = strings.Cut(text, "```\n"); !ok || text == "" {
		t.Fatal("the page has no example")
	}
	return text
}

// The manual's example works word for word, for two users who may not read each other's
// files.
func TestConfigExample(t *testing.T) {
	j := newJail(t)
	j.dir("var", 0, 0o755)
	j.dir("var/lib", 0, 0o755)
	j.dir("var/lib/cgisession", 0, 0o733|fs.ModeSticky)
	j.dir("etc/cgisession", 0, 0o755)
	j.configure(configExample(t))
	for _, user := range []int{webUser, other} {
		path := j.file(fmt.Sprintf("%s/etc/cgisession/%d.key", j.root, user), user, 0o600)
		must(t, os.WriteFile(path, []byte(j.call(0, nil, "secret").Stdout), 0o600))
		for _, c := range []struct{ site, line string }{
			{"", `Set-Cookie: cgisession_id=`}, {"shop", `Set-Cookie: __Host-shop=`}, {"wiki", `Set-Cookie: wiki=`},
		} {
			env := []string{"HTTPS=on"}
			if c.site != "" {
				env = append(env, "CGISESSION_SITE="+c.site)
			}
			got := j.call(user, env, "load")
			if got.Code != 0 || !strings.HasPrefix(got.Stdout, c.line) {
				t.Errorf("user %d, site %q: %+v", user, c.site, got)
			}
			signed := strings.Contains(strings.Split(got.Stdout, ";")[0], ".")
			if lasting := strings.Contains(got.Stdout, "Max-Age=2592000"); signed != (c.site == "shop") || lasting != (c.site == "wiki") {
				t.Errorf("site %q: %s", c.site, got.Stdout)
			}
			info := j.call(user, append(env, "HTTP_COOKIE="+strings.TrimPrefix(strings.Split(got.Stdout, ";")[0], "Set-Cookie: ")), "info")
			if !strings.Contains(info.Stdout, fmt.Sprintf("/var/lib/cgisession/%d/", user)) {
				t.Errorf("user %d, site %q: %+v", user, c.site, info)
			}
		}
	}
}
