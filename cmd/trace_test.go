package cmd_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

// No path is made of what a client sent: below the data directory the program
// touches the directory itself, its shards, and in them names of 64 hex digits;
// and no path anywhere has a piece of the cookie in it. strace(1) shows what no
// listing afterwards can: a name that was only looked at.
func TestPathsOfHostileCookies(t *testing.T) {
	needStrace(t)
	r := begin(t, `{"n":1}`)
	own := r.file(cmdtest.Visitor)
	for name, value := range hostileValues(r) {
		for _, args := range tracedVerbs {
			t.Run(name+"/"+args[0], func(t *testing.T) {
				t.Parallel()
				paths := r.client(value).traced(t, args...)
				for _, path := range paths {
					checkPath(t, path, r.Dir, value)
					if path == own {
						t.Errorf("the visitor's session: %q", path)
					}
				}
				// A new session's file, else the trace was not understood.
				if args[0] != "get" && !hasSession(paths, r.Dir) {
					t.Errorf("no session's file in %q", paths)
				}
			})
		}
	}
	known := begin(t, `{"n":1}`) // ends with the last of the verbs
	for _, args := range tracedVerbs {
		paths := known.client(cmdtest.Visitor).traced(t, args...)
		if !slices.Contains(paths, known.file(cmdtest.Visitor)) {
			t.Errorf("%s does not touch the visitor's file: %q", args[0], paths)
		}
	}
}

var tracedVerbs = []argv{{"load"}, {"get"}, {"set", "n:=2"}, {"invalidate"}}

// hostileValues are what a client may send as a cookie's value. None is the id
// of a session.
func hostileValues(r request) map[string]string {
	own := handle("cgisession_id", cmdtest.Visitor)
	return map[string]string{
		"nothing":             "",
		"dots":                "..",
		"path traversal":      "../../../../../../../../etc/passwd",
		"traversal to beside": "../../hostile-neighbour",
		"traversal to itself": "../" + own[:2] + "/" + own,
		"shard and name":      own[:2] + "/" + own,
		"name of a file":      own,
		"absolute path":       "/etc/passwd",
		"path of a file":      r.file(cmdtest.Visitor),
		"path of a device":    "/dev/zero/hostile",
		"file URL":            "file:///etc/hostile",
		"encoded traversal":   "%2e%2e%2f%2e%2e%2fhostile%2fcookie",
		"overlong traversal":  "\xc0\xae\xc0\xae/\xc0\xae\xc0\xae/hostile",
		"encoded NUL":         cmdtest.Visitor + "%00hostile",
		"binary":              "\x01\x02\x03\x7f\x80\x81\xfe\xff\x1b[31mhostile\xff\xff\xff\xff\xff\xff\xff\xff",
		"4 KiB":               strings.Repeat("hostile_", 4<<10/8),
		"4 KiB of slashes":    strings.Repeat("/", 4<<10),
		"quotes":              `"` + cmdtest.Visitor + `"`,
		"other quotes":        `'hostile'"cookie"`,
		"backslashes":         `..\..\..\hostile`,
		"command":             "$(touch hostile-file)`touch hostile-file`",
		"home directory":      "~root/.hostile-file",
		"dot file":            ".users",
		"dot directory":       ".users/hostile-entry",
		"option":              "--data-dir=/hostile/directory",
		"other alphabet":      "\u0430\u0431\u0432\u0433\u0434\u0435/\u4f60\u597d\u4f60\u597d",
		"unknown id":          nobody,
		"id and path":         cmdtest.Visitor + "/../hostile-file",
		"signed":              signed(cmdtest.Visitor),
		"many unknown ids":    nobody + many(100, "; cgisession_id=somebody%012d") + "; cgisession_id=../../hostile-file",
	}
}

// traced runs the program under strace(1) and returns the paths that it gave to
// the system, absolute, but for its own.
func (r request) traced(t *testing.T, args ...string) []string {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "trace")
	// -y: what a descriptor leads to; -x: bytes that are no text as Go quotes them.
	strace := argv{"-f", "-qq", "-y", "-x", "-o", trace, "-e", "trace=%file", cmdtest.Program}
	got := cmdtest.Finish(t, r.Command("strace", append(strace, args...)...))
	if got.Code > 1 || got.Stderr != "" {
		t.Fatalf("%+v", got)
	}
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, "execve(") { // of strace
			paths = append(paths, pathsIn(t, line)...)
		}
	}
	return paths
}

// tracedPath is a path in a line of strace, and the directory that it is relative to.
var tracedPath = regexp.MustCompile(`(?:(?:AT_FDCWD|\d+)<([^>]*)>(?:\(deleted\))?, )?("(?:[^"\\]|\\.)*")`)

func pathsIn(t *testing.T, line string) (paths []string) {
	t.Helper()
	for _, found := range tracedPath.FindAllStringSubmatch(line, -1) {
		path, err := strconv.Unquote(found[2])
		if err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if !strings.HasPrefix(path, "/") {
			path = found[1] + "/" + path
		}
		paths = append(paths, path)
	}
	return paths
}

// stored matches what may be touched in the data directory.
var stored = regexp.MustCompile(`^(|/[0-9a-f]{2}|/[0-9a-f]{2}/[0-9a-f]{64}|/\.[a-z]+)$`)

func hasSession(paths []string, dir string) bool {
	for _, path := range paths {
		if rest, ok := strings.CutPrefix(path, dir+"/sessions"); ok && len(rest) > 64 {
			return true
		}
	}
	return false
}

// checkPath wants a path to be of the layout, or not under the request's directory
// at all, and to have no eight bytes in a row of the cookie's value in it. The data
// directory's own name does not count: it is no client's.
func checkPath(t *testing.T, path, dir, value string) {
	t.Helper()
	rest, inside := strings.CutPrefix(path, dir+"/sessions")
	switch {
	case inside && !stored.MatchString(rest):
		t.Errorf("in the data directory: %q", path)
	case !inside && strings.HasPrefix(path, dir), !strings.HasPrefix(path, "/"):
		t.Errorf("outside of the data directory: %q", path)
	case strings.Contains(rest, "hostile"): // also of what was encoded
		t.Errorf("of a cookie: %q", path)
	}
	piece := min(len(value), 8)
	if piece < 4 { // such as "..", which the layout has not either
		return
	}
	for i := 0; i+piece <= len(value); i++ {
		if strings.Contains(rest, value[i:i+piece]) {
			t.Errorf("%q of the cookie in %q", value[i:i+piece], path)
			return
		}
	}
}
