package file_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"cgisession/store"
	"cgisession/store/file"
)

// Examine reports a file system on which locks do nothing or are never released, and a
// second process that fails. None of them leaves a file.
func TestExamineLocks(t *testing.T) {
	broken := errors.New("no second process")
	for what, c := range map[string]struct {
		other func(string) (bool, error)
		want  string
	}{
		"locks that work":      {file.LockOnce, ""},
		"locks without effect": {func(string) (bool, error) { return true, nil }, "two processes locked one file"},
		"locks that stay":      {func(string) (bool, error) { return false, nil }, "a lock that was released stays"},
		"no other process":     {func(string) (bool, error) { return false, broken }, broken.Error()},
	} {
		dir := filepath.Join(t.TempDir(), "sessions")
		f := newFile(t, file.Config{Dir: dir, TryLock: c.other})
		said := ""
		for _, found := range f.Examine(store.Examination{}) {
			switch {
			case found.About == "locks" && found.Level == store.Problem:
				said = found.Text
			case found.Level == store.Problem, found.About == "exchange":
				t.Errorf("%s: %+v", what, found)
			}
		}
		if (said == "") != (c.want == "") || !strings.Contains(said, c.want) {
			t.Errorf("%s: %q", what, said)
		}
		left, err := filepath.Glob(dir + "/.doctor*")
		if err != nil || len(left) > 0 {
			t.Errorf("%s: left behind: %q, %v", what, left, err)
		}
	}
}

// newFile returns a store that has a session.
func newFile(t *testing.T, config file.Config) *file.Store {
	t.Helper()
	f := file.Open(config, store.Options{MaxSize: 1 << 20})
	t.Cleanup(func() { f.Close() })
	_, err := f.Update(store.Handle("cgisession_id", "session-number-one"), true, func(*store.Session) (store.Outcome, error) {
		return store.Save, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}
