// Command floor does the least that a program in Go has to do to read a session
// safely: it opens the file, locks it, reads it and prints it. What a call of
// cgisession takes beyond that is its own.
package main

import (
	"io"
	"log"
	"os"
	"syscall"
)

func main() {
	f, err := os.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH); err != nil {
		log.Fatal(err)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := os.Stdout.Write(text); err != nil {
		log.Fatal(err)
	}
}
