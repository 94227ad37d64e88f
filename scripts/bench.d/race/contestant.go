package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// The tasks: each is one process.
const (
	get   = "get"   // print the value of one key
	incr  = "incr"  // increment a number, save and print it
	first = "first" // a first visit: make a session, print its cookie
	page  = "page"  // a whole answer: greet by name and count the visit
)

// A contestant keeps one session, in its own way.
type contestant struct {
	name    string
	command func(task string) []string
	env     []string
	cookie  string // what the client sends
}

// do returns the process that does a task.
func (c contestant) do(task string) process {
	env := append(c.env[:len(c.env):len(c.env)], "QUERY_STRING="+task)
	if task != first {
		env = append(env, "HTTP_COOKIE="+c.cookie)
	}
	return process{c.command(task), env}
}

// environment returns the variables that a web server gives a CGI script, for all
// contestants.
func (c *course) environment(dir, data string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "DOCUMENT_ROOT=" + c.pages, "GATEWAY_INTERFACE=CGI/1.1",
		"SERVER_PROTOCOL=HTTP/1.1", "SERVER_SOFTWARE=race", "SERVER_NAME=localhost", "SERVER_PORT=80",
		"REQUEST_METHOD=GET", "REQUEST_URI=/page", "REMOTE_ADDR=127.0.0.1", "REDIRECT_STATUS=200",
		"SCRIPT_NAME=/page", "HTTP_HOST=localhost", "HTTP_USER_AGENT=race", "HTTP_ACCEPT=*/*",
		"BENCH_DIR=" + dir, "BENCH_DATA=" + data, "CGISESSION_DATA_DIR=" + dir, "CGISESSION_CONFIG=none",
	}
}

// ours returns cgisession with a session of its own that holds the data.
func (c *course) ours(dir string, data []byte, number int) (contestant, error) {
	id := fmt.Sprintf("race-session-number-%04d", number)
	us := contestant{
		name: "cgisession",
		command: func(task string) []string {
			return map[string][]string{
				get:   {"cgisession", "get", "name"},
				incr:  {"cgisession", "incr", "visits"},
				first: {"cgisession", "load"},
			}[task]
		},
		env:    c.environment(dir, ""),
		cookie: "cgisession_id=" + id,
	}
	_, err := process{[]string{"cgisession", "save", "--adopt-id", id}, us.env}.output(data)
	return us, err
}

// floors returns the programs that only read that session's file.
func (c *course) floors(us contestant) ([]contestant, error) {
	text, err := process{[]string{"cgisession", "info"}, append(us.env, "HTTP_COOKIE="+us.cookie)}.output(nil)
	if err != nil {
		return nil, err
	}
	var info struct{ Path string }
	if err := json.Unmarshal([]byte(text), &info); err != nil {
		return nil, err
	}
	var floors []contestant
	for _, floor := range []struct{ name, program string }{{"Go floor", "floor"}, {"C floor", "floor-c"}} {
		program := filepath.Join(c.bin, floor.program)
		if _, err := os.Stat(program); err == nil {
			args := []string{program, info.Path}
			floors = append(floors, contestant{floor.name, func(string) []string { return args }, us.env, us.cookie})
		}
	}
	return floors, nil
}

var peerCommands = map[string]struct {
	name string
	args []string
	page string
}{
	"perl":   {"Perl, CGI::Session", []string{"/usr/bin/perl"}, "perl.cgi"},
	"php":    {"php-cgi", []string{"/usr/bin/php-cgi"}, "php.php"},
	"python": {"Python, Beaker", []string{"/usr/bin/python3"}, "python.cgi"},
}

var cookieLine = regexp.MustCompile(`(?m)^Set-Cookie: ?([^;\n]+)`)

// peer returns a way other than cgisession, with a session of its own that holds the
// data.
func (c *course) peer(which, dir string, data []byte) (contestant, error) {
	how := peerCommands[which]
	if how.name == "" {
		return contestant{}, fmt.Errorf("no peer %q", which)
	}
	dir = filepath.Join(dir, which)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return contestant{}, err
	}
	file := dir + ".json"
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return contestant{}, err
	}
	script := filepath.Join(c.pages, how.page)
	args := append(how.args[:1:1], script)
	p := contestant{
		name:    how.name,
		command: func(string) []string { return args },
		env:     append(c.environment(dir, file), "SCRIPT_FILENAME="+script),
	}
	text, err := p.do("init").output(nil)
	if err != nil {
		return p, err
	}
	match := cookieLine.FindStringSubmatch(text)
	if match == nil {
		return p, fmt.Errorf("no cookie from %s in %q", how.name, text)
	}
	p.cookie = match[1]
	return p, nil
}

// field returns the floors, cgisession and the peers, in this order.
func (c *course) field(dir string, data []byte) ([]contestant, error) {
	us, err := c.ours(dir, data, 0)
	if err != nil {
		return nil, err
	}
	all, err := c.floors(us)
	if err != nil {
		return nil, err
	}
	all = append(all, us)
	for _, which := range c.peers {
		p, err := c.peer(which, dir, data)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// isFloor reports whether the contestant only reads.
func (c contestant) isFloor() bool { return strings.HasSuffix(c.name, "floor") }

// check does a task once and verifies the answer.
func (c contestant) check(task string) error {
	if c.isFloor() {
		return nil
	}
	text, err := c.do(task).output(nil)
	if err != nil {
		return err
	}
	good := false
	switch lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n"); task {
	case get:
		good = strings.Trim(lines[len(lines)-1], `"`) == "Ann"
	case incr:
		_, err := strconv.Atoi(lines[len(lines)-1])
		good = err == nil
	case first:
		good = cookieLine.MatchString(text)
	}
	if !good {
		return fmt.Errorf("%s: %s: %q is no answer", c.name, task, text)
	}
	return nil
}

// visits increments once more and returns the sum.
func (c contestant) visits() (int, error) {
	text, err := c.do(incr).output(nil)
	if err != nil {
		return 0, err
	}
	lines := strings.Fields(text)
	return strconv.Atoi(lines[len(lines)-1])
}

// cart returns a session's data of about size bytes.
func cart(size int) []byte {
	type item struct {
		ID    int    `json:"id"`
		Title string `json:"title"`
		Count int    `json:"count"`
		Gift  bool   `json:"gift"`
	}
	data := struct {
		Name   string `json:"name"`
		Visits int    `json:"visits"`
		Items  []item `json:"items"`
	}{"Ann", 0, []item{}}
	one, _ := json.Marshal(item{99, "a blue teapot with a lid, two cups", 2, true})
	for i := range size / (len(one) + 2) {
		data.Items = append(data.Items, item{i, "a blue teapot with a lid, two cups", i % 7, i%2 == 0})
	}
	text, _ := json.Marshal(data)
	return text
}
