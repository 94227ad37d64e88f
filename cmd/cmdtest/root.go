package cmdtest

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A Root is a root directory of its own: it holds what this machine's holds, and what
// changes there does not change here. So a package can be installed in it as on any
// machine. It has this machine's processes, devices and network.
type Root struct{ pid string }

// NewRoot returns a root directory that lasts as long as the test. It skips the test
// where there can be none, unless CI=true.
func NewRoot(t *testing.T) *Root {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: no root directory of its own")
	}
	// The mounts are of this process's namespace, and go with it.
	holder := exec.Command("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private",
		"sh", "-ec", mountRoot, "sh", t.TempDir())
	var messages strings.Builder
	holder.Stderr = &messages
	stdout, err := holder.StdoutPipe()
	if err == nil {
		err = holder.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		holder.Process.Kill()
		holder.Wait()
	})
	if line, _ := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		holder.Wait()
		if os.Getenv("CI") != "true" {
			t.Skipf("no root directory of its own: %s", messages.String())
		}
		t.Fatalf("no root directory of its own: %s", messages.String())
	}
	return &Root{strconv.Itoa(holder.Process.Pid)}
}

// No systemd is seen to run, whatever runs here, and the program is not installed.
const mountRoot = `
mount -t tmpfs none "$1"
mkdir "$1/changed" "$1/work" "$1/root"
mount -t overlay none -o lowerdir=/,upperdir="$1/changed",workdir="$1/work" "$1/root"
cd "$1/root"
mount --rbind /dev dev
mount --rbind /proc proc
mount -t tmpfs none run
mount -t tmpfs -o mode=1777 none tmp
mkdir run/lock
find etc usr/bin usr/libexec usr/local usr/share usr/lib/systemd var/lib var/log -maxdepth 4 -name '*cgisession*' \
	-prune -exec rm -rf {} +
exec chroot . sh -c 'echo ready; exec sleep infinity'`

// Path returns where a path in it is for this process.
func (r *Root) Path(path string) string { return filepath.Join("/proc", r.pid, "root", path) }

// Command returns a command that runs in it, as root, with little in its environment.
func (r *Root) Command(name string, args ...string) *exec.Cmd {
	c := exec.Command("nsenter", append([]string{"--target", r.pid, "--mount", "--root", "env", "--chdir=/", name}, args...)...)
	c.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}
	return c
}

// Run runs a command in it, which must end well, and returns what it prints.
func (r *Root) Run(t *testing.T, name string, args ...string) string {
	t.Helper()
	text, err := r.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, text)
	}
	return string(text)
}

// Read returns the text of a file in it.
func (r *Root) Read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(r.Path(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Write writes a file in it.
func (r *Root) Write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(r.Path(path), []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// Install installs a Debian package in it. That of a machine without documents would
// leave some out.
func (r *Root) Install(t *testing.T, deb string, options ...string) string {
	t.Helper()
	text, err := os.ReadFile(deb)
	if err != nil {
		t.Fatal(err)
	}
	r.Write(t, "/tmp/cgisession.deb", string(text), 0o644)
	return r.Run(t, "dpkg", append(append([]string{"--path-include=/usr/share/*"}, options...), "--install", "/tmp/cgisession.deb")...)
}
