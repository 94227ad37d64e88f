// Command fill makes many sessions in a directory, for tests and measurements. The
// same arguments make the same sessions, so that two directories are equal. Sessions
// that exist already stay as they are.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
	"sync"
	"time"

	"cgisession/store"
	"cgisession/store/file"
)

// makers is how many sessions are made at a time.
const makers = 4

func main() {
	log.SetFlags(0)
	log.SetPrefix("fill: ")
	n := flag.Int("n", 1000, "make `N` sessions")
	share := flag.Int("old", 50, "`PERCENT` of them that were last used some time ago")
	age := flag.Duration("age", time.Hour, "the `TIME` ago at which those were last used")
	size := flag.Int("size", 100, "`BYTES` of data in each, about")
	user := flag.String("user", "", "sessions of user `NAME`")
	flag.Parse()
	if flag.NArg() != 1 || *n < 0 || *share < 0 || *share > 100 || *size < 0 || *size > 1<<20 {
		log.Fatal("usage: fill [-n N] [-old PERCENT] [-age TIME] [-size BYTES] [-user NAME] DIR")
	}
	f := file.Open(file.Config{Dir: flag.Arg(0)}, store.Options{MaxSize: 2 << 20})
	text := strings.Repeat("x", max(0, *size-len(`{"text":""}`)))
	data := store.Data(`{"text":"` + text + `"}`)
	then := time.Now().Add(-*age)
	var all sync.WaitGroup
	for maker := range makers {
		all.Go(func() {
			for i := maker; i < *n; i += makers {
				if err := makeOne(f, i, data, *user, spread(i, *share), then); err != nil {
					log.Fatal(err)
				}
			}
		})
	}
	all.Wait()
}

// spread reports whether number i is among the given percentage of all numbers,
// evenly spread.
func spread(i, percent int) bool { return (i+1)*percent/100 > i*percent/100 }

// makeOne makes session number i, if it does not exist, and sets its last access back
// if it is old.
func makeOne(f *file.Store, i int, data store.Data, user string, old bool, then time.Time) error {
	handle := store.Handle("cgisession_id", fmt.Sprintf("session-number-%012d", i))
	s, err := f.Update(handle, true, func(s *store.Session) (store.Outcome, error) {
		if s.Version > 0 {
			return store.Keep, nil
		}
		s.Data, s.User = data, user
		return store.Save, nil
	})
	if err == nil && old {
		err = os.Chtimes(s.Path, then, then)
	}
	return err
}
