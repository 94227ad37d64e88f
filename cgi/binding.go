package cgi

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// A call exports variables for the later calls of its request. A server that the script
// starts inherits them and hands them to the scripts of all visitors, who would all get
// one session. So one more variable, CGISESSION_REQUEST, says which request they belong
// to, and they count in that request only.

// RequestVariable holds the text of a [Binding].
const RequestVariable = "CGISESSION_REQUEST"

// dataVariables lists the variables that run --env has set, with blanks between them.
const dataVariables = "CGISESSION_ENV"

// readDataVariables returns the names of the variables that an outer run --env has set.
// It drops names that run --env cannot have set.
func readDataVariables(lookup func(string) (string, bool)) []string {
	text, _ := lookup(dataVariables)
	unfit := func(name string) bool { return !IsShellName(name) || IsReserved(name) }
	return slices.DeleteFunc(strings.Fields(text), unfit)
}

// exported are the variables that load, run and lock export, and every header verb
// with --sh.
var exported = []string{
	"CGISESSION_ID", "CGISESSION_TOKEN", "CGISESSION_IS_NEW", "CGISESSION_WAS_INVALIDATED", "CGISESSION_VERSION",
	"CGISESSION_CREATED", "CGISESSION_ACCESSED", "CGISESSION_MINTED", "CGISESSION_ADOPTED",
	RequestVariable, "CGISESSION_LOCK_FD", "CGISESSION_LOCK_TOKEN", "CGISESSION_DATA", dataVariables,
}

// Exported returns the names of all variables that a call may export.
func Exported() []string { return slices.Clip(exported) }

// identifying are the variables that distinguish one request from another.
// SERVER_SOFTWARE is among them for a server that sets neither REMOTE_PORT nor UNIQUE_ID
// itself, but has inherited both from the server whose script started it.
var identifying = []string{"HTTP_COOKIE", "REMOTE_ADDR", "REMOTE_PORT", "REQUEST_URI", "UNIQUE_ID", "SERVER_SOFTWARE"}

// ofConnection are those of them that differ between two requests of one client for one
// page.
var ofConnection = []string{"REMOTE_PORT", "UNIQUE_ID"}

// A Binding ties exported variables to a request. Its text is the value of
// CGISESSION_REQUEST: REQUEST:CONNECTION:COOKIE:TIME:PROCESS, three hashes of 32
// hexadecimal digits and two decimal numbers.
type Binding struct {
	request    string // hash of the identifying variables, or unknown
	connection string // hash of the variables ofConnection
	cookie     string // hash of HTTP_COOKIE
	time       int64  // of the export, in clock ticks since boot
	process    int    // id of the script's process
}

// unknown is the request of a Binding whose variables do not identify a request. It fits
// descendants of the script's process only.
const unknown = "00000000000000000000000000000000"

// Bind returns the binding to the present request. now is the time in clock ticks since
// boot, process the id of the script's process.
//
// lookup reads the request's environment. all reads the whole environment, in which the
// variables of another request ([Inherited]) are still set: a server that the script
// starts inherits the cookie from there. If the present request has the same variables
// of the connection as the other one, a server has handed them down, and they identify
// no request.
func Bind(lookup, all func(string) (string, bool), now int64, process int) Binding {
	cookie, _ := all("HTTP_COOKIE")
	b := Binding{requestHash(lookup), connectionHash(lookup), hash("cookie", cookie), now, process}
	text, _ := all(RequestVariable)
	_, own := lookup(RequestVariable)
	before, err := parseBinding(text)
	if err == nil && before.connection == b.connection && hasConnection(lookup) && (!own || before.request == unknown) {
		b.request = unknown
	}
	return b
}

// Text returns the value of CGISESSION_REQUEST.
func (b Binding) Text() string { return b.head() + strconv.Itoa(b.process) }

// head returns Text without the process.
func (b Binding) head() string {
	return b.request + ":" + b.connection + ":" + b.cookie + ":" + strconv.FormatInt(b.time, 10) + ":"
}

// ShellWord returns Text as a word of a POSIX shell. The process is the shell that
// evaluates it: $$.
func (b Binding) ShellWord() string { return Quote(b.head()) + `"$$"` }

// parseBinding parses what Text returned. Its error does not hold the text.
func parseBinding(text string) (b Binding, err error) {
	part := strings.Split(text, ":")
	if len(part) == 5 && isHash(part[0]) && isHash(part[1]) && isHash(part[2]) &&
		isNumber(part[3]) && isNumber(part[4]) {
		b = Binding{request: part[0], connection: part[1], cookie: part[2]}
		var badTime, badProcess error
		b.time, badTime = strconv.ParseInt(part[3], 10, 64)
		b.process, badProcess = strconv.Atoi(part[4])
		if badTime == nil && badProcess == nil {
			return b, nil
		}
	}
	return Binding{}, errors.New(RequestVariable + " must be as load --sh exports it")
}

func isHash(text string) bool {
	return len(text) == 2*hashSize && strings.Trim(text, "0123456789abcdef") == ""
}

func isNumber(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }

// Kin is how another process is related to this one.
type Kin int

const (
	NoKin    Kin = iota // not at all, as far as is known
	Ancestor            // it is this process, its parent, the parent's parent or so on
	Group               // the system shows no ancestors, but it is in the same process group
)

// Inherited returns the names of the variables that belong to another request than the
// present one and must count as unset. They are all exported variables, those that
// run --env has set, and HTTP_COOKIE if its value is the other request's: a server that
// was started with it set hands it on when a client sends no cookie. Without
// CGISESSION_REQUEST, and outside of a CGI request, it returns nil.
//
// kin says how the process pid is related to this one. by is a time, in clock ticks
// since boot: a process that started later is another one, which reuses the pid. A
// malformed CGISESSION_REQUEST is an error.
func Inherited(lookup func(string) (string, bool), kin func(pid int, by int64) Kin) ([]string, error) {
	text, _ := lookup(RequestVariable)
	if server, _ := lookup("GATEWAY_INTERFACE"); server == "" || text == "" {
		return nil, nil
	}
	b, err := parseBinding(text)
	if err != nil || b.fits(lookup, kin(b.process, b.time)) {
		return nil, err
	}
	names := append(exported[:len(exported):len(exported)], readDataVariables(lookup)...)
	if cookie, _ := lookup("HTTP_COOKIE"); hash("cookie", cookie) == b.cookie {
		names = append(names, "HTTP_COOKIE")
	}
	return names, nil
}

// fits reports whether the binding is to the present request. A descendant of the script
// belongs to its request, whatever variables the script has changed. A background job
// that has outlived the script is known by the values of all identifying variables, if
// one of the connection's is set. On a system that shows no ancestors, a process of the
// script's group is known by the same values: its group alone would not be enough, since
// the number of the script's process may be another process's by now.
func (b Binding) fits(lookup func(string) (string, bool), kin Kin) bool {
	if kin == Ancestor {
		return true
	}
	return (kin == Group || hasConnection(lookup)) && requestHash(lookup) == b.request
}

// requestHash returns the hash of the variables that identify a request.
func requestHash(lookup func(string) (string, bool)) string {
	return hash("request", values(lookup, identifying)...)
}

// connectionHash returns the hash of the variables of the connection.
func connectionHash(lookup func(string) (string, bool)) string {
	return hash("connection", values(lookup, ofConnection)...)
}

// hasConnection reports whether one of the variables of the connection is set.
func hasConnection(lookup func(string) (string, bool)) bool {
	return strings.Join(values(lookup, ofConnection), "") != ""
}

// values returns the values of variables, "" for one that is unset.
func values(lookup func(string) (string, bool), names []string) (values []string) {
	for _, name := range names {
		value, _ := lookup(name)
		values = append(values, value)
	}
	return values
}

// hashSize is how much of a SHA-256 hash keeps, in bytes.
const hashSize = 16

// hash returns a hash of texts for one purpose, in hexadecimal. The length before each
// text makes ("ab", "c") and ("a", "bc") differ.
func hash(purpose string, texts ...string) string {
	all := "cgisession " + purpose + "\x00"
	for _, text := range texts {
		all += strconv.Itoa(len(text)) + ":" + text
	}
	sum := sha256.Sum256([]byte(all))
	return hex.EncodeToString(sum[:hashSize])
}
