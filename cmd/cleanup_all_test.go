package cmd_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"cgisession/cmd/cmdtest"
)

// A site is a directory of all users, and the file that names it.
type siteOfAll struct {
	request
	users string
}

// newSiteOfAll makes the site with n old sessions of user 33 in it.
func newSiteOfAll(t *testing.T, n int) siteOfAll {
	t.Helper()
	needRoot(t)
	r := givenAway(t, n, webUser, webGroup)
	users := r.Dir + "/users"
	must(t, os.Mkdir(users, 0o700))
	must(t, os.Chmod(users, 0o733|os.ModeSticky))
	must(t, os.Rename(r.Dir+"/sessions", users+"/33"))
	must(t, os.WriteFile(r.Dir+"/conf", []byte("data-dir = "+users+"/%u\ntimeout = 1h\n"), 0o644))
	return siteOfAll{request{cmdtest.Request{Env: []string{"CGISESSION_CONFIG=" + r.Dir + "/conf"}}}, users}
}

// The child that cleans a directory has nothing of root: no ids, no descriptors beside
// its own, no terminal. If the parent is terminated, so is the child, and the next call
// goes on.
func TestCleanAllChild(t *testing.T) {
	needStrace(t)
	s := newSiteOfAll(t, 2*moreThanHalfway)
	secret, err := os.Open("/etc/shadow")
	must(t, err)
	defer secret.Close()
	c := s.Command(cmdtest.Program, "cleanup", "--all")
	c.ExtraFiles = []*os.File{secret, secret}
	got := stoppedAt(t, "unlinkat", 10, func(pid int) {
		proc := fmt.Sprintf("/proc/%d/", pid)
		for line, want := range map[string]string{"Uid": "33 33 33 33", "Gid": "33 33 33 33", "Groups": "33", "CapPrm": none64} {
			if has := credentials(t, proc+"status")[line]; has != want {
				t.Errorf("%s is %q, want %q", line, has, want)
			}
		}
		if has := credentials(t, proc+"status"); has["NSsid"] != has["Tgid"] {
			t.Errorf("process %s is in session %s", has["Tgid"], has["NSsid"])
		}
		checkDescriptors(t, proc+"fd", s.users+"/33")
		parent, err := strconv.Atoi(credentials(t, proc+"status")["PPid"])
		must(t, err)
		must(t, syscall.Kill(parent, syscall.SIGTERM))
		cmdtest.Until(t, "signal to the child", func() bool {
			pending, err := strconv.ParseUint(credentials(t, proc+"status")["ShdPnd"], 16, 64)
			must(t, err)
			return pending&(1<<(syscall.SIGTERM-1)) != 0
		})
	}, c)
	if got.Code != 0 || !strings.HasPrefix(got.Stdout, s.users+"/33: seen ") || !strings.HasSuffix(got.Stdout, ", stopped early\n") {
		t.Errorf("terminated: %+v", got)
	}
	if got := s.Call(t, "cleanup", "--all"); got.Code != 0 || !strings.HasSuffix(got.Stdout, ", done\n") {
		t.Errorf("the next: %+v", got)
	}
	if left, _ := filepath.Glob(s.users + "/33/??/*"); len(left) != moreThanHalfway {
		t.Errorf("%d sessions are left", len(left))
	}
}

// A user who stops the child that cleans the user's directory does not keep the others
// from being cleaned, if the call has a limit.
func TestCleanAllStopped(t *testing.T) {
	cmdtest.Long(t)
	needStrace(t)
	t.Parallel()
	s := newSiteOfAll(t, 20)
	must(t, exec.Command("cp", "-a", s.users+"/33", s.users+"/7").Run())
	giveTo(t, 7, s.users+"/7")
	got := stoppedAt(t, "unlinkat", 1, func(pid int) {
		cmdtest.Until(t, "end of the child", func() bool { return syscall.Kill(pid, 0) != nil })
	}, s.Command(cmdtest.Program, "cleanup", "--all", "--max-time", "14s"))
	if got.Code != 74 || !strings.Contains(got.Stderr, ": its process: signal: killed\n") {
		t.Errorf("%+v", got)
	}
	left := func(user string) int {
		files, _ := filepath.Glob(s.users + "/" + user + "/??/*")
		return len(files)
	}
	if min(left("7"), left("33")) != 10 || max(left("7"), left("33")) <= 10 {
		t.Errorf("user 7 has %d sessions left, user 33 has %d; want 10 for one of them", left("7"), left("33"))
	}
}

// checkDescriptors wants a process to have open what is in the directory, pipes and
// /dev/null, and what the system makes itself.
func checkDescriptors(t *testing.T, fds, dir string) {
	t.Helper()
	names, err := os.ReadDir(fds)
	must(t, err)
	for _, name := range names {
		to, err := os.Readlink(fds + "/" + name.Name())
		must(t, err)
		isOwn := to == "/dev/null" || strings.HasPrefix(to, "pipe:") || strings.HasPrefix(to, "anon_inode:") ||
			to == dir || strings.HasPrefix(to, dir+"/") || strings.HasPrefix(to, "/sys/fs/cgroup/") // the Go runtime's
		if !isOwn {
			t.Errorf("it has %s", to)
		}
	}
}

// A child opens nothing of its directory before it is the owner.
func TestCleanAllOpensLater(t *testing.T) {
	needStrace(t)
	s := newSiteOfAll(t, 4)
	trace := filepath.Join(t.TempDir(), "trace")
	got := cmdtest.Finish(t, as(t, s.Command(cmdtest.Program, "cleanup", "--all"),
		"strace", "-f", "-qq", "-o", trace, "-e", "trace=openat,setreuid,execve"))
	text, err := os.ReadFile(trace)
	must(t, err)
	_, child, executed := strings.Cut(string(text), `execve("/proc/self/exe"`)
	before, after, became := strings.Cut(child, "setreuid(33, 33)")
	if got.Code != 0 || !executed || !became || !strings.Contains(before, `"--owner=33:33"`) || !strings.Contains(after, s.users) || strings.Contains(before, s.users) {
		t.Errorf("%+v\n%s", got, text)
	}
}

// A user who exchanges the directory while it is cleaned reaches no sessions of others,
// and no files of root's.
func TestCleanAllExchanged(t *testing.T) {
	s := newSiteOfAll(t, 10)
	own, away := s.users+"/7", s.users+"/away"
	victim := filepath.Dir(s.users) + "/victim"
	for _, dir := range []string{own, victim} {
		must(t, exec.Command("cp", "-a", s.users+"/33", dir).Run())
	}
	giveTo(t, 7, own)
	before := listing(t, victim)
	stop := make(chan struct{})
	over := make(chan struct{})
	go func() {
		defer close(over)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if os.Rename(own, away) == nil {
				os.Symlink([]string{victim, s.users + "/33", "/"}[i%3], own)
				os.Remove(own)
				os.Rename(away, own)
			}
		}
	}()
	for range cmdtest.Full(5, 50) {
		s.Call(t, "cleanup", "--all") // how that ends is the user's
		if after := listing(t, victim); after != before {
			t.Fatalf("the victim has\n%s\nnot\n%s", after, before)
		}
	}
	close(stop)
	<-over
}

// listing returns the names and owners of all files below a directory.
func listing(t *testing.T, dir string) string {
	t.Helper()
	text, err := exec.Command("find", dir, "-printf", "%P %U %m\n").Output()
	must(t, err)
	return string(text)
}

// A directory whose owner root cannot become does not keep the others from being cleaned.
func TestCleanAllOfNobody(t *testing.T) {
	s := newSiteOfAll(t, 2)
	must(t, os.Mkdir(s.users+"/4242", 0o700)) // of no user in /etc/passwd, and root's group
	must(t, os.Chown(s.users+"/4242", 4242, 0))
	got := s.Call(t, "cleanup", "--all")
	if got.Code != 77 || !strings.Contains(got.Stderr, "root cannot become its owner, user 4242: it is not in /etc/passwd") ||
		strings.Count(got.Stderr, "\n") != 1 {
		t.Errorf("%+v", got)
	}
	child := s.Call(t, "cleanup", "--config", "none", "--timeout", "1h", "--data-dir", s.users+"/33", "--owner", "7:7")
	if child.Code != 77 || !strings.Contains(child.Stderr, "belongs to user 33") && !strings.Contains(child.Stderr, "permission denied") {
		t.Errorf("the child of another user: %+v", child)
	}
	if left, _ := filepath.Glob(s.users + "/33/??/*"); len(left) != 1 {
		t.Errorf("%d sessions are left", len(left))
	}
}
