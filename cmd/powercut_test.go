//go:build linux

package cmd_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// A disk is a file system of its own, in a file on a loop device, whose power
// can be cut.
type disk struct {
	kind         string // ext4, xfs or btrfs
	image, mount string
	mounted      bool
}

// newDisk makes and mounts a file system, or skips the test.
func newDisk(t *testing.T, kind string) *disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a file system")
	}
	mkfs, err := exec.LookPath("mkfs." + kind)
	if err != nil {
		t.Skipf("mkfs.%s is not installed", kind)
	}
	dir := t.TempDir()
	d := &disk{kind: kind, image: dir + "/image", mount: dir + "/mount"}
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(d.image, 400<<20); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(d.mount, 0o700); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command(mkfs, "-q", d.image).CombinedOutput(); err != nil {
		t.Skipf("mkfs.%s: %v: %s", kind, err, text)
	}
	if text, err := d.tryMount(); err != nil {
		t.Skipf("cannot mount %s on a loop device: %v: %s", kind, err, text)
	}
	t.Cleanup(func() { d.unmount(t) })
	return d
}

func (d *disk) tryMount() ([]byte, error) {
	text, err := exec.Command("mount", "-o", "loop", d.image, d.mount).CombinedOutput()
	d.mounted = err == nil
	return text, err
}

func (d *disk) unmount(t *testing.T) {
	t.Helper()
	if !d.mounted {
		return
	}
	if text, err := exec.Command("umount", d.mount).CombinedOutput(); err != nil {
		t.Errorf("umount: %v: %s", err, text)
	}
	d.mounted = false
}

const (
	fsIocShutdown = 0x8004587d // FS_IOC_SHUTDOWN, _IOR('X', 125, __u32)
	noLogFlush    = 2          // what was not written is lost, the journal too
)

// dies reports whether the file system can be shut down as if the power was cut.
// Of one that cannot, the disk is copied as it is at the moment.
func (d *disk) dies() bool { return d.kind != "btrfs" }

// request returns a request with its sessions on the disk.
func (d *disk) request(t *testing.T) request {
	return request{dir: t.TempDir()}.with("CGISESSION_DATA_DIR=" + d.mount + "/sessions")
}

// files returns the sessions' files on the disk that hold data.
func (d *disk) files(t *testing.T) []string {
	live, _ := request{dir: d.mount}.files(t)
	return live
}

// cut cuts the power: of what the kernel has not written to the disk by now,
// nothing will be there.
func (d *disk) cut(t *testing.T) {
	t.Helper()
	dir, err := os.Open(d.mount)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if d.dies() {
		if err := unix.IoctlSetPointerInt(int(dir.Fd()), fsIocShutdown, noLogFlush); err != nil {
			t.Fatalf("FS_IOC_SHUTDOWN: %v", err)
		}
		return
	}
	if text, err := exec.Command("cp", "--sparse=always", d.image, d.image+".cut").CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, text)
	}
}

// restart mounts the disk again as it was when the power was cut.
func (d *disk) restart(t *testing.T) {
	t.Helper()
	d.unmount(t)
	if _, err := os.Stat(d.image + ".cut"); err == nil {
		if err := os.Rename(d.image+".cut", d.image); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := d.tryMount(); err != nil {
		t.Fatalf("mount: %v: %s", err, text)
	}
}

func TestPowerCut(t *testing.T) {
	for _, kind := range []string{"ext4", "xfs", "btrfs"} {
		for _, durable := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, durable %v", kind, durable), func(t *testing.T) {
				d := newDisk(t, kind)
				for range full(2, 6) {
					cutUnderLoad(t, d, durable)
				}
			})
		}
	}
}

// cutUnderLoad cuts the power while sessions are changed, made, moved and ended,
// and checks what is there afterwards.
func cutUnderLoad(t *testing.T, d *disk, durable bool) {
	t.Helper()
	if err := os.RemoveAll(d.mount + "/sessions"); err != nil {
		t.Fatal(err)
	}
	load := newLoad(t, d, durable)
	unix.Sync()
	var all sync.WaitGroup
	for _, c := range load.counters {
		all.Go(func() { load.count(t, c) })
	}
	all.Go(func() { load.wander(t) })
	all.Go(func() { load.logOut(t) })
	enough := int64(40 + rand.IntN(200))
	for load.acknowledged.Load() < enough && !t.Failed() {
		unix.Nanosleep(&unix.Timespec{Nsec: 1e6}, nil)
	}
	if !d.dies() { // then the disk is copied, which takes a while
		load.stop.Store(true)
		all.Wait()
	}
	d.cut(t)
	load.stop.Store(true)
	all.Wait()
	d.restart(t)
	load.check(t)
}

// A load is what goes on when the power is cut, and what was acknowledged.
type load struct {
	request
	disk         *disk
	durable      bool
	stop         atomic.Bool
	acknowledged atomic.Int64
	counters     []*counter
	wandering    []string // ids that one session had, the current one last
	loggedOut    []string // ids of sessions that were ended
}

// A counter is a session with a number that only one process at a time raises.
type counter struct {
	id    string
	large bool
	n     int
}

func newLoad(t *testing.T, d *disk, durable bool) *load {
	t.Helper()
	l := &load{request: d.request(t), disk: d, durable: durable}
	if durable {
		l.request = l.with("CGISESSION_DURABLE=1")
	}
	for i := range 4 {
		c := &counter{id: fmt.Sprintf("countercountercount%d", i), large: i == 3}
		data := `{"n":0}`
		if c.large {
			data = `{"n":0,"filling":"` + strings.Repeat("z", 6000) + `"}`
		}
		if got := l.with("CGISESSION_ADOPT_ID="+c.id).give(t, data, "save"); got.code != 0 {
			t.Fatalf("%+v", got)
		}
		l.counters = append(l.counters, c)
	}
	l.wandering = newIDs(l.call(t, "set", "wanders=yes").stdout)
	if len(l.wandering) != 1 {
		t.Fatal("no session to move about")
	}
	return l
}

func (l *load) as(id string) request { return l.with("CGISESSION_ID=" + id) }

// acknowledge notes that a call ended well; else the load ends.
func (l *load) acknowledge(got ended) bool {
	if got.code != 0 {
		return false
	}
	l.acknowledged.Add(1)
	return true
}

func (l *load) count(t *testing.T, c *counter) {
	for !l.stop.Load() {
		got := l.as(c.id).call(t, "incr", "n")
		if !l.acknowledge(got) {
			return
		}
		c.n, _ = strconv.Atoi(strings.TrimSpace(got.stdout))
	}
}

func (l *load) wander(t *testing.T) {
	for !l.stop.Load() {
		got := l.as(l.wandering[len(l.wandering)-1]).call(t, "regenerate")
		if !l.acknowledge(got) {
			return
		}
		l.wandering = append(l.wandering, newIDs(got.stdout)...)
	}
}

func (l *load) logOut(t *testing.T) {
	for !l.stop.Load() {
		ids := newIDs(l.call(t, "set", "logged=in").stdout)
		if len(ids) != 1 || !l.acknowledge(l.as(ids[0]).call(t, "invalidate", "--expire")) {
			return
		}
		l.loggedOut = append(l.loggedOut, ids[0])
	}
}

// check checks what the restarted disk holds.
func (l *load) check(t *testing.T) {
	t.Helper()
	for _, c := range l.counters {
		got := l.as(c.id).call(t, "get", "n")
		n, err := strconv.Atoi(strings.TrimSpace(got.stdout))
		least := 0
		if l.durable {
			least = c.n
		}
		// The change under way when the power went may be there too.
		if got.code != 0 || err != nil || n < least || n > c.n+1 {
			t.Errorf("a counter at %d, acknowledged at %d: %+v", n, c.n, got)
		}
		if c.large && l.durable && len(l.as(c.id).call(t, "get", "--raw", "filling").stdout) != 6001 {
			t.Error("a large session lost data")
		}
	}
	for _, id := range l.loggedOut {
		if got := l.as(id).call(t, "get"); got.code != 1 {
			t.Errorf("a session that was logged out is back: %+v", got)
		}
	}
	l.checkWandering(t)
	doctor := l.call(t, "doctor", "--deep")
	if strings.Contains(doctor.stdout, "no whole record") {
		t.Errorf("garbage: %s", doctor.stdout)
	}
	t.Logf("%d changes, %d moves, %d log-outs before the cut", l.acknowledged.Load(), len(l.wandering)-1, len(l.loggedOut))
}

// checkWandering checks that the session is there once, under its last id, or
// under the one that it was to get when the power went.
func (l *load) checkWandering(t *testing.T) {
	t.Helper()
	last := len(l.wandering) - 1
	for _, id := range l.wandering[:last] {
		if got := l.as(id).call(t, "get"); got.code != 1 {
			t.Errorf("an id that was given up reaches a session: %+v", got)
		}
	}
	found := 0
	for _, path := range l.disk.files(t) {
		if strings.Contains(l.call(t, "show", "--data", filepath.Base(path)).stdout, "wanders") {
			found++
		}
	}
	if found != 1 {
		t.Errorf("the session that moved about is there %d times", found)
	}
}

// The power is cut right after each system call that an acknowledged change may
// depend on.
func TestPowerCutAtEverySystemCall(t *testing.T) {
	needStrace(t)
	for _, kind := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(kind, func(t *testing.T) {
			d := newDisk(t, kind)
			cuts := 0
			for _, v := range victims() {
				if v.name == "cleanup" || full(0, 1) == 0 && !strings.HasPrefix(v.name, "regenerate") {
					continue
				}
				for _, call := range []string{"pwrite64", "fdatasync", "fsync", "renameat", "renameat2", "unlinkat"} {
					for n := 1; n <= maxCalls; n++ {
						if !cutAfter(t, d, v, call, n) {
							break
						}
						cuts++
					}
				}
			}
			if cuts == 0 {
				t.Error("the power was never cut")
			}
			t.Logf("%d cuts", cuts)
		})
	}
}

// cutAfter cuts the power after the Nth call of a kind, and checks that the
// session is as it was or as it was to be. It reports false if there is no Nth.
func cutAfter(t *testing.T, d *disk, v victim, call string, n int) bool {
	t.Helper()
	if err := os.RemoveAll(d.mount + "/sessions"); err != nil {
		t.Fatal(err)
	}
	r := d.request(t)
	if got := r.with("CGISESSION_ADOPT_ID="+visitor).give(t, before+`x"}`, "save"); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	unix.Sync()
	r = r.with("CGISESSION_ID=" + visitor)
	if got := r.injected(t, v, call, fmt.Sprintf("signal=KILL:when=%d", n)); got.code != 128+9 {
		return false
	}
	where := fmt.Sprintf("%s: power cut at %s %d", v.name, call, n)
	d.cut(t)
	d.restart(t)
	request{d.mount, r.env}.checkState(t, where, v, "x", true)
	if got := r.call(t, "get", "--default", "null"); got.code != 0 {
		t.Errorf("%s: the next request fails: %+v", where, got)
	}
	return true
}
