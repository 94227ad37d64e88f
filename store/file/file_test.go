package file_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cgisession/store"
	"cgisession/store/file"
	"cgisession/store/storetest"
)

func TestFile(t *testing.T) {
	storetest.Run(t, files(t.TempDir()))
}

// files is the back end that keeps its sessions below dir, for storetest.
func files(dir string) storetest.Setup {
	dir = filepath.Join(dir, "sessions")
	return storetest.Setup{
		Open: func(t *testing.T, opts store.Options) store.Backend {
			f := file.Open(file.Config{Dir: dir, TryLock: file.LockOnce}, opts)
			t.Cleanup(func() { f.Close() })
			return f
		},
		Age: func(t *testing.T, handle string, idle, age time.Duration) {
			t.Helper()
			f := file.Open(file.Config{Dir: dir}, store.Options{MaxSize: 1 << 20, LockTimeout: time.Minute})
			defer f.Close()
			s, err := f.Update(handle, false, func(s *store.Session) (store.Outcome, error) {
				s.Created = time.Now().Add(-age).Unix()
				return store.Save, nil
			})
			if err == nil {
				accessed := time.Now().Add(-idle)
				err = os.Chtimes(s.Path, accessed, accessed)
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		ForgetUser: func(t *testing.T, user string) {
			t.Helper()
			entries, err := filepath.Glob(filepath.Join(dir, ".users", "*", store.UserKey("", user)+".*"))
			if err != nil || len(entries) == 0 {
				t.Fatalf("the index leads to %d sessions: %v", len(entries), err)
			}
			for _, entry := range entries {
				if err := os.Remove(entry); err != nil {
					t.Fatal(err)
				}
			}
		},
	}
}

// regularFiles returns the paths of all files below dir.
func regularFiles(t *testing.T, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// A save drops the old keys whose grace is over.
func TestOldKeysPruned(t *testing.T) {
	f := file.Open(file.Config{Dir: t.TempDir()}, store.Options{MaxSize: 1000})
	defer f.Close()
	h := store.Handle("test", store.NewID())
	created, err := f.Update(h, true, func(s *store.Session) (store.Outcome, error) {
		s.OldKeys = []store.OldKey{{Key: "over", Until: 1764000000}, {Key: "kept", Until: time.Now().Add(time.Hour).Unix()}}
		return store.Save, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // both records
		if _, err := f.Update(h, false, func(*store.Session) (store.Outcome, error) { return store.Save, nil }); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(created.Path)
	if err != nil || bytes.Contains(text, []byte(`"over"`)) || bytes.Count(text, []byte(`"kept"`)) != 2 {
		t.Errorf("stored: %s, %v", bytes.TrimRight(text, "\n"), err)
	}
}
