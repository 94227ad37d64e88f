package file_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"cgisession/store"
	"cgisession/store/file"
)

// A file system on which locks do nothing, or last for ever, is found out, and
// so is a second process that does not work. None of them leaves a file.
func TestTryLock(t *testing.T) {
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
		f := newFile(t, dir)
		err := f.TryLock(c.other)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
		if err := f.TryExchange(); err != nil {
			t.Errorf("exchange: %v", err)
		}
		if _, err := f.ClockSkew(); err != nil {
			t.Errorf("clock: %v", err)
		}
		left, err := filepath.Glob(dir + "/.doctor*")
		if err != nil || len(left) > 0 {
			t.Errorf("%s: left behind: %q, %v", what, left, err)
		}
	}
}

// newFile returns a store that has a session.
func newFile(t *testing.T, dir string) *file.Store {
	t.Helper()
	f := file.Open(dir, store.Options{MaxSize: 1 << 20})
	t.Cleanup(func() { f.Close() })
	_, err := f.Update(store.Handle("cgisession_id", "session-number-one"), true, func(*store.Session) (store.Outcome, error) {
		return store.Save, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}
