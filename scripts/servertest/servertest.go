// Package servertest runs web servers for tests: on free ports of the loopback,
// until the test ends.
package servertest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Start runs the commands of a server that listens on the port which commands is
// given. It tries anew where another process takes the port first.
func Start(t *testing.T, commands func(port int) []*exec.Cmd) {
	t.Helper()
	for range 5 {
		port := freePort(t)
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

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", Address(0))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// background runs a command, with all that it starts, until the test ends.
func background(t *testing.T, c *exec.Cmd, ended chan<- struct{}) {
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
