package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

//go:embed tour.html
var tourHTML embed.FS

var pages = template.Must(template.ParseFS(tourHTML, "tour.html"))

// show answers with one of the pages in tour.html.
func show(w http.ResponseWriter, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if err := pages.ExecuteTemplate(w, name, data); err != nil {
		log.Print(err)
	}
}

// A stop is a page of the tour: a script in a frame.
type stop struct {
	script
	Number, Of int
	Next       string // the next script; empty at the end
}

func newStop(scripts []script, at int) stop {
	s := stop{script: scripts[at], Number: at + 1, Of: len(scripts)}
	if s.Number < s.Of {
		s.Next = scripts[s.Number].Name
	}
	return s
}

// A session is what a visitor may see of the own session: no id, no token.
type session struct {
	Data                       string // JSON, indented; empty without a session
	User                       string
	Created, Accessed, Expires string
	Version                    int64
	Trouble                    string // why the session could not be read
}

// look asks the program for the session of a request with these cookies. Neither call
// marks an access or waits for a lock, so looking changes nothing.
func look(cookies string) session {
	var known struct {
		User              string
		Created, Accessed float64
		ExpiresIn         *int64 `json:"expires_in"`
		Version           int64
	}
	info, err := ask(cookies, "info", "--no-lock")
	if err == nil {
		err = json.Unmarshal(info, &known)
	}
	var data []byte
	if err == nil {
		data, err = ask(cookies, "get", "--no-lock")
	}
	if err != nil {
		return session{Trouble: trouble(err)}
	}
	s := session{User: known.User, Version: known.Version,
		Created: clock(known.Created), Accessed: clock(known.Accessed)}
	if known.ExpiresIn != nil {
		s.Expires = (time.Duration(*known.ExpiresIn) * time.Second).String()
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, data, "", "  "); err != nil {
		return session{Trouble: trouble(err)}
	}
	s.Data = strings.TrimSpace(indented.String())
	return s
}

// ask runs cgisession for a request with these cookies.
func ask(cookies string, args ...string) ([]byte, error) {
	command := exec.Command("cgisession", args...)
	command.Env = append(os.Environ(), "HTTP_COOKIE="+cookies)
	return command.Output()
}

// trouble returns what to tell of an error: nothing if there is just no session,
// which is exit code 1.
func trouble(err error) string {
	var exit *exec.ExitError
	switch {
	case !errors.As(err, &exit):
		return err.Error()
	case exit.ExitCode() == 1:
		return ""
	default:
		return fmt.Sprintf("exit code %d: %s", exit.ExitCode(), exit.Stderr)
	}
}

func clock(unix float64) string { return time.Unix(int64(unix), 0).Format(time.TimeOnly) }
