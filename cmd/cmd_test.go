package cmd_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"cgisession/cmd/cmdtest"
)

func TestMain(m *testing.M) {
	os.Exit(cmdtest.Run(m.Run, cmdtest.Package("cgisession", "urfave_cli_no_docs")))
}

// A request is one whose sessions are in files.
type request struct{ cmdtest.Request }

// in returns a request of a script that runs in dir, with these variables.
func in(dir string, env ...string) request { return request{cmdtest.Request{Dir: dir, Env: env}} }

// begin returns a request that has the session of the visitor, with this data,
// and is the only one to have it.
func begin(t *testing.T, data string) request {
	t.Helper()
	r := in(t.TempDir())
	if got := r.with("CGISESSION_ADOPT_ID="+cmdtest.Visitor).Give(t, data, "save"); got.Code != 0 {
		t.Fatalf("no session to begin with: %+v", got)
	}
	return r.bound(cmdtest.Visitor)
}

// with returns the request with one more variable.
func (r request) with(setting string) request { return request{r.With(setting)} }

// bound returns a request in which an earlier call found the session.
func (r request) bound(id string) request { return in(r.Dir, "CGISESSION_ID="+id) }

// client returns a request of a client that sends the session's cookie.
func (r request) client(id string) request { return in(r.Dir, "HTTP_COOKIE=cgisession_id="+id) }

// file returns the path of the file of the session with this id.
func (r request) file(id string) string {
	return filepath.Join(r.Dir, sessionFile("cgisession_id", id))
}

// files returns the sessions' files: those that hold data, and the others.
func (r request) files(t *testing.T) (live, others []string) {
	t.Helper()
	err := filepath.WalkDir(r.Dir+"/sessions", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte(`"data":{`)) {
			live = append(live, path)
		} else {
			others = append(others, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return live, others
}
