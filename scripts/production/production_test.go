// Package production tests what cgisession-operation(7) says: each file here is in it
// word for word, and is what these tests run, with the paths and the port of the test in
// it, by the programs of Debian's packages.
package production

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
)

// path is the PATH of the tests, before a machine's own directory.
var path = os.Getenv("PATH")

func TestMain(m *testing.M) {
	if os.Geteuid() == 0 && !isApart() && exec.Command("unshare", "--mount", "true").Run() == nil {
		os.Exit(runApart())
	}
	os.Exit(cmdtest.Run(m.Run, cmdtest.Script("../build"), cmdtest.Package("cgisession/scripts/cgiserver", "")))
}

// isApart reports whether /etc is a copy, so that the tests can have a configuration
// file of their own.
func isApart() bool { return os.Getenv("APART") != "" }

// runApart runs the tests in a mount namespace in which /etc is a copy.
func runApart() int {
	dir, err := os.MkdirTemp("", "etc")
	if err != nil {
		panic(err)
	}
	defer os.Remove(dir)
	c := exec.Command("unshare", append([]string{"--mount", "sh", "-c",
		`mount -t tmpfs tmpfs "$0" && cp -a /etc/. "$0" && chmod 755 "$0" && mount --bind "$0" /etc && exec "$@"`, dir}, os.Args...)...)
	c.Env = append(os.Environ(), "APART=yes")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.Run()
	return c.ProcessState.ExitCode()
}

// snippets are the files that the page shows, by their paths from here.
func snippets(t *testing.T) []string {
	t.Helper()
	here, err := filepath.Glob("*")
	if err != nil {
		t.Fatal(err)
	}
	here = slices.DeleteFunc(here, func(name string) bool {
		return name == "testdata" || slices.Contains([]string{".go", ".json", ".yml"}, filepath.Ext(name))
	})
	return append(here, "../cron/cgisession", "../cron/cgisession-stats", "../systemd/cgisession-cleanup.service", "../systemd/cgisession-cleanup.timer")
}

// blocks returns the pieces of code in the page, by their language.
func blocks(t *testing.T, language string) map[string]bool {
	t.Helper()
	shown := make(map[string]bool)
	page := read(t, "../../cmd/manual/cgisession-operation.7.md")
	for _, block := range regexp.MustCompile("(?ms)^```("+language+")\n(.*?)^```$").FindAllStringSubmatch(page, -1) {
		shown[block[2]] = true
	}
	return shown
}

// Each file is in the page, and each piece of code there is a file, but for those that
// have tests of their own.
func TestPage(t *testing.T) {
	shown := blocks(t, "[a-z]+")
	for _, name := range snippets(t) {
		text := read(t, name)
		if !shown[text] {
			t.Errorf("%s is not in the page as it is", name)
		}
		delete(shown, text)
	}
	for text := range blocks(t, "text") {
		delete(shown, text)
	}
	if !shown[examination] {
		t.Errorf("the page does not have\n%s", examination)
	}
	delete(shown, examination)
	for text := range shown {
		t.Errorf("the page has code that is no file here:\n%s", text)
	}
}

// What the page says for the configuration file is right there.
func TestPageConf(t *testing.T) {
	m := newMachine(t)
	for text := range blocks(t, "text") {
		if !strings.Contains(text, " = ") {
			continue
		}
		write(t, m.path("/tmp/conf"), text, 0o644)
		m.run(t, "cgisession", "config", "--config", m.path("/tmp/conf"))
		for _, section := range regexp.MustCompile(`(?m)^\[(.*)\]$`).FindAllStringSubmatch(text, -1) {
			found := m.run(t, "cgisession", "config", "--config", m.path("/tmp/conf"), "--site", section[1])
			if !strings.Contains(found, m.path("/tmp/conf")) {
				t.Errorf("section %s:\n%s", section[1], found)
			}
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, name, text string, mode fs.FileMode) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(name), 0o755)
	if err == nil {
		err = os.WriteFile(name, []byte(text), mode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// needs skips the test where one of the programs is not there.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("no %s here", name)
		}
	}
}

// needsRoot skips the test unless it can start what changes its user.
func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
}

// A machine is a directory that stands for the root directory: what the
// snippets name as /usr/local/bin and so on is in it.
type machine struct {
	root string
	port int // that stands for 80 and 443
}

// newMachine makes a machine with the program and the examples, on which
// setup.sh was run.
func newMachine(t *testing.T) *machine {
	t.Helper()
	needsRoot(t)
	if !isApart() {
		t.Skip("no mount namespace, so no /etc of its own")
	}
	root, err := os.MkdirTemp("", "machine")
	if err == nil {
		err = os.Chmod(root, 0o755) // for the web server's user
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	m := &machine{root: root}
	write(t, m.path("/usr/local/bin/cgisession"), read(t, cmdtest.Program), 0o755)
	for _, dir := range []string{"/usr/lib/cgi-bin", "/var/www/cgi-bin"} {
		write(t, m.path(dir+"/counter.sh"), read(t, "../examples/counter.sh"), 0o755)
	}
	for _, dir := range []string{"/run", "/etc", "/var/lib", "/var/log", "/tmp"} {
		if err := os.MkdirAll(m.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	os.Setenv("PATH", m.path("/usr/local/bin")+":"+path)
	m.bind(t, "/usr/local/bin")
	os.Remove(conf)
	m.run(t, "sh", m.install(t, "setup.sh"))
	return m
}

// conf is the configuration file. It is where the program looks for it; see runApart.
const conf = "/etc/cgisession.conf"

// bind puts a directory of the machine in the place that it stands for, for programs
// that were told nothing.
func (m *machine) bind(t *testing.T, dir string) {
	t.Helper()
	if text, err := exec.Command("mount", "--bind", m.path(dir), dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	t.Cleanup(func() { exec.Command("umount", "--lazy", dir).Run() })
}

// path returns where a path of the machine is.
func (m *machine) path(path string) string { return m.root + path }

// install copies a snippet, with the machine's paths and port, and returns
// where the copy is.
func (m *machine) install(t *testing.T, name string) string {
	t.Helper()
	text := regexp.MustCompile(`/(usr/local/bin|usr/lib|var/lib|var/log|var/www|etc/cgisession.key|run)\b`).ReplaceAllStringFunc(read(t, name), m.path)
	text = strings.ReplaceAll(text, "-p 80", "-p "+m.address())
	to := m.path("/installed/" + filepath.Base(name))
	write(t, to, text, 0o644)
	return to
}

func (m *machine) address() string { return cmdtest.Address(m.port) }

// environment is that of the machine's processes.
func (m *machine) environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + m.path("/tmp")}
}

// run runs a program to its end, which must be a good one, and returns what it
// prints.
func (m *machine) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Env = m.environment()
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil || stderr.Len() > 0 {
		t.Fatalf("%q: %v\n%s%s", c.Args, err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// sessions returns the files of the sessions.
func (m *machine) sessions(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(m.path("/var/lib/cgisession/*/??/*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// age makes all sessions look unused for so long.
func (m *machine) age(t *testing.T, unused time.Duration) {
	t.Helper()
	then := time.Now().Add(-unused)
	for _, file := range m.sessions(t) {
		if err := os.Chtimes(file, then, then); err != nil {
			t.Fatal(err)
		}
	}
}

// cron runs the command of a crontab's line, which must go well and print nothing:
// cron would send a message.
func (m *machine) cron(t *testing.T, name string) {
	t.Helper()
	if text, err := m.crontab(t, name).CombinedOutput(); err != nil || len(text) > 0 {
		t.Errorf("%v; it prints: %s", err, text)
	}
}

// crontab returns the command of a crontab's line, with the variables that it sets, as
// they stand there (crontab(5)).
func (m *machine) crontab(t *testing.T, name string) *exec.Cmd {
	t.Helper()
	table := read(t, m.install(t, name))
	lines := regexp.MustCompile(`(?m)^\*/[0-9]+ \* \* \* \* root (.+)$`).FindAllStringSubmatch(table, -1)
	variables := regexp.MustCompile(`(?m)^[A-Z]+=[^'" ].*$`).FindAllString(table, -1)
	if len(lines) != 1 || len(variables) == 0 || !strings.HasPrefix(variables[0], "PATH=") {
		t.Fatalf("the crontab has %d lines of the kind that is wanted, and sets %q", len(lines), variables)
	}
	if strings.Contains(lines[0][1], "%") {
		t.Error("cron makes a line feed of a percent sign (crontab(5))")
	}
	c := exec.Command("sh", "-c", lines[0][1])
	c.Env = append(m.environment(), variables...)
	return c
}

// count returns how often the log has an event.
func (m *machine) count(t *testing.T, event string) int {
	t.Helper()
	text, err := os.ReadFile(m.path("/var/log/cgisession/log"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Count(string(text), " event=\""+event+"\" ")
}

// owner returns whose a file is.
func owner(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	u, err := user.LookupId(strconv.Itoa(int(info.Sys().(*syscall.Stat_t).Uid)))
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}

// set-up makes what the web server's user alone can get at, beside the directories of
// other users, and keeps a key and a configuration file that are there.
func TestSetup(t *testing.T) {
	m := newMachine(t)
	www := m.path("/var/lib/cgisession/33")
	for path, want := range map[string]struct {
		mode  fs.FileMode
		owner string
	}{
		m.path("/var/lib/cgisession"): {fs.ModeDir | fs.ModeSticky | 0o733, "root"},
		www:                           {fs.ModeDir | 0o700, "www-data"},
		m.path("/var/log/cgisession"): {fs.ModeDir | 0o700, "www-data"},
		m.path("/etc/cgisession.key"): {0o600, "www-data"},
		conf:                          {0o644, "root"},
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want.mode || owner(t, path) != want.owner {
			t.Errorf("%s: %v, %s", path, info.Mode(), owner(t, path))
		}
	}
	write(t, conf, read(t, conf)+"[shop]\n", 0o644)
	before := read(t, m.path("/etc/cgisession.key")) + read(t, conf)
	m.run(t, "sh", m.path("/installed/setup.sh"))
	if read(t, m.path("/etc/cgisession.key"))+read(t, conf) != before {
		t.Error("a second set-up changes the key or the configuration")
	}
	m.cron(t, "../cron/cgisession")
	found := m.asUser(t, "www-data", "cgisession", "doctor", "--cookie-secure", "always", "--cookie-name", "__Host-id")
	if strings.Contains(found, "problem") || !strings.Contains(found, "configuration: "+conf) ||
		!strings.Contains(found, "directory: "+www+" belongs to this user alone") || strings.Contains(found, "; set ") {
		t.Errorf("doctor says:\n%s", found)
	}
}

// A directory of an earlier set-up, which belongs to one user, is not shared with all.
func TestSetupEarlier(t *testing.T) {
	m := newMachine(t)
	dir := m.path("/var/lib/cgisession")
	m.run(t, "sh", "-c", `rm -r "$1" && install -d -o www-data -m 700 "$1"`, "sh", dir)
	c := exec.Command("sh", m.path("/installed/setup.sh"))
	c.Env = m.environment()
	text, err := c.CombinedOutput()
	info, failed := os.Stat(dir)
	if err == nil || failed != nil || info.Mode() != fs.ModeDir|0o700 || !strings.Contains(string(text), "Move it to "+dir+"/33,") {
		t.Errorf("%v, %v: %s", err, info.Mode(), text)
	}
}

// asUser runs a program as a user, as run does.
func (m *machine) asUser(t *testing.T, who, name string, args ...string) string {
	t.Helper()
	u, err := user.Lookup(who)
	if err != nil {
		t.Skip(err)
	}
	options := []string{"--reuid=" + u.Uid, "--regid=" + u.Gid, "--clear-groups", name}
	return m.run(t, "setpriv", append(options, args...)...)
}

// exporter makes the directory of node_exporter, and a session to count, and
// returns where the numbers come to.
func (m *machine) exporter(t *testing.T) string {
	t.Helper()
	needs(t, "runuser")
	who, err := user.Lookup("prometheus")
	if err != nil {
		t.Skip(err)
	}
	uid, _ := strconv.Atoi(who.Uid)
	dir := m.path("/var/lib/prometheus/node-exporter")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, uid, -1); err != nil {
		t.Fatal(err)
	}
	m.asUser(t, "www-data", "cgisession", "load")
	return dir + "/cgisession.prom"
}

const oneLive = "\ncgisession_files{state=\"live\"} 1\n"

// The numbers come to where node_exporter reads them, in its format.
func TestStats(t *testing.T) {
	needs(t, "promtool")
	m := newMachine(t)
	numbers := m.exporter(t)
	for range 2 {
		m.cron(t, "../cron/cgisession-stats")
		if text := read(t, numbers); !strings.Contains(text, oneLive) {
			t.Errorf("the numbers are\n%s", text)
		}
	}
	if text := m.run(t, "sh", "-c", "promtool check metrics <"+numbers); text != "" {
		t.Error(text)
	}
	printed := m.asUser(t, "www-data", "cgisession", "stats", "--prometheus")
	if steady(printed) != steady(read(t, numbers)) {
		t.Errorf("it is not what stats prints:\n%s\n%s", printed, read(t, numbers))
	}
	if who := owner(t, numbers); who != "prometheus" {
		t.Errorf("they are %s's", who)
	}
}

// steady leaves out what time and other programs on the disk change.
func steady(numbers string) string {
	return regexp.MustCompile(`(?m)^cgisession_(free|counted)_.*`).ReplaceAllString(numbers, "")
}

// What the user of the exporter's directory plants there does not make root write
// elsewhere.
func TestStatsPlanted(t *testing.T) {
	m := newMachine(t)
	numbers := m.exporter(t)
	precious := m.path("/etc/precious")
	for _, attack := range []string{
		`ln -s "$2" "$1.new"`, `ln -s "$2" "$1.prom"`,
		`mkdir "$1.prom"; ln -s "$2" "$1.prom/cgisession.new"`, `ln -s /dev/full "$1.new"`,
	} {
		write(t, precious, "precious", 0o600)
		m.run(t, "find", filepath.Dir(numbers), "-mindepth", "1", "-delete")
		m.run(t, "runuser", "-u", "prometheus", "--", "sh", "-c", attack, "sh", strings.TrimSuffix(numbers, ".prom"), precious)
		m.crontab(t, "../cron/cgisession-stats").CombinedOutput() // how that ends is the exporter's
		if text := read(t, precious); text != "precious" {
			t.Errorf("%s: root's file is %q", attack, text)
		}
		if who := owner(t, precious); who != "root" {
			t.Errorf("%s: root's file is %s's", attack, who)
		}
	}
}

// Numbers that cannot be counted are not published, and the last ones stay.
func TestStatsFail(t *testing.T) {
	m := newMachine(t)
	numbers := m.exporter(t)
	fail := func(why string) {
		t.Helper()
		if err := os.Chmod(m.path("/var/lib/cgisession/33"), 0o777); err != nil {
			t.Fatal(err)
		}
		if text, err := m.crontab(t, "../cron/cgisession-stats").CombinedOutput(); err == nil || strings.Count(string(text), "\n") != 1 {
			t.Errorf("%s: %v: %s", why, err, text)
		}
		if err := os.Chmod(m.path("/var/lib/cgisession/33"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	fail("at first")
	if files, err := os.ReadDir(filepath.Dir(numbers)); err != nil || len(files) > 0 {
		t.Errorf("it publishes %v, %v", files, err)
	}
	m.cron(t, "../cron/cgisession-stats")
	fail("later")
	if text := read(t, numbers); !strings.Contains(text, oneLive) {
		t.Errorf("the numbers are\n%s", text)
	}
	if files, err := os.ReadDir(filepath.Dir(numbers)); err != nil || len(files) != 1 {
		t.Errorf("it leaves %v, %v", files, err)
	}
}

// The log is rotated while requests write to it, and loses no line of theirs.
func TestLogrotate(t *testing.T) {
	needs(t, "logrotate", "setpriv")
	m := newMachine(t)
	conf := m.install(t, "logrotate")
	const writers, rotations = 4, 4
	var calls [writers]atomic.Int64
	stop := make(chan struct{})
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					m.load(t)
					calls[i].Add(1)
				}
			}
		})
	}
	// atEase waits until no call is under way that began before: a log is not
	// compressed while who opened it under its old name still writes.
	atEase := func() {
		for i := range calls {
			for before, deadline := calls[i].Load(), time.Now().Add(time.Minute); calls[i].Load() < before+2; {
				if t.Failed() || time.Now().After(deadline) {
					t.Errorf("writer %d does not go on", i)
					return
				}
				time.Sleep(time.Millisecond)
			}
		}
	}
	for range rotations {
		atEase()
		m.run(t, "logrotate", "--force", "--state", m.path("/tmp/logrotate.status"), conf)
	}
	atEase()
	close(stop)
	all.Wait()
	made := 0
	for i := range calls {
		made += int(calls[i].Load())
	}
	logs, err := filepath.Glob(m.path("/var/log/cgisession/log*"))
	if err != nil || len(logs) != 1+rotations {
		t.Errorf("the logs are %q, %v", logs, err)
	}
	logged := make(map[string]bool)
	for _, log := range logs {
		for line := range strings.Lines(m.run(t, "zcat", "--force", log)) {
			if !regexp.MustCompile(`^time=\S+ event="created" handle=[0-9a-f]{64}\n$`).MatchString(line) {
				t.Errorf("%s has the line %q", log, line)
			}
			logged[line] = true
		}
	}
	if len(logged) != made {
		t.Errorf("%d calls, %d events in %d logs", made, len(logged), len(logs))
	}
	t.Logf("%d calls, %d logs", made, len(logs))
}

// load makes a session as the web server's user.
func (m *machine) load(t *testing.T) {
	t.Helper()
	c := exec.Command("setpriv", "--reuid=www-data", "--regid=www-data", "--clear-groups",
		"cgisession", "load")
	c.Env = m.environment()
	if text, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, text)
	}
}

// capabilities are what the service keeps of root's, as setpriv(1) names them.
const capabilities = "-all,+setuid,+setgid"

// The units are what systemd can load, and the service has no more than it needs.
func TestSystemd(t *testing.T) {
	needs(t, "systemd-analyze")
	m := newMachine(t)
	service := m.install(t, "../systemd/cgisession-cleanup.service")
	timer := m.install(t, "../systemd/cgisession-cleanup.timer")
	if text := m.run(t, "systemd-analyze", "verify", service, timer); text != "" {
		t.Error(text)
	}
	m.run(t, "systemd-analyze", "security", "--offline=true", "--threshold=20", service)

	// The command does what the crontab's does, with the capabilities of the service.
	command := regexp.MustCompile(`(?m)^ExecStart=(.+)$`).FindStringSubmatch(read(t, service))
	bounds := regexp.MustCompile(`(?m)^CapabilityBoundingSet=(.+)$`).FindStringSubmatch(read(t, service))
	if command == nil || bounds == nil || bounds[1] != "CAP_SETUID CAP_SETGID" {
		t.Fatal("no command, or other capabilities")
	}
	forAllUsers(t)
	m.asUser(t, "www-data", "cgisession", "load")
	m.asUser(t, "nobody", "cgisession", "load")
	m.age(t, time.Hour)
	cleanup := append([]string{"--no-new-privs", "--bounding-set", capabilities}, strings.Fields(command[1])...)
	for _, fewer := range []string{"-all,+setuid", "-all,+setgid"} {
		c := exec.Command("setpriv", append([]string{"--bounding-set", fewer}, strings.Fields(command[1])...)...)
		c.Env = m.environment()
		if text, err := c.CombinedOutput(); err == nil {
			t.Errorf("it needs no more than %s: %s", fewer, text)
		}
	}
	text := m.run(t, "setpriv", cleanup...)
	for _, user := range []string{"33", "65534"} {
		dir := m.path("/var/lib/cgisession/" + user)
		if !strings.Contains(text, dir+": seen 1, removed 1, ") {
			t.Error(text)
		}
		if info, err := os.Stat(dir + "/.cleanup"); err != nil || fmt.Sprint(info.Sys().(*syscall.Stat_t).Uid) != user {
			t.Errorf("%s: the service's files: %v, %v", dir, info, err)
		}
	}
}

// forAllUsers leaves what is one user's out of the configuration file.
func forAllUsers(t *testing.T) {
	t.Helper()
	write(t, conf, regexp.MustCompile(`(?m)^(secret|log)-file = .*\n`).ReplaceAllString(read(t, conf), ""), 0o644)
}

// The service's filter lets through all system calls that cleanup makes, and the
// service needs what it has beyond those of any other.
func TestSystemdFilter(t *testing.T) {
	needs(t, "systemd-analyze", "strace")
	m := newMachine(t)
	for range 50 {
		m.asUser(t, "www-data", "cgisession", "load")
	}
	m.age(t, time.Hour)
	trace := m.path("/tmp/trace")
	if text := m.run(t, "strace", "-f", "-qq", "-o", trace, "cgisession", "cleanup", "--all"); !strings.Contains(text, "removed 50,") {
		t.Fatal(text)
	}
	calls := make(map[string]bool)
	for _, found := range regexp.MustCompile(`(?m)^\d+ +([a-z0-9_]+)\(`).FindAllStringSubmatch(read(t, trace), -1) {
		calls[found[1]] = true
	}
	if !calls["unlinkat"] || !calls["flock"] || !calls["setreuid"] || !calls["capset"] {
		t.Fatalf("not the system calls of a cleanup: %v", calls)
	}
	allowed := make(map[string]bool)
	for _, line := range regexp.MustCompile(`(?m)^SystemCallFilter=(~?)(.+)$`).FindAllStringSubmatch(read(t, "../systemd/cgisession-cleanup.service"), -1) {
		for _, set := range strings.Fields(line[2]) {
			of := map[string]bool{set: true}
			if set[0] == '@' {
				of = systemCalls(t, m, set)
			}
			for call := range of {
				allowed[call] = line[1] == ""
			}
		}
	}
	for call := range calls {
		if !allowed[call] {
			t.Errorf("%s is not let through", call)
		}
	}
}

// systemCalls returns the system calls of a set of systemd's.
func systemCalls(t *testing.T, m *machine, set string) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	for line := range strings.Lines(m.run(t, "systemd-analyze", "syscall-filter", set)) {
		switch name := strings.TrimSpace(line); {
		case name == set, name == "", name[0] == '#':
		case name[0] == '@':
			for call := range systemCalls(t, m, name) {
				all[call] = true
			}
		default:
			all[name] = true
		}
	}
	return all
}
