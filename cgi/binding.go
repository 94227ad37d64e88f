package cgi

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// What one call of a request exports to the later ones would outlive the
// request in a server that the script starts: that hands its environment to the
// scripts of all visitors. So CGISESSION_REQUEST says which request the
// variables belong to, and they count in that request only.

// RequestVariable holds the text of a Binding.
const RequestVariable = "CGISESSION_REQUEST"

// dataVariables is the variable that lists what run --env made.
const dataVariables = "CGISESSION_ENV"

// readDataVariables returns the names of what an outer run --env made.
func readDataVariables(lookup func(string) (string, bool)) []string {
	text, _ := lookup(dataVariables)
	return slices.DeleteFunc(strings.Fields(text), func(name string) bool { return !IsShellName(name) || IsReserved(name) })
}

// exported are the variables that load, run and lock export.
var exported = []string{
	"CGISESSION_ID", "CGISESSION_TOKEN", "CGISESSION_IS_NEW", "CGISESSION_WAS_INVALIDATED", "CGISESSION_VERSION",
	"CGISESSION_CREATED", "CGISESSION_ACCESSED", "CGISESSION_MINTED", RequestVariable,
	"CGISESSION_LOCK_FD", "CGISESSION_LOCK_TOKEN", "CGISESSION_DATA", dataVariables,
}

// identifying are the variables that tell one request from another. The server's
// own name is among them for a server that sets neither REMOTE_PORT nor UNIQUE_ID:
// started by a script of one that does, it would hand those down unchanged.
var identifying = []string{"HTTP_COOKIE", "REMOTE_ADDR", "REMOTE_PORT", "REQUEST_URI", "UNIQUE_ID", "SERVER_SOFTWARE"}

// ofConnection are those of them that two requests for one page do not share.
var ofConnection = []string{"REMOTE_PORT", "UNIQUE_ID"}

// A Binding ties exported variables to a request. Its text is the value of
// CGISESSION_REQUEST: REQUEST:CONNECTION:COOKIE:TIME:PROCESS.
type Binding struct {
	request    string // hash of the identifying variables, or unknown
	connection string // hash of those that differ between two requests of one kind
	cookie     string // hash of HTTP_COOKIE
	time       int64  // of the export, in clock ticks since boot
	process    int    // of the script
}

// unknown stands for a request that its variables do not identify: only
// descendants of the script fit.
const unknown = "00000000000000000000000000000000"

// Bind returns the binding to the request at hand. Of the two environments lookup
// is the request's, and all has also what it takes for unset: the cookie goes
// into the next server's environment as it is there. Variables of the connection
// that another request had too are a server's, handed down, and identify nothing.
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

func (b Binding) head() string {
	return b.request + ":" + b.connection + ":" + b.cookie + ":" + strconv.FormatInt(b.time, 10) + ":"
}

// ShellWord returns Text as a word of a POSIX shell, with the process id of the
// shell that evaluates it.
func (b Binding) ShellWord() string { return Quote(b.head()) + `"$$"` }

// parseBinding reads what Text returned.
func parseBinding(text string) (b Binding, err error) {
	part := strings.Split(text, ":")
	if len(part) == 5 && isHash(part[0]) && isHash(part[1]) && isHash(part[2]) && isNumber(part[3]) && isNumber(part[4]) {
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

// Kin is what a process is to the one at hand.
type Kin int

const (
	NoKin    Kin = iota // no ancestor
	Ancestor            // the process itself, or its parent, or the parent of that, and so on
	Group               // the system shows no ancestors, but the process is in the same process group
)

// Inherited returns the names of the variables that belong to another request
// than the one at hand and are to be taken for unset, if there are any: what was
// exported, what run --env made of the session's data, and HTTP_COOKIE if it is the
// exporting request's. A server that was started with HTTP_COOKIE set hands it on
// for a client that sends no cookie.
//
// kin returns what a process is that started by a time, in clock ticks since
// boot. A malformed CGISESSION_REQUEST is an error. Without that variable, and
// outside of a CGI request, nothing is taken for unset.
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

// fits reports whether the binding is to the request at hand. A descendant of
// the script belongs to its request, whatever variables the script has changed.
// A background job that outlived the script is known by all the variables, if
// one of them differs from connection to connection or from request to request.
// Where the system shows no ancestors, a process number in place of that is not
// enough: it may have been given to another process since.
func (b Binding) fits(lookup func(string) (string, bool), kin Kin) bool {
	if kin == Ancestor {
		return true
	}
	return (kin == Group || hasConnection(lookup)) && requestHash(lookup) == b.request
}

func requestHash(lookup func(string) (string, bool)) string {
	return hash("request", values(lookup, identifying)...)
}

func connectionHash(lookup func(string) (string, bool)) string {
	return hash("connection", values(lookup, ofConnection)...)
}

func hasConnection(lookup func(string) (string, bool)) bool {
	return strings.Join(values(lookup, ofConnection), "") != ""
}

func values(lookup func(string) (string, bool), names []string) (values []string) {
	for _, name := range names {
		value, _ := lookup(name)
		values = append(values, value)
	}
	return values
}

// hashSize is how much of a SHA-256 is kept, in bytes.
const hashSize = 16

// hash returns a hash of texts for one purpose. The length before each keeps
// what moves from one text to the next from giving the same hash.
func hash(purpose string, texts ...string) string {
	all := "cgisession " + purpose + "\x00"
	for _, text := range texts {
		all += strconv.Itoa(len(text)) + ":" + text
	}
	sum := sha256.Sum256([]byte(all))
	return hex.EncodeToString(sum[:hashSize])
}
