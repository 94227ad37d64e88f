// Command cgiserver serves the CGI scripts of a directory, for scripts/demo and for
// tests. GET / lists them, and each runs under its own name. It passes PATH and the
// variables that begin with CGISESSION_ on to them.
//
// It is meant for a loopback address only: it is not built to serve strangers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"log"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
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
		if r.URL.Path == "/" {
			index.Execute(w, scripts)
			return
		}
		for _, s := range scripts {
			if r.URL.Path == "/"+s.Name {
				path := filepath.Join(dir, s.Name)
				h := &cgi.Handler{Path: path, Root: "/" + s.Name, Dir: dir, InheritEnv: settings()}
				h.ServeHTTP(w, r)
				return
			}
		}
		http.NotFound(w, r)
	})
}

type script struct {
	Name string
	Does string // the script's first comment
}

// find returns the scripts in dir that can be run on this machine.
func find(dir string) ([]script, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	_, noPerl := exec.LookPath("perl")
	var scripts []script
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			continue
		}
		if strings.HasSuffix(e.Name(), ".pl") && noPerl != nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		scripts = append(scripts, script{e.Name(), firstComment(string(text))})
	}
	return scripts, nil
}

// firstComment returns the second line of a script, which follows its "#!".
func firstComment(text string) string {
	_, text, _ = strings.Cut(text, "\n")
	line, _, _ := strings.Cut(text, "\n")
	return strings.TrimLeft(line, "# ")
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

var index = template.Must(template.New("index").Parse(`<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>cgisession: examples</title>
<h1>cgisession: examples</h1>
<ul>
{{range .}}<li><a href="{{.Name}}">{{.Name}}</a>: {{.Does}}
{{end}}</ul>
`))
