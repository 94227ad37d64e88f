//go:build redis && linux

package program

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"cgisession/cmd/cmdtest"
	"cgisession/cmd/scripttest"
	"cgisession/store/redis/redistest"
)

// usual returns the usual program, which executes the larger one beside it.
func usual() string { return filepath.Join(filepath.Dir(cmdtest.Program), "usual", "cgisession") }

// TestUsualScript runs scripts by the usual program.
func TestUsualScript(t *testing.T) {
	server := redistest.Start(t)
	testscript.Run(t, scripttest.Params("testdata/usual", "redis", func(e *testscript.Env) {
		e.Setenv("PATH", filepath.Dir(usual())+":"+os.Getenv("PATH"))
		e.Setenv("CGISESSION_TYPE", "redis")
		e.Setenv("CGISESSION_REDIS_URL", server.URL())
		e.Setenv("CGISESSION_REDIS_PREFIX", filepath.Base(e.WorkDir)+":")
	}))
}

// TestUsualVerbs calls all verbs by the usual program.
func TestUsualVerbs(t *testing.T) {
	program := cmdtest.Program
	cmdtest.Program = usual()
	defer func() { cmdtest.Program = program }()
	server := redistest.Start(t)
	server.Do(t, "set", "foreign", "x")
	everyVerb(t, visitorOn(server.URL()), server)
}

// What a script has is the same whether the usual program executes the larger one or a
// script calls that itself: descriptors, limits, ignored and blocked signals, umask,
// directory, environment, process and its parent.
func TestUsualKeeps(t *testing.T) {
	server := redistest.Start(t)
	r := visitorOn(server.URL())
	r.Must(t, "load")
	dir := t.TempDir()
	look := func(program string) string {
		c := r.Command("sh", "-c", `
			trap '' HUP INT QUIT USR1 PIPE TERM TSTP TTIN TTOU
			ulimit -S -n 50; ulimit -S -s 4096; ulimit -c 0
			umask 027
			cd "$1"
			exec 0</dev/zero 7</dev/null 9>>file
			export PARENT=$$
			exec "$2" run --env APP_ sh -c '
				[ "$PARENT" = $$ ] && [ "${CGISESSION_REQUEST##*:}" ] && echo "the same process, child of $PPID"
				cat /proc/$$/limits
				for fd in /proc/$$/fd/*; do echo "${fd##*/} $(readlink "$fd")"; done
				env | grep -vE "^(PARENT|CGISESSION_(REQUEST|VERSION|ACCESSED))=" | sort
				umask
				pwd
				exec grep -E "^(SigBlk|SigIgn|Umask|Groups|Cap)" /proc/self/status'`, "sh", dir, program)
		got := cmdtest.Finish(t, c)
		if got.Code != 0 || got.Stderr != "" {
			t.Fatalf("%+v", got)
		}
		return regexp.MustCompile(`pipe:\[\d+\]`).ReplaceAllString(got.Stdout, "pipe")
	}
	itself := look(cmdtest.Program)
	if got := look(usual()); got != itself {
		t.Errorf("by the usual program: %s\nby the larger one itself: %s", got, itself)
	}
	for _, want := range []string{"the same process", "Max open files            50 ", "\n9 " + dir + "/file\n", "\n0027\n", "SigIgn:\t0000000000380003\n"} {
		if !strings.Contains(itself, want) {
			t.Errorf("%q is not in %s", want, itself)
		}
	}
}

// With few descriptors, the usual program fails as the larger one does.
func TestUsualFewDescriptors(t *testing.T) {
	server := redistest.Start(t)
	r := visitorOn(server.URL())
	r.Must(t, "load")
	for _, limit := range []string{"3", "4", "5", "6", "8", "12"} {
		call := func(program string) cmdtest.Ended {
			return cmdtest.Finish(t, r.Command("sh", "-c", `ulimit -n "$1" && exec "$2" set a=1`, "sh", limit, program))
		}
		if got, want := call(usual()), call(cmdtest.Program); got != want {
			t.Errorf("%s descriptors: %+v; the larger program itself: %+v", limit, got, want)
		}
	}
}

// Until it executes the larger program, the usual one reads nothing that is the
// caller's, and opens no log. It executes one program, once.
func TestUsualTrace(t *testing.T) {
	if err := exec.Command("strace", "-qq", "-o", os.DevNull, "true").Run(); err != nil {
		t.Skipf("strace does not work here: %v", err)
	}
	server := redistest.Start(t)
	trace := filepath.Join(t.TempDir(), "trace")
	r := visitorOn(server.URL(), "CGISESSION_LOG_FILE="+filepath.Join(t.TempDir(), "the-log"))
	c := r.Command("sh", "-c", `exec strace -f -qq -s 500 -o "$1" "$2" save --id-fd 7 7</etc/passwd`, "sh", trace, usual())
	c.Stdin = strings.NewReader(`{"a":1}`)
	if got := cmdtest.Finish(t, c); got.Code != 0 {
		t.Fatalf("%+v", got)
	}
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	const execution = `execve("`
	if n := strings.Count(string(text), execution); n != 2 {
		t.Fatalf("%d executions; want that of the usual and of the larger program", n)
	}
	first, second := strings.Index(string(text), execution), strings.LastIndex(string(text), execution)
	before, after := string(text[first:second]), string(text[second:])
	touched := regexp.MustCompile(`(read|pread64|readv|poll|ioctl|lseek|recvfrom)\((0|7),.*|.*the-log.*`)
	if found := touched.FindAllString(before, -1); found != nil {
		t.Errorf("touched before that: %q", found)
	}
	if !strings.Contains(after, "read(0, ") || !strings.Contains(after, "the-log") {
		t.Errorf("the larger program does not read its input, or not log: %s", after)
	}
	version := strings.Fields(visitorOn(server.URL()).Must(t, "version"))[2]
	if want := `/cgisession-redis", ["cgisession-redis ` + version + ` ` + usual() + `", "save"`; !strings.Contains(after, want) {
		t.Errorf("not executed as %s: %s", want, after[:200])
	}
}

// A place is where a pair of the programs is installed.
type place struct {
	dir           string
	usual, larger string
}

func install(t *testing.T) place {
	t.Helper()
	dir := t.TempDir()
	p := place{dir, dir + "/bin/cgisession", dir + "/libexec/cgisession/cgisession-redis"}
	p.sh(t, `mkdir -p bin libexec/cgisession && chmod 755 "$PWD" bin libexec libexec/cgisession && cp "$1/cgisession" bin/ && cp "$1/cgisession-redis" libexec/cgisession/`, filepath.Dir(usual()))
	return p
}

// sh runs a shell in the place.
func (p place) sh(t *testing.T, script string, args ...string) {
	t.Helper()
	c := exec.Command("sh", append([]string{"-euc", "umask 022; " + script, "sh"}, args...)...)
	c.Dir = p.dir
	if text, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", script, err, text)
	}
}

// The larger program is executed where it belongs to the same user, and no other user
// can have put it there.
func TestUsualPlaces(t *testing.T) {
	server := redistest.Start(t)
	root := os.Geteuid() == 0
	for name, row := range map[string]struct {
		change  string // in the shell
		needs   bool   // root
		program string // that is called, in place of bin/cgisession
		message string // empty: it works
		early   bool   // what is executed finds the fault before it reads the verb
	}{
		"as installed":                  {},
		"both beside and apart":         {change: "cp libexec/cgisession/cgisession-redis bin/ && chmod 666 libexec/cgisession/cgisession-redis"},
		"by a link":                     {change: "mkdir other && ln -s ../bin/cgisession other/sessions", program: "other/sessions"},
		"under another name":            {change: "mv bin/cgisession bin/sessions", program: "bin/sessions"},
		"not for all to read":           {change: "chmod 711 bin/cgisession libexec/cgisession/cgisession-redis"},
		"by a linked directory":         {change: "mv libexec lib && ln -s lib libexec"},
		"another group":                 {change: "chgrp 65534 libexec/cgisession/cgisession-redis", needs: true},
		"all another user's":            {change: "chown -R 65534 .", needs: true},
		"none":                          {change: "rm libexec/cgisession/cgisession-redis", message: "no cgisession-redis beside this program; install it there, or in ../libexec/cgisession"},
		"none, but in PATH":             {change: "mkdir path && mv libexec/cgisession/cgisession-redis path/", message: "no cgisession-redis beside this program"},
		"none, but in the directory":    {change: "mv libexec/cgisession/cgisession-redis .", message: "no cgisession-redis beside this program"},
		"a link":                        {change: "cd libexec/cgisession && mv cgisession-redis real && ln -s real cgisession-redis", message: "not a regular file"},
		"a directory":                   {change: "mkdir bin/cgisession-redis", message: "bin/cgisession-redis: not a regular file"},
		"a FIFO":                        {change: "mkfifo bin/cgisession-redis", message: "bin/cgisession-redis: not a regular file"},
		"a script":                      {change: "printf '#!/bin/sh\\necho no >&2\\n' >bin/cgisession-redis && chmod 755 bin/cgisession-redis", message: "a script, not the program"},
		"text":                          {change: "echo echo no >bin/cgisession-redis && chmod 755 bin/cgisession-redis", message: "exec format error"},
		"not executable":                {change: "chmod 644 libexec/cgisession/cgisession-redis", message: "permission denied"},
		"writable for a group":          {change: "chmod 775 libexec/cgisession/cgisession-redis", message: "mode 0775 lets other users write to it; chmod go-w it"},
		"writable for all":              {change: "chmod 757 libexec/cgisession/cgisession-redis", message: "mode 0757 lets other users write to it"},
		"in a directory for a group":    {change: "chmod 775 libexec/cgisession", message: "mode 0775 of directory cgisession lets other users write to it"},
		"in a directory for all":        {change: "chmod 1777 libexec/cgisession", message: "mode 0777 of its directory lets other users write there"},
		"below a directory for a group": {change: "chmod 775 libexec", message: "mode 0775 of directory libexec lets other users write to it"},
		"another user's":                {change: "chown 65534 libexec/cgisession/cgisession-redis", needs: true, message: "belongs to user 65534, and this program to user 0"},
		"in another user's directory":   {change: "chown 65534 libexec/cgisession", needs: true, message: "directory cgisession belongs to user 65534"},
		"by another user's link":        {change: "mv libexec lib && ln -s lib libexec && chown -h 65534 libexec", needs: true, message: "symbolic link libexec belongs to user 65534"},
		"the usual program again":       {change: "cp bin/cgisession libexec/cgisession/cgisession-redis", message: "this cgisession-redis was built without Redis", early: true},
		"the usual program, by name":    {change: "mv bin/cgisession bin/cgisession-redis", program: "bin/cgisession-redis", message: "this cgisession-redis was built without Redis"},
		"set-user-ID":                   {change: "chmod u+s bin/cgisession && chown 65534 bin/cgisession && chmod u+s bin/cgisession", needs: true, message: "executes no other; call cgisession-redis itself"},
		"set-group-ID":                  {change: "chgrp 65534 bin/cgisession && chmod g+s bin/cgisession", needs: true, message: "executes no other; call cgisession-redis itself"},
	} {
		t.Run(name, func(t *testing.T) {
			if row.needs && !root {
				t.Skip("needs root")
			}
			p := install(t)
			if row.change != "" {
				p.sh(t, row.change)
			}
			program, verb := p.usual, "get"
			if row.early {
				verb = ""
			}
			if row.program != "" {
				program = filepath.Join(p.dir, row.program)
			}
			c := visitorOn(server.URL(), "PATH="+p.dir+"/path").Command(program, "get", "--default", "1", "a")
			c.Dir = p.dir
			mustBe(t, cmdtest.Finish(t, c), verb, row.message)
		})
	}
}

// mustBe checks that a call worked, or failed as a matter of configuration.
func mustBe(t *testing.T, got cmdtest.Ended, verb, message string) {
	t.Helper()
	if message == "" {
		if got != (cmdtest.Ended{Stdout: "1\n"}) {
			t.Errorf("%+v", got)
		}
		return
	}
	if verb != "" {
		verb += ": "
	}
	if got.Code != 78 || got.Stdout != "" || !strings.HasPrefix(got.Stderr, "cgisession: "+verb+"configuration: ") ||
		!strings.Contains(got.Stderr, message) || strings.Count(got.Stderr, "\n") != 1 {
		t.Errorf("%+v; want 78 and %q", got, message)
	}
}

// Another user's program, which only that user and root could replace, is executed too.
func TestUsualOtherCaller(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	server := redistest.Start(t)
	p := install(t)
	p.sh(t, `chmod 711 bin/cgisession libexec/cgisession/cgisession-redis && chown -R 65533 . && chmod 755 . ..`)
	c := visitorOn(server.URL()).Command(p.usual, "get", "--default", "1", "a")
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	c.Dir = "/"
	mustBe(t, cmdtest.Finish(t, c), "get", "")
}

// While the programs are replaced, a call that began before still finds the place.
func TestUsualReplaced(t *testing.T) {
	server := redistest.Start(t)
	p := install(t)
	// The shell waits in the program's place until that is removed: it is executed by its descriptor.
	c := visitorOn(server.URL()).Command("sh", "-euc", `exec 7<"$1"; rm "$1"; exec /proc/self/fd/7 get --default 1 a`, "sh", p.usual)
	mustBe(t, cmdtest.Finish(t, c), "get", "")
}

// The versions of both programs must be the same, whatever the call is.
func TestUsualVersions(t *testing.T) {
	r := cmdtest.Request{}
	call := func(program, arg0 string, args ...string) cmdtest.Ended {
		c := r.Command(program, args...)
		c.Args[0] = arg0
		return cmdtest.Finish(t, c)
	}
	version := strings.Fields(r.Must(t, "version"))[2]
	larger := filepath.Join(filepath.Dir(usual()), "cgisession-redis")
	for _, arg0 := range []string{"cgisession-redis", "./cgisession-redis", larger, "cgisession", "", "cgisession-redis " + version, "cgisession-redis " + version + " " + usual()} {
		if got := call(larger, arg0, "version"); got.Code != 0 || got.Stderr != "" {
			t.Errorf("%q: %+v", arg0, got)
		}
	}
	for _, other := range []string{"v0", version + "x", version[:len(version)-1], "", " " + version} {
		mustBe(t, call(larger, "cgisession-redis "+other+" /usr/bin/cgisession", "get", "--unknown"), "", "install both from one build")
	}
	mustBe(t, call(usual(), "cgisession-redis "+version, "get", "--unknown"), "", "was built without Redis")
	if got := call(usual(), "cgisession-redis", "version"); got.Code != 0 {
		t.Errorf("%+v", got)
	}
	p := install(t)
	p.sh(t, "mv bin/cgisession bin/cgisession-redis")
	redis := []string{"get", "--type", "redis", "--redis-url", "redis://127.0.0.1:1"}
	mustBe(t, call(usual(), "cgisession-redis", redis...), "get", "was built without Redis")
	mustBe(t, call(usual(), "/usr/bin/cgisession-redis", redis...), "get", "was built without Redis")
	mustBe(t, call(p.dir+"/bin/cgisession-redis", "sessions", redis...), "get", "was built without Redis")
}

// Without /proc nothing says where the larger program is.
func TestUsualWithoutProc(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	p := install(t)
	c := cmdtest.Request{}.Command("/bin/cgisession", "get", "--type", "redis", "--redis-url", "redis://127.0.0.1:1")
	c.Dir, c.SysProcAttr = "/", &syscall.SysProcAttr{Chroot: p.dir}
	mustBe(t, cmdtest.Finish(t, c), "get", "/proc/self/exe is missing, so nothing says where cgisession-redis is; call that itself")
	c = cmdtest.Request{}.Command("/libexec/cgisession/cgisession-redis", "version")
	c.Dir, c.SysProcAttr = "/", &syscall.SysProcAttr{Chroot: p.dir}
	if got := cmdtest.Finish(t, c); got.Code != 0 {
		t.Errorf("the larger program itself: %+v", got)
	}
}
