package store_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"cgisession/store"
	"cgisession/store/storetest"
)

func TestFile(t *testing.T) {
	storetest.Run(t, files(t.TempDir()))
}

// files is the back end that keeps its sessions below dir, for storetest.
func files(dir string) storetest.Backend {
	dir = filepath.Join(dir, "sessions")
	return storetest.Backend{
		Open: func(t *testing.T, opts store.Options) store.Store {
			f := store.NewFile(dir, opts)
			t.Cleanup(func() { f.Close() })
			return f
		},
		Age: func(t *testing.T, handle string, idle, age time.Duration) {
			t.Helper()
			f := store.NewFile(dir, store.Options{MaxSize: 1 << 20, LockTimeout: time.Minute})
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
