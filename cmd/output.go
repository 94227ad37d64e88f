package cmd

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sys/unix"

	"cgisession/cgi"
	"cgisession/store"
)

// output collects what a call prints on stdout, so that nothing is printed
// before the change is stored, and nothing at all if it failed.
type output struct{ text []byte }

func (o *output) Write(p []byte) (int, error) {
	o.text = append(o.text, p...)
	return len(p), nil
}

// print is Write for a string. It does not go through io.Writer, which would
// first ask the output what else it can do.
func (o *output) print(text string) { o.text = append(o.text, text...) }

// streamAt is how much is collected of what streams, in bytes.
const streamAt = 64 << 10

// stream writes out what was collected once it is enough. It is for verbs whose
// answer has no bound, and which only read.
func (o *output) stream() error {
	if len(o.text) < streamAt {
		return nil
	}
	return o.flush()
}

// flush writes all of it to stdout.
func (o *output) flush() error {
	n, err := descriptor(unix.Stdout).Write(o.text)
	o.text = o.text[n:]
	if err != nil {
		return fmt.Errorf("%w: %w", errOutput, err)
	}
	return nil
}

// A descriptor is read and written around os.File, by which Go ends the program on
// a broken pipe to stdout or stderr before it could say so in its exit code, and
// which closes what is only lent.
type descriptor int

func stderr() descriptor { return descriptor(os.Stderr.Fd()) }

// Read reads as io.Reader has it. It leaves the descriptor open, also once nothing
// refers to it any more.
func (d descriptor) Read(text []byte) (int, error) {
	for {
		n, err := unix.Read(int(d), text)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			unix.Poll([]unix.PollFd{{Fd: int32(d), Events: unix.POLLIN}}, -1)
		case err != nil:
			return 0, err
		case n == 0 && len(text) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func (d descriptor) Write(text []byte) (written int, err error) {
	for written < len(text) {
		n, err := unix.Write(int(d), text[written:])
		switch err {
		case nil:
			written += n
		case unix.EINTR:
		case unix.EAGAIN:
			unix.Poll([]unix.PollFd{{Fd: int32(d), Events: unix.POLLOUT}}, -1)
		default:
			return written, err
		}
	}
	return written, nil
}

// printHeaders writes the answer of a header verb: the lines themselves, or
// with --sh code for eval that prints them and exports the session.
func (c *call) printHeaders(r *result, sh bool) {
	if sh {
		c.stdout.print(shellHeaders(r.headers) + c.shellExports(r))
		return
	}
	for _, line := range r.headers {
		c.stdout.print(line + "\n")
	}
}

// shellExports returns shell code that exports the session.
func (c *call) shellExports(r *result) string {
	code := ""
	exports := r.exports()
	if others := c.inheritedBeside(exports); others != nil {
		code = "unset " + strings.Join(others, " ") + "\n"
	}
	return code + "export" + shellWords(exports) + " " + cgi.RequestVariable + "=" + c.binding(0).ShellWord() + "\n"
}

// shellHeaders returns shell code that prints the header lines. The format has a
// line feed rather than a backslash, which yash's printf takes for a currency
// sign under SHIFT_JIS and JOHAB.
func shellHeaders(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	code := `printf ` + cgi.Quote("%s\n")
	for _, line := range lines {
		code += " " + cgi.Quote(line)
	}
	return code + "\n"
}

// A setting is an environment variable and its value.
type setting struct{ name, value string }

// exports returns what later calls of the request are told of the session.
func (r *result) exports() []setting {
	s := r.session
	if s == nil {
		return []setting{
			{"CGISESSION_ID", ""}, {"CGISESSION_TOKEN", ""}, {"CGISESSION_IS_NEW", ""}, {"CGISESSION_WAS_INVALIDATED", "1"},
			{"CGISESSION_VERSION", ""}, {"CGISESSION_CREATED", ""}, {"CGISESSION_ACCESSED", ""}, {"CGISESSION_MINTED", ""},
		}
	}
	return []setting{
		{"CGISESSION_ID", r.id},
		{"CGISESSION_TOKEN", r.token},
		{"CGISESSION_IS_NEW", flag(r.isNew)},
		{"CGISESSION_WAS_INVALIDATED", flag(r.wasInvalidated)},
		{"CGISESSION_VERSION", strconv.FormatUint(s.Version, 10)},
		{"CGISESSION_CREATED", strconv.FormatInt(s.Created, 10)},
		{"CGISESSION_ACCESSED", strconv.FormatInt(r.accessed, 10)},
		{"CGISESSION_MINTED", flag(r.minted)},
	}
}

// flag returns a truth as a variable has it: 1 or empty.
func flag(on bool) string {
	if on {
		return "1"
	}
	return ""
}

// shellWords returns the settings as words of a shell command.
func shellWords(settings []setting) string {
	var words strings.Builder
	for _, s := range settings {
		words.WriteString(" " + s.name + "=" + cgi.Quote(s.value))
	}
	return words.String()
}

// object writes a JSON object member by member.
type object struct{ text []byte }

func (o *object) raw(name string, value []byte) {
	separator := byte(',')
	if len(o.text) == 0 {
		separator = '{'
	}
	o.text = append(o.text, separator)
	o.text, _ = jsontext.AppendQuote(o.text, name)
	o.text = append(o.text, ':')
	o.text = append(o.text, value...)
}

func (o *object) string(name, value string) {
	quoted, _ := jsontext.AppendQuote(nil, value)
	o.raw(name, quoted)
}

func (o *object) bool(name string, value bool) { o.raw(name, strconv.AppendBool(nil, value)) }
func (o *object) int(name string, value int64) { o.raw(name, strconv.AppendInt(nil, value, 10)) }

// end returns the object's text.
func (o *object) end() []byte {
	if len(o.text) == 0 {
		return []byte("{}")
	}
	return append(o.text, '}')
}

// array returns the strings as a JSON array.
func array(texts []string) []byte {
	list := []byte{'['}
	for i, text := range texts {
		if i > 0 {
			list = append(list, ',')
		}
		list, _ = jsontext.AppendQuote(list, text)
	}
	return append(list, ']')
}

// json returns the session as load --json prints it, with the variables that a
// program has to set for its later calls. An empty one is as good as none.
func (c *call) json(r *result, request setting) []byte {
	var env object
	exports := append(r.exports(), request)
	for _, s := range exports {
		env.string(s.name, s.value)
	}
	for _, name := range c.inheritedBeside(exports) {
		env.string(name, "")
	}
	var o object
	o.raw("headers", array(r.headers))
	o.string("id", r.id)
	o.string("token", r.token)
	o.bool("is_new", r.isNew)
	o.bool("was_invalidated", r.wasInvalidated)
	o.int("version", int64(r.session.Version))
	o.int("created", r.session.Created)
	o.int("accessed", r.accessed)
	o.string("request", request.value)
	o.raw("env", env.end())
	o.raw("data", r.session.Data)
	return o.end()
}

// A name is a shell variable and the key of the session that fills it.
type name struct{ variable, key string }

// parseNames reads NAME arguments: a key that is a shell name, or VAR=/pointer.
// What is neither is not repeated, for it may be an id.
func parseNames(args []string) ([]name, error) {
	var names []name
	for i, arg := range args {
		n := name{arg, arg}
		if variable, pointer, ok := strings.Cut(arg, "="); ok {
			if !strings.HasPrefix(pointer, "/") {
				return nil, usagef("NAME %d: after VAR= comes a JSON Pointer, which begins with /", i+1)
			}
			n = name{variable, pointer}
		}
		if !cgi.IsShellName(n.variable) {
			return nil, usagef("NAME %d is no shell name; write VAR=/pointer", i+1)
		}
		if cgi.IsReserved(n.variable) {
			return nil, usagef("variable %s means something to the shell or the web server; write VAR=/pointer with another name", n.variable)
		}
		if _, _, err := store.Empty.Get(n.key); err != nil {
			return nil, err
		}
		names = append(names, n)
	}
	return names, nil
}

// assign returns shell code that sets each name's variable: a string's
// characters, any other value's JSON, what is absent to byDefault.
func assign(names []name, data store.Data, byDefault store.Value) (string, error) {
	var settings []setting
	for _, n := range names {
		v, ok, err := data.Get(n.key)
		if err != nil {
			return "", err
		}
		if !ok {
			v = byDefault
		}
		settings = append(settings, setting{n.variable, v.Text()})
	}
	if settings == nil {
		return "", nil
	}
	return shellWords(settings)[1:] + "\n", nil
}
