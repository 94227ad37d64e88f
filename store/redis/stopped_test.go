//go:build redis && linux

package redis

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
	"cgisession/store/redis/redistest"
)

// TestStopped stops a client after it has sent a request, for longer than a call may
// take. The answer lies there when it goes on, so the call does not fail: the server
// did not owe an answer for that time.
func TestStopped(t *testing.T) {
	const variable = "TEST_STOPPED"
	if url := os.Getenv(variable); url != "" {
		s := cutStore(t, url, nil, cutOptions)
		if _, err := s.Read(store.Handle("a", "none"), store.Peek); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Read: %v; want %v", err, store.ErrNotFound)
		}
		return
	}
	server := redistest.Start(t)
	for n := range 2 { // HELLO, and the script
		t.Run(fmt.Sprintf("request %d", n), func(t *testing.T) {
			t.Parallel()
			s := startStopper(t, server.Addr(), n)
			client := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStopped$")
			client.Env = append(os.Environ(), variable+"=redis://"+s.Addr().String())
			var said bytes.Buffer
			client.Stdout, client.Stderr = &said, &said
			if err := client.Start(); err != nil {
				t.Fatal(err)
			}
			s.process <- client.Process
			if err := client.Wait(); err != nil {
				t.Errorf("%v\n%s", err, &said)
			}
		})
	}
}

// A stopper stands between a client and a server. It stops the client's process when
// its nth request comes, and has it go on when the answer has long been there.
type stopper struct {
	net.Listener
	server  string
	n       int
	process chan *os.Process
}

func startStopper(t *testing.T, server string, n int) *stopper {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := &stopper{l, server, n, make(chan *os.Process, 1)}
	go func() {
		client, err := l.Accept()
		if err != nil {
			return
		}
		defer client.Close()
		if err := s.serve(client); err != nil && err != io.EOF && !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("the proxy: %v", err)
		}
	}()
	return s
}

// serve hands requests and answers on, one at a time.
func (s *stopper) serve(client net.Conn) error {
	server, err := net.Dial("tcp", s.server)
	if err != nil {
		return err
	}
	defer server.Close()
	buffer := make([]byte, 1<<20)
	for n := 0; ; n++ {
		size, err := client.Read(buffer)
		if err != nil {
			return err
		}
		var process *os.Process
		if n == s.n {
			process = <-s.process
			process.Signal(unix.SIGSTOP)
			if err := unix.Waitid(unix.P_PID, process.Pid, nil, unix.WSTOPPED, nil); err != nil {
				return err
			}
		}
		if _, err := server.Write(buffer[:size]); err != nil {
			return err
		}
		if size, err = server.Read(buffer); err != nil {
			return err
		}
		if _, err := client.Write(buffer[:size]); err != nil {
			return err
		}
		if process != nil {
			time.Sleep(callTime + answerTime)
			process.Signal(unix.SIGCONT)
		}
	}
}
