//go:build redis && linux

package redis

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"cgisession/store"
)

// read returns what a guard lets through of a text that comes in parts of some
// bytes, after a request.
func read(t *testing.T, text string, part int, largest int64) (string, error) {
	t.Helper()
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		io.ReadFull(server, make([]byte, 1))
		for len(text) > 0 {
			n := min(part, len(text))
			if _, err := server.Write([]byte(text[:n])); err != nil {
				return
			}
			text = text[n:]
		}
	}()
	g := guarded(client, largest)
	defer g.Close()
	if _, err := g.Write([]byte("?")); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(g)
	return string(got), err
}

// TestGuard has answers that a server gives, which come through as they are, and
// others, which do not, however they are cut.
func TestGuard(t *testing.T) {
	many := func(n int) string { return fmt.Sprintf("*%d\r\n%s", n, strings.Repeat(":1\r\n", n)) }
	deep := func(n int) string { return strings.Repeat("*1\r\n", n) + ":1\r\n" }
	const largest = 1 << 20
	for text, wrong := range map[string]string{
		"":        "",
		"+OK\r\n": "",
		"-ERR no\r\n:-1\r\n$-1\r\n*-1\r\n*0\r\n$0\r\n\r\n":                                "",
		"*2\r\n$1\r\n0\r\n*2\r\n$3\r\n*9\r\r\n$4\r\n$99\n\r\n+x\r\n":                      "",
		"$" + fmt.Sprint(largest-20) + "\r\n" + strings.Repeat("\n", largest-20) + "\r\n": "",
		many(maxElements): "",
		deep(maxDepth):    "",
		"+" + strings.Repeat("a", maxLine-3) + "\r\n": "",
		strings.Repeat(deep(maxDepth), 100):           "",

		many(maxElements + 1):                                                 "elements",
		"*2\r\n" + many(maxElements/2) + many(maxElements/2):                  "elements",
		deep(maxDepth + 1):                                                    "levels",
		"+" + strings.Repeat("a", maxLine-2) + "\r\n":                         "no answer of Redis",
		"$" + fmt.Sprint(largest) + "\r\n":                                    "--max-size",
		"*2\r\n$600000\r\n" + strings.Repeat("x", 600000) + "\r\n$600000\r\n": "--max-size",
		strings.Repeat("+"+strings.Repeat("a", 1000)+"\r\n", 1100):            "--max-size",
		"$9223372036854775807\r\n":                                            "--max-size",
		"$9223372036854775808\r\n":                                            "no answer of Redis",
		"*18446744073709551617\r\n":                                           "no answer of Redis",
		"$-2\r\n":                                                             "no answer of Redis", "*-2\r\n": "no answer of Redis", "$+1\r\n": "no answer of Redis", "$ 1\r\n": "no answer of Redis",
		"$\r\n": "no answer of Redis", "$1": "", "+OK\n": "no answer of Redis", "\r\n": "no answer of Redis", "HTTP/1.1 200 OK\r\n": "no answer of Redis",
		"%1\r\n": "no answer of Redis", "~1\r\n": "no answer of Redis", "|1\r\n": "no answer of Redis", ">1\r\n": "no answer of Redis",
		"_\r\n": "no answer of Redis", "(1\r\n": "no answer of Redis", "=4\r\n": "no answer of Redis", "!1\r\n": "no answer of Redis", ",1\r\n": "no answer of Redis", "#t\r\n": "no answer of Redis",
	} {
		for _, part := range []int{1, 3, 4096} {
			if part == 1 && len(text) > 10000 {
				continue
			}
			name := text[:min(len(text), 40)]
			got, err := read(t, text, part, largest)
			if wrong == "" && (err != nil || got != text) {
				t.Errorf("%q in parts of %d: %.100q, %v", name, part, got, err)
			}
			if wrong != "" && (!errors.As(err, new(answerError)) || !strings.Contains(err.Error(), wrong)) {
				t.Errorf("%q in parts of %d: %v; want %s", name, part, err, wrong)
			}
		}
	}
}

// TestGuardStays has a guard that found a wrong answer read nothing more.
func TestGuardStays(t *testing.T) {
	client, server := net.Pipe()
	go func() {
		server.Write([]byte("?\r\n"))
		server.Write([]byte("+OK\r\n"))
	}()
	g := guarded(client, 1000)
	defer g.Close()
	for range 2 {
		if n, err := g.Read(make([]byte, 100)); n != 0 || err != errNoRedis {
			t.Errorf("Read = %d, %v; want %v", n, err, errNoRedis)
		}
	}
}

// TestLargestAnswer has a session in a file as the measure.
func TestLargestAnswer(t *testing.T) {
	for size, want := range map[int]int64{0: 1 << 20, 1000: 1 << 20, 1 << 20: 3*(1<<20+4096) + 4096, 1 << 28: 3*(1<<28+4096) + 4096} {
		if got := largestAnswer(store.Options{MaxSize: size}); got != want {
			t.Errorf("for --max-size %d: %d bytes; want %d", size, got, want)
		}
	}
}

// TestCircle has cursors that come again after any number of others, and those of
// a large table, which do not.
func TestCircle(t *testing.T) {
	for _, lead := range []int{0, 1, 7, 100} {
		for _, length := range []int{1, 2, 3, 50, 1000} {
			var c circle
			i, closed := 0, false
			for ; i < 10*(lead+length) && !closed; i++ {
				at := i
				if at >= lead {
					at = lead + (i-lead)%length
				}
				closed = c.closes(uint64(at + 1))
			}
			if !closed {
				t.Errorf("a circle of %d after %d others is not found", length, lead)
			}
		}
	}
	var c circle
	for i := range 1 << 16 {
		if c.closes(uint64(i + 1)) {
			t.Fatalf("cursor %d was seen before", i+1)
		}
	}
}
