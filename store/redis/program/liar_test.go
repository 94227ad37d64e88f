//go:build redis && linux

package program

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
	"cgisession/store"
	"cgisession/store/redis/redistest"
)

// A liar stands between the program and a server. It passes on requests and
// answers up to one request, and answers that and all later ones itself.
type liar struct {
	addr, server string
	honest       atomic.Int64 // requests that are still passed on
	lies         atomic.Int64
	answer       atomic.Pointer[func(net.Conn)]
}

// startLiar starts one; the server may be told later.
func startLiar(t *testing.T, server string) *liar {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startLiarOn(t, listener, server)
}

func startLiarOn(t *testing.T, listener net.Listener, server string) *liar {
	t.Helper()
	t.Cleanup(func() { listener.Close() })
	l := &liar{addr: listener.Addr().String(), server: server}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go l.serve(client)
		}
	}()
	return l
}

// lie has the liar pass on n requests and then give its own answer.
func (l *liar) lie(n int, answer func(net.Conn)) {
	l.answer.Store(&answer)
	l.lies.Store(0)
	l.honest.Store(int64(n))
}

func (l *liar) serve(client net.Conn) {
	defer client.Close()
	client.SetDeadline(time.Now().Add(time.Minute))
	var server net.Conn
	var answers *bufio.Reader
	for requests := bufio.NewReader(client); ; {
		request, err := readValue(requests)
		if err != nil {
			return
		}
		if l.honest.Add(-1) < 0 {
			l.lies.Add(1)
			(*l.answer.Load())(client)
			return
		}
		if server == nil {
			if server, err = net.Dial("tcp", l.server); err != nil {
				return
			}
			defer server.Close()
			answers = bufio.NewReader(server)
		}
		server.Write(request)
		answer, err := readValue(answers)
		if err != nil {
			return
		}
		client.Write(answer)
	}
}

// readValue returns the bytes of one value of RESP2, request or answer.
func readValue(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(line[1:])))
	switch line[0] {
	case '$':
		body := make([]byte, max(n+2, 0))
		if n < 0 {
			body = nil
		}
		_, err = io.ReadFull(r, body)
		return append(line, body...), err
	case '*':
		for range max(n, 0) {
			value, err := readValue(r)
			if err != nil {
				return nil, err
			}
			line = append(line, value...)
		}
	}
	return line, nil
}

// say answers with a text, and then nothing more until the client leaves.
func say(text string) func(net.Conn) {
	return func(c net.Conn) {
		io.WriteString(c, text)
		io.Copy(io.Discard, c)
	}
}

// leave answers with a text and closes the connection.
func leave(text string) func(net.Conn) {
	return func(c net.Conn) { io.WriteString(c, text) }
}

// withoutEnd answers with a text, and then with another again and again.
func withoutEnd(first, then string) func(net.Conn) {
	return func(c net.Conn) {
		io.WriteString(c, first)
		for many := bytes.Repeat([]byte(then), 1+4096/len(then)); ; {
			if _, err := c.Write(many); err != nil {
				return
			}
		}
	}
}

// piecewise answers with a text and n others, and closes the connection. It does not
// make them all at once: a process counts the memory of its parent as its own
// (getrusage(2)).
func piecewise(first string, n int, text func(i int) string) func(net.Conn) {
	return func(c net.Conn) {
		w := bufio.NewWriter(c)
		io.WriteString(w, first)
		for i := range n {
			if _, err := io.WriteString(w, text(i)); err != nil {
				return
			}
		}
		io.WriteString(w, "\r\n")
		w.Flush()
	}
}

// slowly answers with a byte every now and then.
func slowly(first, then string) func(net.Conn) {
	return func(c net.Conn) {
		io.WriteString(c, first)
		for {
			for i := range then {
				time.Sleep(20 * time.Millisecond)
				if _, err := c.Write([]byte{then[i]}); err != nil {
					return
				}
			}
		}
	}
}

// A lie is an answer that no server of Redis gives, or not to this request.
type lie struct {
	name   string
	answer func(net.Conn)
}

func lies() (all []lie) {
	for _, text := range []string{
		"*1000000000\r\n", "$107374182400\r\n", "*9223372036854775807\r\n", "$9223372036854775807\r\n", "$2147483647\r\n",
		"%1000000000\r\n", "~1000000000\r\n", "|1000000000\r\n", ">1000000000\r\n", "=1000000000\r\n", "!1000000000\r\n",
		"*2\r\n$1\r\n0\r\n*1000000000\r\n", "*14\r\n$6\r\nserver\r\n*1000000000\r\n",
		"$99999999999999999999999\r\n", "$-5\r\n", "*-5\r\n", "*x\r\n", "$\r\n", "\r\n", "\n", "HTTP/1.1 400 Bad Request\r\n\r\n", "\x15\x03\x03\x00\x02\x02\x28",
	} {
		all = append(all, lie{strconv.Quote(text), say(text)})
	}
	return append(all,
		lie{"deep", withoutEnd("", "*1\r\n")},
		lie{"deep and wide", withoutEnd("", "*60000\r\n")},
		lie{"an endless line", withoutEnd("+", "a")},
		lie{"an endless error", withoutEnd("-ERR ", "a")},
		lie{"an endless number", withoutEnd("(", "7")},
		lie{"an endless length", withoutEnd("$", "0")},
		lie{"an endless array", withoutEnd("*100000000\r\n", ":1\r\n")},
		lie{"an endless string", withoutEnd("$100000000000\r\n", "x")},
		lie{"endless notices", withoutEnd("", ">2\r\n+a\r\n+b\r\n")},
		lie{"endless attributes", withoutEnd("", "|1\r\n+a\r\n+b\r\n")},
		lie{"strings in many", withoutEnd("*100000\r\n", "$100000\r\n"+strings.Repeat("x", 100000)+"\r\n")},
		lie{"as large as is read", piecewise("$3100000\r\n", 310, func(int) string { return strings.Repeat("x", 10000) })},
		lie{"as many as are read", piecewise("*130000\r\n", 130000, func(int) string { return ":1\r\n" })},
		lie{"a map of many servers", piecewise("*1\r\n*21002\r\n:0\r\n:16383\r\n", 21000, func(i int) string {
			return fmt.Sprintf("*2\r\n$9\r\n127.0.0.1\r\n:%d\r\n", 10000+i)
		})},
	)
}

// mixedUp are answers that Redis gives to something else. They hold what no message
// may have.
func mixedUp() (all []lie) {
	for _, text := range []string{
		":1\r\n", ":1000000000\r\n", "+1000000000\r\n", "+OK\r\n", "$-1\r\n", "*-1\r\n", "*0\r\n", "$9\r\nswordfish\r\n", "*1\r\n$9\r\nswordfish\r\n",
		"*2\r\n$9\r\nswordfish\r\n$3\r\n\x1b[m\r\n", "*2\r\n$1\r\n7\r\n*0\r\n", "*2\r\n$6\r\nlanded\r\n$1\r\n7\r\n", "*2\r\n$5\r\nmoved\r\n$9\r\nswordfish\r\n", "*2\r\n$4\r\nlive\r\n$9\r\nswordfish\r\n",
		"*9\r\n" + strings.Repeat(":1\r\n", 9), "-ERR \x1b[m" + strings.Repeat("x", 8000) + "\r\n", "-MOVED 1 \r\n", "-ASK 1 127.0.0.1:1\r\n",
		"-ERR unknown command 'EVALSHA', with args beginning with: 'swordfish'\r\n", "-WRONGTYPE Operation against a key\r\n",
	} {
		all = append(all, lie{strconv.Quote(text[:min(len(text), 60)]), leave(text)})
	}
	return all
}

// slowLies take all the time that there is.
func slowLies() []lie {
	return []lie{
		{"silence", say("")},
		{"half a length", say("$1")},
		{"a slow line", slowly("+", "a")},
		{"a slow string", slowly("$1000000\r\n", "x")},
		{"a slow array", slowly("*5\r\n", "*1\r\n:1\r\n")},
	}
}

// lyingVerbs are verbs that ask for more than one thing, most of them.
var lyingVerbs = []struct {
	args  []string
	code  int
	works bool // though an answer is a lie, where it can do without
}{
	{args: []string{"get"}, code: 69},
	{args: []string{"load"}, code: 69},
	{args: []string{"info"}, code: 69},
	{args: []string{"set", "b=2"}, code: 69},
	{args: []string{"lock", "/bin/true"}, code: 69, works: true},
	{args: []string{"regenerate", "--user", "bob", "--new-id", "session-of-bob-0001"}, code: 69, works: true},
	{args: []string{"list"}, code: 69},
	{args: []string{"list", "--user", "ann"}, code: 69, works: true}, // data that is none is corrupt
	{args: []string{"stats"}, code: 69},
	{args: []string{"cleanup", "--timeout", "1h"}, code: 69},
	{args: []string{"destroy", "--user", "ann"}, code: 69, works: true},
	{args: []string{"doctor", "--deep"}, code: 1},
}

// TestLiar has a server, or what is in its place, answer each request of each verb
// with what no server says.
func TestLiar(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	l := startLiar(t, server.Addr())
	(&trial{l: l, s: visitorOn("redis://" + l.addr)}).lied(t, server.Addr())
}

// TestLiarSentinel has a Sentinel do so.
func TestLiarSentinel(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	sentinel := redistest.StartSentinel(t, fmt.Sprintf("sentinel monitor sessions 127.0.0.1 %d 1", server.Port))
	l := startLiar(t, sentinel.Addr())
	(&trial{l: l, s: visitorOn("redis+sentinel://" + l.addr + "?master_name=sessions")}).lied(t, server.Addr())
}

// TestLiarCluster has a server of a cluster do so.
func TestLiarCluster(t *testing.T) {
	t.Parallel()
	l := startLiar(t, "")
	_, port, _ := net.SplitHostPort(l.addr)
	server := redistest.Start(t, append(redistest.ClusterSettings(), "--cluster-announce-ip", "127.0.0.1", "--cluster-announce-port", port)...)
	server.Do(t, "cluster", "addslotsrange", "0", "16383")
	cmdtest.Until(t, "whole cluster", func() bool { return strings.Contains(server.Do(t, "cluster", "info"), "cluster_state:ok") })
	l.server = server.Addr()
	(&trial{l: l, s: visitorOn("redis+cluster://" + l.addr), cluster: true}).lied(t, server.Addr())
}

// TestLiarTLS has a server with a good certificate do so at once.
func TestLiarTLS(t *testing.T) {
	a := newAuthority(t)
	files := a.certify(t, "127.0.0.1")
	certificate, err := tls.LoadX509KeyPair(files.cert, files.key)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}})
	if err != nil {
		t.Fatal(err)
	}
	l := startLiarOn(t, listener, "")
	r := trial{l: l, s: visitorOn("rediss://"+l.addr, "CGISESSION_REDIS_CA_FILE="+a.ca), base: memory(t, visitorOn(""), "--version")}
	for _, lie := range lies() {
		got, where := r.call(t, []string{"get"}, 0, lie)
		mustSay(t, where, got, 69)
	}
}

// TestSlowLiar has answers that do not come to an end in time.
func TestSlowLiar(t *testing.T) {
	server := redistest.Start(t)
	reset := resetter(t, server.Addr())
	reset()
	var all sync.WaitGroup
	for _, lie := range slowLies() {
		for _, args := range []string{"get", "set b=2", "list", "destroy --user ann"} {
			for n := range 3 {
				l := startLiar(t, server.Addr())
				l.lie(n, lie.answer)
				all.Go(func() {
					got := visitorOn("redis://"+l.addr).Measure(t, strings.Fields(args)...)
					if l.lies.Load() > 0 {
						mustSay(t, fmt.Sprintf("%s, answer %d is %s", args, n, lie.name), got, 69)
						t.Logf("%s, answer %d is %s: %v", args, n, lie.name, got.Took)
					}
				})
			}
		}
	}
	all.Wait()
}

// most is how many KiB more than otherwise a call may have in memory: an answer has
// up to 3 times --max-size, which is 1024, and is copied some times.
const most = 32 << 10

// A trial is a liar under test.
type trial struct {
	l       *liar
	s       cmdtest.Request // by way of the liar
	base    int64
	calls   int
	longest time.Duration
	largest int64
	cluster bool
}

// lied has the liar lie in many ways at each request of each verb, and checks what
// comes of that; to get in all ways. The real server has a session of the visitor's,
// who is ann.
func (r *trial) lied(t *testing.T, server string) {
	t.Helper()
	if err := limitMemory(); err != nil {
		t.Fatal(err)
	}
	reset := resetter(t, server)
	reset()
	r.l.lie(math.MaxInt, nil)
	r.base = memory(t, r.s, "get")
	never, mixed, turn := lies(), mixedUp(), 0
	for _, verb := range lyingVerbs {
		some := cmdtest.Full(1, 2)
		if verb.args[0] == "get" {
			some = len(never)
		}
		for n := 0; ; n++ {
			for i := range some {
				turn++
				reset()
				got, where := r.call(t, verb.args, n, never[turn%len(never)])
				if where == "" {
					break
				}
				if !verb.works || got.Code != 0 {
					mustSay(t, where, got, verb.code)
				}
				// The client of a cluster tries 8 times to get another answer.
				if i == 0 && (!r.cluster || verb.args[0] == "get") {
					reset()
					r.call(t, verb.args, n, mixed[turn/2%len(mixed)])
				}
			}
			if r.l.lies.Load() == 0 {
				t.Logf("%q: %d requests", verb.args, n)
				break
			}
		}
	}
	t.Logf("%d calls; the longest took %v, the largest %d KiB, of which %d otherwise", r.calls, r.longest, r.largest, r.base)
}

// call calls a verb that is lied to, and checks what is never to happen. It returns
// where that was; empty: the verb does not ask so often.
func (r *trial) call(t *testing.T, args []string, n int, lie lie) (cmdtest.Measured, string) {
	t.Helper()
	r.l.lie(n, lie.answer)
	got := r.s.Measure(t, args...)
	where := fmt.Sprintf("%q, answer %d is %s", args, n, lie.name)
	r.calls, r.longest, r.largest = r.calls+1, max(r.longest, got.Took), max(r.largest, got.Memory)
	mustKeepCalm(t, where, got)
	if got.Memory > r.base+most {
		t.Errorf("%s: %d KiB of memory, %d more than otherwise", where, got.Memory, got.Memory-r.base)
	}
	if r.l.lies.Load() == 0 {
		return got, ""
	}
	return got, where
}

func brief(got cmdtest.Measured) string {
	return fmt.Sprintf("%d after %v, %.200q and %.600q", got.Code, got.Took, got.Stdout, got.Stderr)
}

// mustSay wants a line and an exit code; doctor, with 1, has problems for an
// answer, and no line.
func mustSay(t *testing.T, where string, got cmdtest.Measured, code int) {
	t.Helper()
	if got.Code != code || code == 69 && strings.Count(got.Stderr, "\n") != 1 {
		t.Errorf("%s: %s; want %d and a line", where, brief(got), code)
	}
}

// mustKeepCalm wants an exit code that the manual has for what a store can say, and
// no more than a line, which repeats nothing of an answer.
func mustKeepCalm(t *testing.T, where string, got cmdtest.Measured) {
	t.Helper()
	if !slices.Contains([]int{0, 1, 10, 65, 69, 75}, got.Code) || strings.Count(got.Stderr, "\n") > 1 || len(got.Stderr) > 350 {
		t.Errorf("%s: %s; want one line", where, brief(got))
	}
	if strings.Contains(got.Stderr, "swordfish") || strings.Contains(got.Stderr, "\x1b") {
		t.Errorf("%s: %s; that repeats the answer", where, brief(got))
	}
}

// limitMemory has this process, and those that it starts, fail to allocate more
// than 4 GiB, which without being used would not be counted.
var limitMemory = sync.OnceValue(func() error {
	var limit syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_AS, &limit)
	limit.Cur = min(limit.Max, 4<<30)
	return cmp.Or(err, syscall.Setrlimit(syscall.RLIMIT_AS, &limit))
})

// talk returns what asks a server something by one connection, words with blanks
// between them, and returns the answer's bytes.
func talk(t *testing.T, server string) func(command string) string {
	t.Helper()
	c, err := net.Dial("tcp", server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	answers := bufio.NewReader(c)
	return func(command string) string {
		t.Helper()
		io.WriteString(c, command+"\r\n")
		said, err := readValue(answers)
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		return string(said)
	}
}

// resetter returns what empties a server but for a session of the visitor, who is
// ann.
func resetter(t *testing.T, server string) func() {
	t.Helper()
	ask, handle, sum := talk(t, server), store.Handle("cgisession_id", cmdtest.Visitor), sha256.Sum256([]byte("ann"))
	return func() {
		for _, command := range []string{
			"flushall",
			fmt.Sprintf("hset cgisession:{%s} version 1 created 1 accessed %d user ann data {}", handle, time.Now().UnixMilli()),
			fmt.Sprintf("sadd cgisession:users:{%x} %s", sum[:16], handle),
		} {
			if said := ask(command); said[0] == '-' {
				t.Fatalf("%s: %s", command, said)
			}
		}
	}
}

// same answers each request with the same text.
func same(text string) func(net.Conn) {
	return func(c net.Conn) {
		for requests := bufio.NewReader(c); ; {
			io.WriteString(c, text)
			if _, err := readValue(requests); err != nil {
				return
			}
		}
	}
}

// TestEndlessScan has a server whose cursor comes again and again.
func TestEndlessScan(t *testing.T) {
	server := redistest.Start(t)
	reset := resetter(t, server.Addr())
	reset()
	l := startLiar(t, server.Addr())
	for _, args := range []string{"list", "stats", "list --user ann", "destroy --user ann", "destroy 0123", "cleanup --timeout 1h --dry-run"} {
		n := 1 // after HELLO
		if strings.HasPrefix(args, "cleanup") {
			n = 2
		}
		l.lie(n, same("*2\r\n$1\r\n7\r\n*0\r\n"))
		mustSay(t, args, visitorOn("redis://"+l.addr).Measure(t, strings.Fields(args)...), 69)
	}
}
