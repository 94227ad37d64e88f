//go:build redis

package redis

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/redis/go-redis/v9"

	"cgisession/store"
)

// Limits of the answers to one request.
const (
	// smallAnswer is their limit in bytes at a small --max-size: enough for the map
	// of a large cluster.
	smallAnswer = 1 << 20

	// maxElements is how many elements their arrays may have together. An element
	// takes up to some 50 bytes of memory.
	maxElements = 1 << 17

	// maxDepth is how deep arrays may be nested. The map of a cluster has 4 levels.
	maxDepth = 8

	// maxLine is how many bytes a line, such as an error, may have.
	maxLine = 8 << 10
)

// largestAnswer returns how many bytes the answers to one request may have.
func largestAnswer(opts store.Options) int64 { return max(smallAnswer, int64(opts.MaxRead())) }

// A guard is the connection to a server. It stops reading at an answer that is too
// large or makes no sense. The library allocates as much memory as the header of an
// answer says, and reads a line until it ends, so headers are checked here before the
// library gets them. The guard knows RESP2 alone, which the library asks for by HELLO
// (Redis serialization protocol specification).
type guard struct {
	net.Conn
	largest  int64
	line     []byte // the current line, as far as it came
	body     int64  // bytes still to come of a string, with its CRLF
	arrays   []int  // elements still to come of each array around it
	bytes    int64  // how many more the answers to this request may have
	elements int    // how many more they may have
	failed   error  // stays
}

// guarded returns a guard of the connection. largest is its limit for the answers to one
// request, in bytes.
func guarded(c net.Conn, largest int64) *guard {
	return &guard{Conn: c, largest: largest, bytes: largest, elements: maxElements}
}

// Write sends a request, and so begins new answers.
func (g *guard) Write(p []byte) (int, error) {
	g.bytes, g.elements = g.largest, maxElements
	return g.Conn.Write(p)
}

// Read reads what the server sends. What came along with a wrong header is dropped.
func (g *guard) Read(p []byte) (int, error) {
	if g.failed != nil {
		return 0, g.failed
	}
	n, err := g.Conn.Read(p)
	if g.failed = g.scan(p[:n]); g.failed != nil {
		return 0, g.failed
	}
	return n, err
}

// scan checks the next bytes from the server. It keeps its place between calls, since a
// read may end anywhere: in a header (line) or in a string (body).
func (g *guard) scan(p []byte) error {
	for len(p) > 0 {
		if g.body > 0 {
			n := min(g.body, int64(len(p)))
			g.body, p = g.body-n, p[n:]
			continue
		}
		part, ended := p, false
		if i := bytes.IndexByte(p, '\n'); i >= 0 {
			part, ended = p[:i+1], true
		}
		if len(g.line)+len(part) > maxLine {
			return errNoRedis
		}
		g.line, p = append(g.line, part...), p[len(part):]
		if bytes.IndexByte(kinds, g.line[0]) < 0 {
			return errNoRedis
		}
		if !ended {
			break
		}
		if err := g.header(); err != nil {
			return err
		}
		g.line = g.line[:0]
	}
	return nil
}

// kinds are the first bytes of RESP2's types: status, error, integer, string, array.
var kinds = []byte("+-:$*")

// header checks a whole line. A string's body or an array's elements come after it.
func (g *guard) header() error {
	text, ok := bytes.CutSuffix(g.line[1:], []byte("\r\n"))
	if !ok {
		return errNoRedis
	}
	if err := g.take(int64(len(g.line))); err != nil {
		return err
	}
	switch kind := g.line[0]; kind {
	case '$', '*':
		n, err := strconv.ParseUint(string(text), 10, 63)
		switch {
		case string(text) == "-1": // null
		case err != nil:
			return errNoRedis
		case n > uint64(g.largest):
			return g.tooLarge()
		case kind == '$':
			g.body = int64(n) + 2
			if err := g.take(int64(n) + 2); err != nil {
				return err
			}
		case n > 0:
			return g.array(n)
		}
	}
	g.element()
	return nil
}

// take counts n bytes of the answers.
func (g *guard) take(n int64) error {
	if g.bytes -= n; g.bytes < 0 {
		return g.tooLarge()
	}
	return nil
}

// tooLarge returns the error of an answer over the limit.
func (g *guard) tooLarge() error {
	return answerError{fmt.Sprintf("its answer is larger than --max-size allows, which is %d bytes in all", g.largest)}
}

// array begins an array of n elements.
func (g *guard) array(n uint64) error {
	if n > uint64(g.elements) || len(g.arrays) == maxDepth {
		return answerError{fmt.Sprintf("its answer has more than %d elements or %d levels", maxElements, maxDepth)}
	}
	g.elements -= int(n)
	g.arrays = append(g.arrays, int(n))
	return nil
}

// element ends an element, and each array whose last element it is.
func (g *guard) element() {
	for last := len(g.arrays) - 1; last >= 0; last-- {
		if g.arrays[last]--; g.arrays[last] > 0 {
			return
		}
		g.arrays = g.arrays[:last]
	}
}

// maxServers is how many servers a cluster may have. It is designed for up to 1000
// (Redis cluster specification).
const maxServers = 2000

// errManyServers says that the map of a cluster makes no sense.
var errManyServers error = answerError{fmt.Sprintf("it names more than %d servers", maxServers)}

// A mapCheck checks the map of a cluster before the library makes a client for each
// server in it.
type mapCheck struct{}

func (mapCheck) DialHook(next redis.DialHook) redis.DialHook { return next }

func (mapCheck) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		slots, ok := cmd.(*redis.ClusterSlotsCmd)
		if !ok || err != nil {
			return err
		}
		servers := make(map[string]bool)
		for _, slot := range slots.Val() {
			for _, node := range slot.Nodes {
				servers[node.Addr] = true
			}
		}
		if len(servers) > maxServers {
			err = errManyServers
			cmd.SetErr(err)
		}
		return err
	}
}

func (mapCheck) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
