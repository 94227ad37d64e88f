package scripttest

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// commands are what scripts, and the shell scripts in them, look at the stored
// sessions with, beside the program: the same for files and Redis.
var commands = map[string]func(store) error{
	"sessions": sessions,
	"age":      age,
	"forget":   store.forget,
	"stored":   func(s store) error { return s.print(os.Stdout) },
}

// A store is where the sessions of a script are.
type store interface {
	// accessed returns when each session was last accessed.
	accessed() ([]time.Time, error)
	// age has the last accesses of all sessions been so long ago.
	age(time.Duration) error
	// forget removes all that is stored.
	forget() error
	// print prints all that is stored.
	print(to *os.File) error
}

// stored returns the store that the environment names.
func stored() (store, error) {
	if os.Getenv("CGISESSION_TYPE") == "redis" {
		return keys{os.Getenv("CGISESSION_REDIS_URL"), os.Getenv("CGISESSION_REDIS_PREFIX")}, nil
	}
	dir := os.Getenv("CGISESSION_DATA_DIR")
	if dir == "" {
		return nil, errors.New("no CGISESSION_DATA_DIR")
	}
	return files(dir), nil
}

// sessions [-idle DURATION] [N] wants N sessions to be stored, which have been idle
// for longer than that. Without N it prints how many there are.
func sessions(s store) error {
	flags := flag.NewFlagSet("sessions", flag.ExitOnError)
	idle := flags.Duration("idle", 0, "")
	flags.Parse(os.Args[1:])
	accessed, err := s.accessed()
	if err != nil {
		return err
	}
	n := 0
	for _, at := range accessed {
		if *idle == 0 || time.Since(at) > *idle {
			n++
		}
	}
	switch flags.NArg() {
	case 0:
		fmt.Println(n)
		return nil
	case 1:
		if strconv.Itoa(n) == flags.Arg(0) {
			return nil
		}
	}
	return fmt.Errorf("there are %d sessions, not %q", n, flags.Args())
}

// age DURATION [FILE...] has the last accesses of all sessions been so long ago, or
// the changes of files. FILE may be a pattern, which must match.
func age(s store) error {
	if len(os.Args) < 2 {
		return errors.New("no duration")
	}
	by, err := time.ParseDuration(os.Args[1])
	if err != nil {
		return err
	}
	if len(os.Args) == 2 {
		return s.age(by)
	}
	for _, pattern := range os.Args[2:] {
		if err := ageFiles(by, pattern); err != nil {
			return err
		}
	}
	return nil
}

func ageFiles(by time.Duration, pattern string) error {
	matches, err := filepath.Glob(pattern)
	if err == nil && len(matches) == 0 {
		err = fmt.Errorf("no file %s", pattern)
	}
	then := time.Now().Add(-by)
	for _, file := range matches {
		if err == nil {
			err = os.Chtimes(file, then, then)
		}
	}
	return err
}
