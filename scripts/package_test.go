package scripts

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"cgisession/cmd/cmdtest"
)

// build builds the packages of a version into a directory. It needs modules that only
// packages need.
func build(t *testing.T, script, version, dir string, args ...string) {
	t.Helper()
	c := exec.Command(script, append(args, dir)...)
	c.Env = append(os.Environ(), "VERSION="+version, "SOURCE_DATE_EPOCH=1800000000", "GOFLAGS=-buildvcs=false")
	if text, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", c.Args, err, text)
	}
}

// needsCI skips a test that takes long, or needs programs that few machines have.
func needsCI(t *testing.T) {
	t.Helper()
	if os.Getenv("CI") != "true" {
		t.Skip("only with CI=true: it builds packages")
	}
}

var shared struct {
	sync.Once
	dir string
}

func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(shared.dir)
	os.Exit(code)
}

// packages returns the packages of this machine's architecture, by their formats.
func packages(t *testing.T) map[string]string {
	t.Helper()
	needsCI(t)
	shared.Do(func() {
		var err error
		if shared.dir, err = os.MkdirTemp("", "packages"); err != nil {
			t.Fatal(err)
		}
		build(t, "./package", "1.0", shared.dir)
	})
	return byFormat(t, shared.dir)
}

// byFormat returns the only package of each format in a directory.
func byFormat(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, file := range files {
		name := file.Name()
		format := strings.TrimPrefix(filepath.Ext(name), ".")
		if all[format] != "" {
			t.Fatalf("two packages of one format: %s", name)
		}
		all[format] = filepath.Join(dir, name)
	}
	return all
}

// run runs a program to its end, which must be a good one, and returns what it
// prints on standard output.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	text, err := c.Output()
	if err != nil {
		t.Fatalf("%q: %v\n%s%s", c.Args, err, text, stderr.String())
	}
	return string(text)
}

// unpack returns a directory with what a package installs.
func unpack(t *testing.T, format, file string) string {
	t.Helper()
	dir := t.TempDir()
	command := map[string]string{
		"deb": `dpkg-deb --extract "$1" "$2"`,
		"rpm": `rpm2cpio "$1" | { cd "$2" && cpio --quiet -idm --no-absolute-filenames; }`,
		"apk": `tar -C "$2" --warning=no-unknown-keyword -xzf "$1"`,
		"gz":  `tar -C "$2" --strip-components=1 -xpzf "$1"`,
	}[format]
	run(t, "sh", "-ec", command, "sh", file, dir)
	return dir
}

// installed are the files that each format installs, by the pattern of their paths.
var installed = []struct{ formats, path string }{
	{"deb rpm apk gz", "usr/bin/cgisession"},
	{"deb rpm apk gz", "usr/libexec/cgisession/cgisession-redis"},
	{"deb rpm apk gz", "usr/share/man/man1/cgisession.1.gz"},
	{"deb rpm apk gz", "usr/share/man/man5/cgisession.conf.5.gz"},
	{"deb rpm apk gz", "usr/share/man/man5/cgisession-file.5.gz"},
	{"deb rpm apk gz", "usr/share/man/man7/cgisession-locks.7.gz"},
	{"deb rpm apk gz", "usr/share/bash-completion/completions/cgisession"},
	{"deb", "usr/share/zsh/vendor-completions/_cgisession"},
	{"rpm apk gz", "usr/share/zsh/site-functions/_cgisession"},
	{"deb rpm apk gz", "usr/share/fish/vendor_completions.d/cgisession.fish"},
	{"deb rpm apk gz", "etc/cgisession.conf"},
	{"deb rpm apk gz", "etc/logrotate.d/cgisession"},
	{"deb rpm gz", "etc/cron.d/cgisession"},
	{"apk", "etc/periodic/15min/cgisession"},
	{"deb rpm gz", "usr/lib/systemd/system/cgisession-cleanup.service"},
	{"deb rpm gz", "usr/lib/systemd/system/cgisession-cleanup.timer"},
	{"deb rpm gz", "usr/lib/tmpfiles.d/cgisession.conf"},
	{"deb rpm apk gz", "usr/share/doc/cgisession/README.md"},
	{"deb rpm apk gz", "usr/share/doc/cgisession/copyright"},
	{"deb rpm apk gz", "usr/share/doc/cgisession/changelog.gz"},
	{"deb rpm apk gz", "usr/share/doc/cgisession/examples/login.sh"},
	{"deb rpm apk gz", "usr/share/doc/cgisession/production/lighttpd.conf"},
	{"deb", "usr/share/lintian/overrides/cgisession"},
}

// Each format has what belongs into it, and nothing that only this project needs.
func TestPackageFiles(t *testing.T) {
	all := packages(t)
	for _, format := range []string{"deb", "rpm", "apk", "gz"} {
		dir := unpack(t, format, all[format])
		for _, file := range installed {
			_, err := os.Stat(filepath.Join(dir, file.path))
			if wanted := slices.Contains(strings.Fields(file.formats), format); wanted != (err == nil) {
				t.Errorf("%s: %s: wanted: %v; %v", format, file.path, wanted, err)
			}
		}
		if text := run(t, "sh", "-c", `cd "$1"; find . -name '*_test.go' -o -name testdata -o -perm /022 ! -type l ! -path ./var/lib/cgisession ! -path .`, "sh", dir); text != "" {
			t.Errorf("%s: files for tests, or that others may write:\n%s", format, text)
		}
		for _, program := range []string{"usr/bin/cgisession", "usr/libexec/cgisession/cgisession-redis"} {
			if text := run(t, filepath.Join(dir, program), "version"); !strings.Contains(text, "1.0") {
				t.Errorf("%s: %s says version %s", format, program, text)
			}
		}
		if text, err := os.ReadFile(filepath.Join(dir, "etc/cgisession.conf")); err != nil ||
			!regexp.MustCompile(`(?m)^data-dir = /var/lib/cgisession/%u$`).Match(text) || !regexp.MustCompile(`(?m)^timeout = 30m$`).Match(text) {
			t.Errorf("%s: the configuration: %v\n%s", format, err, text)
		}
	}
	info, err := os.Stat(filepath.Join(unpack(t, "gz", all["gz"]), "var/lib/cgisession"))
	if err != nil || info.Mode() != os.ModeDir|os.ModeSticky|0o733 {
		t.Errorf("the sessions' directory in the .tar.gz: %v, %v", info, err)
	}
}

// Two builds in different directories are equal.
func TestPackageReproducible(t *testing.T) {
	first := packages(t)
	copied := t.TempDir()
	run(t, "cp", "-R", "../.", copied)
	os.RemoveAll(filepath.Join(copied, ".git"))
	out := t.TempDir()
	build(t, filepath.Join(copied, "scripts/package"), "1.0", out)
	second := byFormat(t, out)
	if len(first) != 4 || len(second) != 4 {
		t.Errorf("packages: %v, %v", first, second)
	}
	for format, file := range first {
		if filepath.Base(file) != filepath.Base(second[format]) || contents(t, file) != contents(t, second[format]) {
			t.Errorf("%s and %s differ", file, second[format])
		}
	}
}

func contents(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Without VERSION and SOURCE_DATE_EPOCH git gives both, in each format's own order.
func TestPackageVersion(t *testing.T) {
	needsCI(t)
	project := t.TempDir()
	run(t, "cp", "-R", "../.", project)
	os.RemoveAll(filepath.Join(project, ".git"))
	// What is built is of no matter here.
	for name, text := range map[string]string{
		"scripts/build": "#!/bin/sh\n[ \"$1\" != --redis ] || shift\n: >\"$1\"\n",
	} {
		if err := os.WriteFile(filepath.Join(project, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	git := func(args ...string) {
		c := exec.Command("git", append([]string{"-C", project, "-c", "user.name=tester", "-c", "user.email=tester@localhost"}, args...)...)
		c.Env = append(os.Environ(), "GIT_COMMITTER_DATE=2026-12-01T10:20:30Z")
		if text, err := c.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, text)
		}
	}
	git("init", "--quiet")
	git("add", ".")
	git("commit", "--quiet", "--message", "all")
	commit := strings.TrimSpace(run(t, "git", "-C", project, "rev-parse", "--short", "HEAD"))
	var last string
	for _, v := range []struct{ tag, deb, apk string }{
		{"", "0.0~git20261201.1020." + commit, "0.0_git202612011020-r0"},
		{"v1.2.0-rc1", "1.2.0~rc1", "1.2.0_rc1-r0"},
		{"v1.2.0", "1.2.0", "1.2.0-r0"},
	} {
		if v.tag != "" {
			git("tag", v.tag)
		}
		out := t.TempDir()
		c := exec.Command(filepath.Join(project, "scripts/package"), out)
		c.Env = append(os.Environ(), "VERSION=", "SOURCE_DATE_EPOCH=")
		if text, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		all := byFormat(t, out)
		deb := strings.TrimSpace(run(t, "dpkg-deb", "--field", all["deb"], "Version"))
		rpm := run(t, "rpm", "-qp", "--qf", "%{VERSION}", all["rpm"])
		if deb != v.deb || rpm != v.deb || !strings.Contains(all["apk"], "_"+v.apk+"_") || !strings.Contains(all["gz"], "-"+v.deb+"-linux-") {
			t.Errorf("tag %q: %s, %s, %s", v.tag, deb, rpm, all)
		}
		if last != "" && exec.Command("dpkg", "--compare-versions", last, "lt", deb).Run() != nil {
			t.Errorf("%s is not newer than %s", deb, last)
		}
		last = deb
		if made := run(t, "sh", "-c", `dpkg-deb --fsys-tarfile "$1" | TZ=UTC tar -tv`, "sh", all["deb"]); !strings.Contains(made, " 2026-12-01 10:20 ./usr/bin/cgisession\n") {
			t.Errorf("the files are not of the commit's time:\n%s", made)
		}
	}
}

// The architectures, by Go's names, and what the packages call them.
var architectures = []struct {
	name          string
	machine       elf.Machine
	deb, rpm, apk string
}{
	{"amd64", elf.EM_X86_64, "amd64", "x86_64", "x86_64"},
	{"arm64", elf.EM_AARCH64, "arm64", "aarch64", "aarch64"},
	{"armv7", elf.EM_ARM, "armhf", "armv7hl", "armv7"},
	{"386", elf.EM_386, "i386", "i386", "x86"},
	{"riscv64", elf.EM_RISCV, "riscv64", "riscv64", "riscv64"},
	{"mipsle", elf.EM_MIPS, "mipsel", "mipsel", ""},
}

// With --all there are packages for each architecture, with programs for it.
func TestPackageArchitectures(t *testing.T) {
	needsCI(t)
	dir := t.TempDir()
	build(t, "./package", "1.0", dir, "--all")
	var want []string
	for _, a := range architectures {
		deb := fmt.Sprintf("cgisession_1.0_%s.deb", a.deb)
		rpm := fmt.Sprintf("cgisession-1.0-1.%s.rpm", a.rpm)
		tar := fmt.Sprintf("cgisession-1.0-linux-%s.tar.gz", a.name)
		want = append(want, deb, rpm, tar)
		if a.apk != "" {
			apk := fmt.Sprintf("cgisession_1.0-r0_%s.apk", a.apk)
			want = append(want, apk)
			if info := run(t, "tar", "--warning=no-unknown-keyword", "-xzOf", filepath.Join(dir, apk), ".PKGINFO"); !strings.Contains(info, "\narch = "+a.apk+"\n") {
				t.Errorf("%s says %s", apk, info)
			}
		}
		if text := run(t, "dpkg-deb", "--field", filepath.Join(dir, deb), "Architecture"); text != a.deb+"\n" {
			t.Errorf("%s says %s", deb, text)
		}
		if text := run(t, "rpm", "-qp", "--qf", "%{ARCH}", filepath.Join(dir, rpm)); text != a.rpm {
			t.Errorf("%s says %s", rpm, text)
		}
		for format, file := range map[string]string{"deb": deb, "gz": tar} {
			root := unpack(t, format, filepath.Join(dir, file))
			for _, program := range []string{"usr/bin/cgisession", "usr/libexec/cgisession/cgisession-redis"} {
				f, err := elf.Open(filepath.Join(root, program))
				if err != nil {
					t.Fatal(err)
				}
				if f.Machine != a.machine || f.Section(".interp") != nil {
					t.Errorf("%s: %s is for %v", file, program, f.Machine)
				}
				f.Close()
			}
		}
	}
	slices.Sort(want)
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, file := range files {
		got = append(got, file.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("packages:\n%q\nnot\n%q", got, want)
	}
}

// Debian's own checks find nothing, but for what the overrides name.
func TestLintian(t *testing.T) {
	deb := packages(t)["deb"]
	c := exec.Command("lintian", "--allow-root", "--display-info", "--fail-on", "error,warning,info", deb)
	if text, err := c.CombinedOutput(); err != nil || len(text) > 0 {
		t.Errorf("%v\n%s", err, text)
	}
	overrides := run(t, "sh", "-c", `dpkg-deb --fsys-tarfile "$1" | tar -xO ./usr/share/lintian/overrides/cgisession`, "sh", deb)
	for line := range strings.Lines(overrides) {
		if line[0] != '#' && !strings.HasPrefix(line, "statically-linked-binary ") {
			t.Errorf("an override for something else: %s", line)
		}
	}
}

// The manual pages are such as man and apropos read, without a warning.
func TestManualPages(t *testing.T) {
	dir := unpack(t, "deb", packages(t)["deb"])
	pages, err := filepath.Glob(dir + "/usr/share/man/man?/*.gz")
	sources, _ := filepath.Glob("../cmd/manual/*.md")
	if err != nil || len(pages) == 0 || len(pages) != len(sources) {
		t.Fatalf("%d pages of %d sources: %v", len(pages), len(sources), err)
	}
	for _, page := range pages {
		c := exec.Command("man", "--warnings", "--local-file", "--encoding=UTF-8", page)
		c.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=80", "MANROFFSEQ=t")
		var text, warnings bytes.Buffer
		c.Stdout, c.Stderr = &text, &warnings
		if err := c.Run(); err != nil || warnings.Len() > 0 {
			t.Errorf("%s: %v\n%s", page, err, warnings.String())
		}
		name, section, _ := strings.Cut(strings.TrimSuffix(filepath.Base(page), ".gz"), ".")
		if i := strings.LastIndex(section, "."); i >= 0 {
			name, section = name+"."+section[:i], section[i+1:]
		}
		if title := name + "(" + section + ")"; !strings.HasPrefix(text.String(), title) {
			t.Errorf("%s does not begin with %s:\n%.100s", page, title, text.String())
		}
		if what := run(t, "lexgrog", page); !strings.Contains(what, `: "`+name+` - `) {
			t.Errorf("apropos would say %s", what)
		}
	}
}

// On a machine of its own the package is installed, upgraded, removed and purged.
func TestInstall(t *testing.T) {
	deb := packages(t)["deb"]
	root := cmdtest.NewRoot(t)
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("Debian has no such architecture here")
	}
	root.Install(t, deb)
	want := func(command, text string) {
		t.Helper()
		if got := root.Run(t, "sh", "-c", command); got != text {
			t.Errorf("%s: %q, not %q", command, got, text)
		}
	}
	want("stat -c '%U %a' /var/lib/cgisession /var/lib/cgisession/33", "root 1733\nwww-data 700\n")
	want("systemctl is-enabled cgisession-cleanup.timer", "enabled\n")
	want("systemd-analyze verify cgisession-cleanup.service cgisession-cleanup.timer", "")
	want("logrotate --force /etc/logrotate.d/cgisession 2>&1; stat -c '%U %a' /var/log/cgisession /var/log/cgisession/log", "root 755\nwww-data 600\n")

	// What the timer starts ends the sessions of each user that nobody used.
	for _, user := range []string{"www-data", "nobody"} {
		for range 2 {
			root.Run(t, "runuser", "-u", user, "--", "cgisession", "set", "a=b")
		}
		want("ls /var/lib/cgisession/$(id -u "+user+")/??/* | wc -l", "2\n")
		root.Run(t, "sh", "-c", "touch -d '31 minutes ago' $(ls /var/lib/cgisession/$(id -u "+user+")/??/* | head -n 1)")
	}
	unit := root.Read(t, "/usr/lib/systemd/system/cgisession-cleanup.service")
	start := regexp.MustCompile(`(?m)^ExecStart=(.+)$`).FindStringSubmatch(unit)
	if start == nil {
		t.Fatalf("no ExecStart in\n%s", unit)
	}
	root.Run(t, "sh", "-c", start[1])
	for _, user := range []string{"www-data", "nobody"} {
		want("ls /var/lib/cgisession/$(id -u "+user+")/??/* | wc -l", "1\n")
	}

	// cron does the same where there is no systemd, and only there.
	line := regexp.MustCompile(`(?m)^\*/10 \* \* \* \* root (.+)$`).FindStringSubmatch(root.Read(t, "/etc/cron.d/cgisession"))
	if line == nil {
		t.Fatal("no line for root in the crontab")
	}
	want("touch -d '31 minutes ago' /var/lib/cgisession/33/??/*; mkdir -p /run/systemd/system; "+line[1], "")
	want("ls /var/lib/cgisession/33/??/* | wc -l", "1\n")
	want("rmdir /run/systemd/system; "+line[1], "")
	want("ls -d /var/lib/cgisession/33/??/* 2>/dev/null | wc -l", "0\n")

	// An upgrade keeps a changed configuration, and a disabled timer.
	root.Run(t, "sed", "-i", "s/^timeout = 30m$/timeout = 45m/", "/etc/cgisession.conf")
	root.Run(t, "systemctl", "disable", "cgisession-cleanup.timer")
	root.Run(t, "runuser", "-u", "www-data", "--", "cgisession", "set", "a=b")
	newer := t.TempDir()
	build(t, "./package", "1.1", newer)
	root.Install(t, newDefaults(t, byFormat(t, newer)["deb"]), "--force-confdef", "--force-confold")
	want("dpkg-query -f '${Version}\n' -W cgisession", "1.1\n")
	want("runuser -u www-data -- cgisession config | grep ^timeout", "timeout 45m /etc/cgisession.conf:"+lineOf(root.Read(t, "/etc/cgisession.conf"), "timeout = 45m")+"\n")
	want("systemctl is-enabled cgisession-cleanup.timer || :", "disabled\n")

	// A removal keeps sessions and configuration; a purge does not.
	root.Run(t, "dpkg", "--remove", "cgisession")
	want("ls /var/lib/cgisession/33/??/* | wc -l", "1\n")
	want("grep ^timeout /etc/cgisession.conf", "timeout = 45m\n")
	want("ls /usr/bin/cgisession 2>/dev/null || :", "")
	root.Run(t, "dpkg", "--purge", "cgisession")
	want("find /etc /usr /var/lib/cgisession /var/log/cgisession /var/lib/systemd -name '*cgisession*' -not -path '/usr/local/*' -not -path '/usr/src/*' 2>/dev/null || :", "")
}

// newDefaults returns a package whose configuration differs from that of the one
// before, so that dpkg has to choose.
func newDefaults(t *testing.T, deb string) string {
	t.Helper()
	dir := t.TempDir()
	run(t, "sh", "-ec", `cd "$2"; dpkg-deb -R "$1" new; echo '# new' >>new/etc/cgisession.conf
		sed -i '\|etc/cgisession.conf|d' new/DEBIAN/md5sums; dpkg-deb --root-owner-group -b new new.deb`, "sh", deb, dir)
	return filepath.Join(dir, "new.deb")
}

// lineOf returns the number of a line in a text.
func lineOf(text, line string) string {
	before, _, _ := strings.Cut(text, "\n"+line+"\n")
	return fmt.Sprint(strings.Count(before, "\n") + 2)
}

// A directory of one user, from a set-up by hand, is not taken from its scripts.
func TestInstallOverOther(t *testing.T) {
	deb := packages(t)["deb"]
	root := cmdtest.NewRoot(t)
	root.Run(t, "install", "-d", "-o", "www-data", "-m", "700", "/var/lib/cgisession")
	root.Write(t, "/tmp/cgisession.deb", contents(t, deb), 0o644)
	text, err := root.Command("dpkg", "--install", "/tmp/cgisession.deb").CombinedOutput()
	if err == nil || !strings.Contains(string(text), "/var/lib/cgisession belongs to user 33; move it to /var/lib/cgisession/33") {
		t.Errorf("%v\n%s", err, text)
	}
	if got := root.Run(t, "stat", "-c", "%U %a", "/var/lib/cgisession"); got != "www-data 700\n" {
		t.Errorf("it is now %s", got)
	}
	root.Run(t, "sh", "-ec", "cd /var/lib; mv cgisession 33; install -d -m 1733 cgisession; mv 33 cgisession")
	root.Install(t, deb)
}
