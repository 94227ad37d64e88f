// Package cgi reads the environment that a web server gives a CGI script
// (RFC 3875) and that earlier calls of the same request added to, and writes
// what shells and web servers read.
package cgi

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Env is what a call reads of its environment. Besides it, a call reads the
// variables of its options, those of [Script] and of [Inherited], and PATH to find a
// COMMAND. Nothing else that a client can name is read.
type Env struct {
	Cookie     string // HTTP_COOKIE: the request's Cookie header
	HTTPS      bool   // HTTPS is set and not off, or REQUEST_SCHEME is https
	ServerName string // SERVER_NAME, for cookies to delete; some servers have it from the client
	ScriptName string // SCRIPT_NAME, for the same
	TempDir    string // TMPDIR, or /tmp
	RuntimeDir string // XDG_RUNTIME_DIR, or empty
	LockFD     int    // CGISESSION_LOCK_FD: a descriptor that holds the session's lock; 0: none
	LockToken  string // CGISESSION_LOCK_TOKEN: the session's lock where that is no descriptor; empty: none
	Request    Request

	DataVariables []string // CGISESSION_ENV: names of those that an outer run --env made
}

// Request is the session that an earlier call of the same request exported.
type Request struct {
	Named          bool   // CGISESSION_ID is set: this session is meant, and no other
	ID             string // CGISESSION_ID; empty if the session was ended
	IsNew          bool   // CGISESSION_IS_NEW
	WasInvalidated bool   // CGISESSION_WAS_INVALIDATED
	Minted         bool   // CGISESSION_MINTED: not stored before its first change
	Accessed       int64  // CGISESSION_ACCESSED, Unix seconds; 0: not said
}

// Read reads the environment through lookup, which is os.LookupEnv or behaves
// like it. What a web server or an earlier call would never set is an error.
func Read(lookup func(string) (string, bool)) (Env, error) {
	get := func(name string) string {
		text, _ := lookup(name)
		return text
	}
	e := Env{
		Cookie:     get("HTTP_COOKIE"),
		HTTPS:      isOn(get("HTTPS")) || strings.EqualFold(get("REQUEST_SCHEME"), "https"),
		ServerName: get("SERVER_NAME"),
		ScriptName: get("SCRIPT_NAME"),
		TempDir:    get("TMPDIR"),
		RuntimeDir: get("XDG_RUNTIME_DIR"),
		LockToken:  get("CGISESSION_LOCK_TOKEN"),

		DataVariables: readDataVariables(lookup),
	}
	if e.TempDir == "" {
		e.TempDir = "/tmp"
	}
	if text := get("CGISESSION_LOCK_FD"); text != "" {
		var err error
		if e.LockFD, err = ParseFD(text); err != nil {
			return e, errors.New("CGISESSION_LOCK_FD " + err.Error())
		}
	}
	var err error
	e.Request, err = readRequest(lookup)
	return e, err
}

// ParseFD reads the number of a descriptor other than stdin, stdout and stderr. The
// system would take a number of more than 32 bits for another one.
func ParseFD(text string) (int, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 3 {
		return 0, errors.New("must be the number of a descriptor from 3 up")
	}
	return int(n), nil
}

// isOn reports whether the variable HTTPS says that the request came over https.
// No standard says how. For http servers leave it out or say one of the words
// here; for https they say "on", "1" or anything else.
func isOn(https string) bool {
	return !slices.Contains([]string{"", "off", "0", "no", "false"}, strings.ToLower(https))
}

// readRequest reads CGISESSION_ID and, if that is set, its companions.
func readRequest(lookup func(string) (string, bool)) (r Request, err error) {
	if r.ID, r.Named = lookup("CGISESSION_ID"); !r.Named {
		return r, nil
	}
	flag := func(name string) bool {
		text, _ := lookup(name)
		if text != "" && text != "1" {
			err = errors.New(name + " must be 1 or empty, as load --sh exports it")
		}
		return text == "1"
	}
	r.IsNew = flag("CGISESSION_IS_NEW")
	r.WasInvalidated = flag("CGISESSION_WAS_INVALIDATED")
	r.Minted = flag("CGISESSION_MINTED")
	if text, _ := lookup("CGISESSION_ACCESSED"); text != "" {
		var bad error
		if r.Accessed, bad = strconv.ParseInt(text, 10, 64); bad != nil {
			err = errors.New("CGISESSION_ACCESSED must be Unix seconds, as load --sh exports it")
		}
	}
	return r, err
}
