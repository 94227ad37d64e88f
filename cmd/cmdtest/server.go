package cmdtest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Serve runs the commands of a server that listens on the port which commands is
// given, until the test ends. It tries anew where another process takes the port
// first.
func Serve(t testing.TB, commands func(port int) []*exec.Cmd) {
	t.Helper()
	for range 5 {
		port := FreePort(t)
		ended := make(chan struct{}, 2)
		for _, c := range commands(port) {
			background(t, c, ended)
		}
		if listens(Address(port), ended) {
			return
		}
	}
	t.Fatal("the server does not start")
}

// Address is that of a port on the loopback.
func Address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// FreePort returns a port of the loopback that nobody listens on. It is random, and below
// those that the system gives out by itself (32768 up, ip(7)): one of these could go to
// another test's client or server before the caller's server takes it. So is the port
// 10000 above, which a server of a Redis cluster listens on too.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := 10000 + rand.IntN(12000)
		if l, err := net.Listen("tcp", Address(port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// background runs a command, with all that it starts, until the test ends.
func background(t testing.TB, c *exec.Cmd, ended chan<- struct{}) {
	t.Helper()
	messages, err := os.Create(filepath.Join(t.TempDir(), "messages"))
	if err != nil {
		t.Fatal(err)
	}
	c.Stdout, c.Stderr = messages, messages
	if c.SysProcAttr == nil {
		c.SysProcAttr = new(syscall.SysProcAttr)
	}
	c.SysProcAttr.Setpgid = true
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		c.Wait()
		close(over)
		ended <- struct{}{}
	}()
	t.Cleanup(func() {
		syscall.Kill(-c.Process.Pid, syscall.SIGTERM)
		select {
		case <-over:
		case <-time.After(time.Minute):
		}
		syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		<-over
		if text, _ := os.ReadFile(messages.Name()); t.Failed() {
			t.Logf("%s said:\n%s", c.Args[0], text)
		}
		messages.Close()
	})
}

// listens reports whether the server comes up.
func listens(address string, ended <-chan struct{}) bool {
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return true
		}
		select {
		case <-ended:
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
	return false
}
