//go:build redis && linux

package program

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"cgisession/cmd/cmdtest"
	"cgisession/store/redis/redistest"
)

// A killer stands between the program and the server, and kills the program at the nth
// request that it sends: before the server gets it, or with late once it has answered.
type killer struct {
	net.Listener
	server string
	n      int
	late   bool

	mu   sync.Mutex
	seen int
	kill func()
}

// startKiller has the killer listen until the test ends.
func startKiller(t *testing.T, server *redistest.Server, n int, late bool) *killer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	k := &killer{Listener: l, server: server.Addr(), n: n, late: late}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go k.serve(c)
		}
	}()
	return k
}

// serve passes on one request after the other, each with its answer: the program waits
// for one before it sends the next.
func (k *killer) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", k.server)
	if err != nil {
		return
	}
	defer server.Close()
	request, answer := make([]byte, 1<<16), make([]byte, 1<<16)
	for {
		n, err := client.Read(request)
		if err != nil {
			return
		}
		k.mu.Lock()
		now := k.seen == k.n
		k.seen++
		k.mu.Unlock()
		if now && !k.late {
			k.kill()
			return
		}
		if _, err := server.Write(request[:n]); err != nil {
			return
		}
		if n, err = server.Read(answer); err != nil {
			return
		}
		if now {
			k.kill()
			return
		}
		if _, err := client.Write(answer[:n]); err != nil {
			return
		}
	}
}

// TestKilledRegenerate kills regenerate at each of its requests. Operators see one live
// session, and when that ends by any handle that they see, nothing is left.
func TestKilledRegenerate(t *testing.T) {
	server := redistest.Start(t)
	plain := on(server.URL())
	killed, moving := 0, 0
	for _, args := range []string{"regenerate --user ann", "regenerate --grace 1h"} {
		for _, late := range []bool{false, true} {
			for n, more := 0, true; more && n < 30; n++ {
				for _, by := range []string{"live", "moving"} {
					name := fmt.Sprintf("%s late=%v n=%d by %s", args, late, n, by)
					id := idOf(plain.Must(t, "set", "n:=1"))
					k := startKiller(t, server, n, late)
					c := on("redis://"+k.Addr().String(), "HTTP_COOKIE=cgisession_id="+id).Command(cmdtest.Program, strings.Fields(args)...)
					out, err := c.StdoutPipe()
					if err != nil {
						t.Fatal(err)
					}
					k.mu.Lock()
					if err := c.Start(); err != nil {
						t.Fatal(err)
					}
					k.kill = func() { c.Process.Kill() }
					k.mu.Unlock()
					said, _ := io.ReadAll(out)
					c.Wait()
					k.mu.Lock()
					more = k.seen > n
					k.mu.Unlock()
					if more {
						killed++
					}
					if len(said) > 0 && more {
						t.Errorf("%s: killed, it has printed %q", name, said)
					}
					moving += destroyed(t, plain, name, by)
					for _, left := range []string{id, idOf(string(said))} {
						if left == "" {
							continue
						}
						got := plain.With("HTTP_COOKIE=cgisession_id="+left).Call(t, "get")
						if got.Code != 1 {
							t.Errorf("%s: after destroy: %+v", name, got)
						}
					}
				}
			}
		}
	}
	if killed == 0 || moving == 0 {
		t.Errorf("%d were killed, %d seen as moving", killed, moving)
	}
	t.Logf("%d were killed, %d seen as moving", killed, moving)
}

// destroyed ends the only session there is, by what is in this state, else by what is
// live. It returns how many are moving.
func destroyed(t *testing.T, s cmdtest.Request, name, by string) (moving int) {
	t.Helper()
	handles := map[string]string{}
	list := s.Must(t, "list")
	for line := range strings.Lines(list) {
		words := strings.Fields(line)
		if handles[words[5]] != "" {
			t.Errorf("%s: two are %s:\n%s", name, words[5], list)
		}
		handles[words[5]] = words[0]
	}
	if handles["live"] == "" {
		t.Fatalf("%s: none is live:\n%s", name, list)
	}
	if handles["moving"] != "" {
		moving++
	}
	handle := handles[by]
	if handle == "" {
		handle = handles["live"]
	}
	s.Must(t, "destroy", handle)
	for line := range strings.Lines(s.Must(t, "list")) {
		if words := strings.Fields(line); words[5] != "moved" {
			t.Errorf("%s: after destroy there is %s", name, line)
		} else {
			s.Call(t, "destroy", words[0]) // an old id, which leads nowhere
		}
	}
	if left := s.Must(t, "list"); left != "" {
		t.Errorf("%s: in the end there is %s", name, left)
	}
	return moving
}
