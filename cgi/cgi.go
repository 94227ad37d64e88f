// Package cgi reads the environment of a CGI script: the variables of the web server
// (RFC 3875) and those that earlier calls of the same request have exported. It says
// which of them belong to another request ([Inherited]), and which names are free for
// session data ([IsReserved]). It also quotes text for shells ([Quote]).
//
// Every function that reads variables takes a function lookup, which is os.LookupEnv or
// behaves like it. Values of the web server cannot be wrong here: a client may have
// chosen them. An error is about a variable of this program, names it, and does not
// hold its value.
package cgi

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Env is what a call reads from its environment. Besides, a call reads the variables of
// its options, those of [Script] and [Inherited], and PATH to find a COMMAND. Of the
// header fields, which a client can name at will, it reads HTTP_COOKIE only.
type Env struct {
	Cookie     string // HTTP_COOKIE: the Cookie header (RFC 3875 §4.1.18)
	HTTPS      bool   // the request came over https, by HTTPS or REQUEST_SCHEME
	ServerName string // SERVER_NAME (RFC 3875 §4.1.14); some servers take it from the client
	ScriptName string // SCRIPT_NAME: the path of the script's URL (RFC 3875 §4.1.13)
	TempDir    string // TMPDIR, or /tmp
	RuntimeDir string // XDG_RUNTIME_DIR, or empty
	LockFD     int    // CGISESSION_LOCK_FD: the descriptor that holds the session's lock; 0: none
	LockToken  string // CGISESSION_LOCK_TOKEN: holds the session's lock in Redis; empty: none
	Request    Request

	DataVariables []string // CGISESSION_ENV: the variables that an outer run --env has set
}

// Request is the session that an earlier call of the same request has exported. Its
// zero value means that none has.
type Request struct {
	Named          bool   // CGISESSION_ID is set: the request means this session and no other
	ID             string // CGISESSION_ID, not validated; empty: the session has ended
	IsNew          bool   // CGISESSION_IS_NEW: this request has created the session
	WasInvalidated bool   // CGISESSION_WAS_INVALIDATED: in place of one that had ended
	Minted         bool   // CGISESSION_MINTED: it may not be stored before its first change
	Adopted        bool   // CGISESSION_ADOPTED: the script has named it, by --adopt-id or --new-id
	Accessed       int64  // CGISESSION_ACCESSED: the access before this request, Unix seconds; 0: unknown
}

// Read reads the environment. It returns an error if CGISESSION_LOCK_FD is no number of
// a descriptor, or a companion of CGISESSION_ID has a value that no call exports. The
// companions are not read without CGISESSION_ID.
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

// ParseFD accepts the number of a descriptor other than stdin, stdout and stderr: from
// 3 to 2147483647. The system would cut a longer number to 32 bits, which may be the
// number of another descriptor.
func ParseFD(text string) (int, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 3 {
		return 0, errors.New("must be the number of a descriptor from 3 up")
	}
	return int(n), nil
}

// isOn reports whether the variable HTTPS says that the request came over https. No
// standard defines it. For http, servers leave it out or set one of the words here, in
// any letter case; for https they set "on", "1", the name of a cipher or anything else.
func isOn(https string) bool {
	return !slices.Contains([]string{"", "off", "0", "no", "false"}, strings.ToLower(https))
}

// readRequest reads CGISESSION_ID and, if it is set, its companions. An empty companion
// counts as unset.
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
	r.Adopted = flag("CGISESSION_ADOPTED")
	if text, _ := lookup("CGISESSION_ACCESSED"); text != "" {
		var bad error
		if r.Accessed, bad = strconv.ParseInt(text, 10, 64); bad != nil {
			err = errors.New("CGISESSION_ACCESSED must be Unix seconds, as load --sh exports it")
		}
	}
	return r, err
}
