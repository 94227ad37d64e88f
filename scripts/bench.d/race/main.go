// Command race runs cgisession and other ways to keep sessions against each other,
// and prints Markdown tables. Each call is a process, as for a CGI script. In a round
// each contestant has one turn, in random order. The result is the median of the
// rounds, so a busy machine slows all of them alike.
//
// scripts/bench builds the programs that it needs, and runs it. cmd/bigstack/measure
// runs its part "builds".
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// A course holds what the parts of the race have in common.
type course struct {
	bin    string // holds the programs: cgisession, floor, perhaps floor-c
	pages  string // holds the CGI scripts
	dir    string // for the sessions
	peers  []string
	rounds int
}

var parts = map[string]func(*course) error{
	"calls":       (*course).calls,
	"verbs":       (*course).verbs,
	"contention":  (*course).contention,
	"requests":    (*course).requests,
	"sizes":       (*course).sizes,
	"directories": (*course).directories,
	"builds":      (*course).builds,
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("race: ")
	c := new(course)
	flag.StringVar(&c.bin, "bin", "", "`DIR` of the programs")
	flag.StringVar(&c.pages, "pages", "", "`DIR` of the CGI scripts")
	flag.StringVar(&c.dir, "dir", "", "empty `DIR` for the sessions")
	flag.IntVar(&c.rounds, "rounds", 100, "turns of each contestant")
	peers := flag.String("peers", "", "which of `perl,php,python` take part")
	flag.Parse()
	c.peers = strings.FieldsFunc(*peers, func(r rune) bool { return r == ',' })
	os.Setenv("PATH", c.bin+":"+os.Getenv("PATH"))
	var err error
	if empty, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
		log.Fatal(err)
	}

	fmt.Printf("%d processors, %s, %s, %d rounds\n", runtime.NumCPU(), kernel(), runtime.Version(), c.rounds)
	for _, name := range flag.Args() {
		part, ok := parts[name]
		if !ok {
			log.Fatalf("no part %q", name)
		}
		fmt.Println()
		if err := part(c); err != nil {
			log.Fatalf("%s: %v", name, err)
		}
	}
}

// kernel returns the system's name and release.
func kernel() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	return "Linux " + strings.TrimSpace(string(release))
}

// room makes a directory for a part's sessions. It also makes the 256 directories
// there, which cgisession would make for its first sessions.
func (c *course) room(name string) (string, error) {
	dir := filepath.Join(c.dir, name)
	for i := range 256 {
		if err := os.MkdirAll(fmt.Sprintf("%s/%02x", dir, i), 0o700); err != nil {
			return "", err
		}
	}
	return dir, nil
}
