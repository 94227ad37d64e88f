//go:build linux

package cmd_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"cgisession/cmd/cmdtest"
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
	if testing.Short() {
		t.Skip("-short: no power cuts")
	}
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
	return in(t.TempDir()).with("CGISESSION_DATA_DIR=" + d.mount + "/sessions")
}

// files returns the sessions' files on the disk that hold data.
func (d *disk) files(t *testing.T) []string {
	live, _ := in(d.mount).files(t)
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
				for range 6 {
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
	all.Go(func() { load.welcome(t) })
	enough := int64(40 + rand.IntN(200))
	for load.acknowledged.Load() < enough && !t.Failed() {
		unix.Nanosleep(&unix.Timespec{Nsec: 1e6}, nil)
	}
	load.stop.Store(true)
	if !d.dies() { // then the disk is copied, which takes a while
		all.Wait()
	}
	d.cut(t)
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
	welcomed     []string // ids of sessions that were made
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
		if got := l.with("CGISESSION_ADOPT_ID="+c.id).Give(t, data, "save"); got.Code != 0 {
			t.Fatalf("%+v", got)
		}
		l.counters = append(l.counters, c)
	}
	l.wandering = cmdtest.NewIDs(l.Call(t, "set", "wanders=yes").Stdout)
	if len(l.wandering) != 1 {
		t.Fatal("no session to move about")
	}
	return l
}

func (l *load) as(id string) request { return l.with("CGISESSION_ID=" + id) }

// acknowledge notes that a call ended well; else the load ends. It also ends at
// the cut: what ends well then, where a machine without power would stand still,
// proves nothing.
func (l *load) acknowledge(got cmdtest.Ended) bool {
	if got.Code != 0 || l.stop.Load() {
		return false
	}
	l.acknowledged.Add(1)
	return true
}

func (l *load) count(t *testing.T, c *counter) {
	for !l.stop.Load() {
		got := l.as(c.id).Call(t, "incr", "n")
		if !l.acknowledge(got) {
			return
		}
		c.n, _ = strconv.Atoi(strings.TrimSpace(got.Stdout))
	}
}

func (l *load) wander(t *testing.T) {
	for !l.stop.Load() {
		got := l.as(l.wandering[len(l.wandering)-1]).Call(t, "regenerate")
		if !l.acknowledge(got) {
			return
		}
		l.wandering = append(l.wandering, cmdtest.NewIDs(got.Stdout)...)
	}
}

func (l *load) logOut(t *testing.T) {
	for !l.stop.Load() {
		ids := cmdtest.NewIDs(l.Call(t, "set", "logged=in").Stdout)
		if len(ids) != 1 || !l.acknowledge(l.as(ids[0]).Call(t, "invalidate", "--expire")) {
			return
		}
		l.loggedOut = append(l.loggedOut, ids[0])
	}
}

// newcomer is what is stored in a new session.
const newcomer = `{"new":"comer"}`

func (l *load) welcome(t *testing.T) {
	for !l.stop.Load() {
		got := l.Give(t, newcomer, "set", "--stdin")
		if !l.acknowledge(got) {
			return
		}
		l.welcomed = append(l.welcomed, cmdtest.NewIDs(got.Stdout)...)
	}
}

// check checks what the restarted disk holds.
func (l *load) check(t *testing.T) {
	t.Helper()
	for _, c := range l.counters {
		got := l.as(c.id).Call(t, "get", "n")
		n, err := strconv.Atoi(strings.TrimSpace(got.Stdout))
		least := 0
		if l.durable {
			least = c.n
		}
		// The change under way when the power went may be there too.
		if got.Code != 0 || err != nil || n < least || n > c.n+1 {
			t.Errorf("a counter at %d, acknowledged at %d: %+v", n, c.n, got)
		}
		if c.large && l.durable && len(l.as(c.id).Call(t, "get", "--raw", "filling").Stdout) != 6001 {
			t.Error("a large session lost data")
		}
	}
	for _, id := range l.loggedOut {
		if got := l.as(id).Call(t, "get"); got.Code != 1 {
			t.Errorf("a session that was logged out is back: %+v", got)
		}
	}
	for _, id := range l.welcomed {
		got := l.as(id).Call(t, "get")
		missing := got.Code == 1 && !l.durable // it is younger than what the disk has
		if got.Stdout != newcomer+"\n" && !missing {
			t.Errorf("a new session: %+v", got)
		}
	}
	l.checkWandering(t)
	in(l.disk.mount).checkWhole(t, "power cut under load")
	t.Logf("%d changes, %d moves, %d log-outs, %d new sessions before the cut",
		l.acknowledged.Load(), len(l.wandering)-1, len(l.loggedOut), len(l.welcomed))
}

// checkWandering checks that the session is there once, under its last id, or
// under the one that it was to get when the power went.
func (l *load) checkWandering(t *testing.T) {
	t.Helper()
	last := len(l.wandering) - 1
	for _, id := range l.wandering[:last] {
		if got := l.as(id).Call(t, "get"); got.Code != 1 {
			t.Errorf("an id that was given up reaches a session: %+v", got)
		}
	}
	found := 0
	for _, path := range l.disk.files(t) {
		if strings.Contains(l.Call(t, "show", "--data", filepath.Base(path)).Stdout, "wanders") {
			found++
		}
	}
	if found != 1 {
		t.Errorf("the session that moved about is there %d times", found)
	}
}

// The power is cut right after each system call by which a victim changes or syncs
// something: strace kills it at the entry of the call that comes next, of whatever
// kind, so that nothing else happens in between. And it is cut right after the
// answer: what that reported is there then, with --durable all of it, and without
// it at least that a session ended or got another id.
func TestPowerCutAtEverySystemCall(t *testing.T) {
	needStrace(t)
	for _, kind := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(kind, func(t *testing.T) {
			d := newDisk(t, kind)
			cuts := 0
			for _, v := range victims() {
				if v.name == "cleanup" { // what it does not remove, the next one does
					continue
				}
				p := rehearse(t, v, "x")
				for _, at := range p.cutPoints() {
					cutAfter(t, d, p, at)
					cuts++
				}
				cutAtEnd(t, d, p, true)
				if v.commit[0] != "pwrite64" {
					cutAtEnd(t, d, p, false)
				}
			}
			if cuts == 0 {
				t.Error("the power was never cut")
			}
			t.Logf("%d cuts", cuts)
		})
	}
}

// A cutPoint is the Nth call of a kind, at which the victim is killed, and how
// many calls that change or sync something it has made by then.
type cutPoint struct {
	call       string
	n, changes int
}

// cutPoints are the calls that follow on one that changes or syncs something.
func (p prepared) cutPoints() (points []cutPoint) {
	seen := make(map[string]int)
	changes, due := 0, false
	for _, c := range p.calls {
		if seen[c.name]++; due {
			points = append(points, cutPoint{c.name, seen[c.name], changes})
		}
		if due = c.changes(); due {
			changes++
		}
	}
	return points
}

// changes reports whether the call may make a difference to the disk.
func (c traced) changes() bool {
	switch c.name {
	case "pwrite64", "fdatasync", "fsync", "ftruncate", "renameat", "renameat2", "unlinkat", "utimensat", "fchmod", "mkdirat":
		return true
	case "openat":
		return strings.Contains(c.args, "O_CREAT")
	}
	return false
}

// prepareOn puts the prepared session on the disk, for good, and returns the
// request of the victim and one that sees the same sessions.
func (d *disk) prepareOn(t *testing.T, p prepared) (r, sees request) {
	t.Helper()
	if err := os.RemoveAll(d.mount + "/sessions"); err != nil {
		t.Fatal(err)
	}
	sees = p.restoreIn(t, d.mount)
	unix.Sync()
	r = d.request(t)
	r.Env = append(r.Env, sees.Env...)
	return r, in(d.mount)
}

// maxKills bounds how often a victim is killed until it is at the right call:
// which calls it makes depends on its new, random id, and strace counts those of
// each thread for itself.
const maxKills = 10

// cutAfter cuts the power at a call, and checks that the session is as it was, or
// as it was to be.
func cutAfter(t *testing.T, d *disk, p prepared, at cutPoint) {
	t.Helper()
	where := fmt.Sprintf("power cut after change %d, at %s %d", at.changes, at.call, at.n)
	for range maxKills {
		r, sees := d.prepareOn(t, p)
		got, trace := r.injected(t, p.victim, at.call, fmt.Sprintf("signal=KILL:when=%d", at.n))
		changes := 0
		for _, c := range trace.calls {
			if c.changes() {
				changes++
			}
		}
		if got.Code != 128+9 || changes != at.changes {
			continue
		}
		d.cut(t)
		d.restart(t)
		p.checkState(t, sees, where, append(p.ended(), p.before))
		sees.checkWhole(t, p.name+": "+where)
		return
	}
	t.Errorf("%s: not killed there: %s", p.name, where)
}

// cutAtEnd cuts the power once the victim has answered, and checks that what it
// reported is there.
func cutAtEnd(t *testing.T, d *disk, p prepared, durable bool) {
	t.Helper()
	where := fmt.Sprintf("power cut after the answer, durable %v", durable)
	r, sees := d.prepareOn(t, p)
	if durable {
		r = r.with("CGISESSION_DURABLE=1")
	}
	c := r.Command(cmdtest.Program, p.args...)
	c.Stdin = strings.NewReader(p.stdin)
	got := cmdtest.Finish(t, c)
	d.cut(t)
	if got.Code != 0 {
		t.Fatalf("%s: %+v", p.name, got)
	}
	d.restart(t)
	if durable {
		p.checkState(t, sees, where, []state{p.done})
		if p.newID {
			p.checkPrinted(t, sees, where, got)
		}
	} else {
		p.checkState(t, sees, where, p.ended())
	}
	sees.checkWhole(t, p.name+": "+where)
}

// garbage finds what doctor says of a file that is damaged. One that was being
// made when the power went may be cut short: it holds no line, so that to all
// readers it is no session, as before it was made.
var garbage = regexp.MustCompile(`(?m)^problem +session .*$`)

const neverStored = "it was cut short, or the writer of its first version crashed"

// checkWhole checks that no file is garbage, and that the next request works.
func (r request) checkWhole(t *testing.T, where string) {
	t.Helper()
	if _, err := os.Lstat(r.Dir + "/sessions"); err == nil {
		doctor := r.Call(t, "doctor", "--deep")
		if !strings.Contains(doctor.Stdout, " read, ") {
			t.Errorf("%s: doctor has not read the sessions: %+v", where, doctor)
		}
		for _, line := range garbage.FindAllString(doctor.Stdout, -1) {
			if !strings.Contains(line, neverStored) {
				t.Errorf("%s: garbage: %s", where, line)
			}
		}
	}
	if got := r.with("CGISESSION_ADOPT_ID="+cmdtest.Visitor).Call(t, "set", "works=yes"); got.Code != 0 {
		t.Errorf("%s: the next request fails: %+v", where, got)
	}
}
