// Command floor does the least that a program in Go has to do for a session: it
// opens a file, locks it, reads it and prints it. Given a directory instead, it
// makes a page-sized file in one of the directories in that, locked. What a call
// of cgisession takes beyond that is its own.
package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"syscall"
)

func main() {
	var text []byte
	var err error
	if path := os.Args[1]; path[len(path)-1] == '/' {
		text, err = create(fmt.Sprintf("%s%02x/%016x", path, rand.IntN(256), rand.Uint64()))
	} else {
		text, err = read(path)
	}
	if err == nil {
		_, err = os.Stdout.Write(text)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH); err != nil {
		return nil, err
	}
	return io.ReadAll(f)
}

func create(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, err
	}
	_, err = f.Write(bytes.Repeat([]byte("\n"), 4096))
	return []byte(path), err
}
