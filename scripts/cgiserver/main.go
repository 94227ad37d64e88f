// Command cgiserver serves the CGI scripts of a directory, for scripts/demo and for
// tests. Each script runs under its own name, GET / lists them, and GET /tour/NAME
// shows one with its source and with what the session holds. It passes PATH and the
// variables that begin with CGISESSION_ on to them.
//
// It is meant for a loopback address only: it is not built to serve strangers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

func main() {
	log.SetFlags(0)
	addr := flag.String("addr", "127.0.0.1:0", "listen on `HOST:PORT`; port 0 is any free one")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: cgiserver [-addr HOST:PORT] DIR")
	}
	dir, err := filepath.Abs(flag.Arg(0))
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s/\n", listener.Addr())
	fmt.Println("Open it in a browser, or: curl -b jar -c jar URL. ^C ends it.")

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := &http.Server{Handler: site(dir)}
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

// site serves the scripts in dir. It reads the directory again for each request, so
// that a script can be edited and tried.
func site(dir string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scripts, err := find(dir)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		name := strings.TrimPrefix(r.URL.Path, "/")
		page, onTour := strings.CutPrefix(name, "tour/")
		at := slices.IndexFunc(scripts, func(s script) bool { return s.Name == page })
		switch {
		case name == "":
			show(w, "index", scripts)
		case name == "tour/session":
			show(w, "session", look(r.Header.Get("Cookie")))
		case at < 0:
			http.NotFound(w, r)
		case onTour:
			show(w, "stop", newStop(scripts, at))
		default:
			h := &cgi.Handler{Path: filepath.Join(dir, name), Root: "/" + name, Dir: dir, InheritEnv: settings()}
			h.ServeHTTP(w, r)
		}
	})
}

type script struct {
	Name   string
	Does   string // the first paragraph of the script's first comment
	Try    string // what to try on its page; may be empty
	Source string
}

// interpreters are the programs that scripts need besides sh, by their names' ends.
var interpreters = map[string]string{".pl": "perl", ".py": "python3"}

// find returns the scripts in dir that can be run on this machine: in the order of
// the tour, then in that of their names.
func find(dir string) ([]script, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	order, try, err := readTour(filepath.Join(dir, "tour.txt"))
	if err != nil {
		return nil, err
	}
	var scripts []script
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			continue
		}
		if program := interpreters[filepath.Ext(e.Name())]; program != "" {
			if _, err := exec.LookPath(program); err != nil {
				continue
			}
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		scripts = append(scripts, script{e.Name(), firstParagraph(string(text)), try[e.Name()], string(text)})
	}
	place := func(s script) int {
		if i := slices.Index(order, s.Name); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(scripts, func(a, b script) int { return place(a) - place(b) })
	return scripts, nil
}

// readTour reads the order of the tour and what to try on each page: lines
// "NAME: TEXT", and comments. A directory without such a file has no order.
func readTour(file string) (order []string, try map[string]string, err error) {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	try = make(map[string]string)
	for line := range strings.Lines(string(text)) {
		if name, what, ok := strings.Cut(line, ": "); ok && !strings.HasPrefix(line, "#") {
			order = append(order, name)
			try[name] = strings.TrimSpace(what)
		}
	}
	return order, try, nil
}

// firstParagraph returns the first paragraph of the comment that follows the "#!" of a script.
func firstParagraph(text string) string {
	var words []string
	_, text, _ = strings.Cut(text, "\n")
	for line := range strings.Lines(text) {
		comment, ok := strings.CutPrefix(line, "#")
		fields := strings.Fields(comment)
		if !ok || len(fields) == 0 {
			break
		}
		words = append(words, fields...)
	}
	return strings.Join(words, " ")
}

// settings returns the names of the variables that scripts get from this process: those that
// configure cgisession, and the user for whom admin.sh is shown, since nobody logs in here.
func settings() []string {
	names := []string{"REMOTE_USER"}
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "CGISESSION_") {
			names = append(names, name)
		}
	}
	return names
}
