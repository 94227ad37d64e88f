// Command fill makes many sessions in a directory, for tests and measurements.
// The same arguments make the same sessions, so that two directories are equal.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"sync"
	"time"

	"cgisession/store"
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
	f := store.NewFile(flag.Arg(0), store.Options{MaxSize: 2 << 20})
	data := store.Data(fmt.Sprintf(`{"text":%q}`, make([]byte, 0)))
	if *size > len(data) {
		text := make([]byte, *size-len(data))
		for i := range text {
			text[i] = 'x'
		}
		data = store.Data(fmt.Sprintf(`{"text":%q}`, text))
	}
	then := time.Now().Add(-*age)
	var all sync.WaitGroup
	for maker := range makers {
		all.Go(func() {
			for i := maker; i < *n; i += makers {
				if err := make1(f, i, data, *user, (i+1)**share/100 > i**share/100, then); err != nil {
					log.Fatal(err)
				}
			}
		})
	}
	all.Wait()
}

// make1 makes session number i, and sets its last access back if it is old.
func make1(f *store.File, i int, data store.Data, user string, old bool, then time.Time) error {
	handle := store.Handle("cgisession_id", fmt.Sprintf("session-number-%012d", i))
	s, err := f.Update(handle, true, func(s *store.Session) (store.Outcome, error) {
		s.Data, s.User = data, user
		return store.Save, nil
	})
	if err == nil && old {
		err = os.Chtimes(s.Path, then, then)
	}
	return err
}
