//go:build redis && linux

// Package redistest runs real servers for tests, on free ports of the loopback.
package redistest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a server may take to come up, or to come to something.
const patience = 30 * time.Second

// A Server is a server process.
type Server struct {
	Port    int
	Dir     string
	Flags   []string // of redis-cli, to reach it
	command []string
	process *exec.Cmd
}

// Start runs redis-server with these settings, "--name value…", until the test
// ends. Where there is none the test is skipped.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	port := FreePort(t)
	return start(t, "redis-server", port, append([]string{
		"--port", strconv.Itoa(port), "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"}, settings...))
}

// StartSentinel runs redis-sentinel with a configuration.
func StartSentinel(t testing.TB, lines ...string) *Server {
	t.Helper()
	port := FreePort(t)
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("port %d\n%s\n", port, strings.Join(lines, "\n"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return start(t, "redis-sentinel", port, nil, file)
}

func start(t testing.TB, program string, port int, settings []string, first ...string) *Server {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed", program)
	}
	s := &Server{Port: port, Dir: t.TempDir()}
	s.command = append(append([]string{path}, first...), "--bind", "127.0.0.1", "--dir", s.Dir, "--logfile", filepath.Join(s.Dir, "log"))
	s.command = append(s.command, settings...)
	for i, word := range settings {
		switch {
		case word == "--requirepass":
			s.Flags = append(s.Flags, "-a", settings[i+1], "--no-auth-warning")
		case word == "--tls-port":
			s.Port, _ = strconv.Atoi(settings[i+1])
		case word == "--tls-ca-cert-file":
			s.Flags = append(s.Flags, "--tls", "--insecure")
		}
	}
	s.Run(t)
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(filepath.Join(s.Dir, "log"))
			t.Logf("%s on port %d said:\n%s", program, s.Port, text[max(0, len(text)-2000):])
		}
	})
	return s
}

// FreePort returns a port that nobody listens on. A cluster's second port, which
// is 10000 higher, must be one too.
func FreePort(t testing.TB) int {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if port < 55000 {
			return port
		}
	}
}

// Run starts the process, again if it was stopped, and waits until it answers.
func (s *Server) Run(t testing.TB) {
	t.Helper()
	s.Launch(t)
	Wait(t, "an answer of the server", func() bool {
		text, _ := s.try("ping")
		return strings.HasPrefix(text, "PONG")
	})
}

// Launch is Run without the wait.
func (s *Server) Launch(t testing.TB) {
	t.Helper()
	process := exec.Command(s.command[0], s.command[1:]...)
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	s.process = process
	t.Cleanup(func() {
		process.Process.Kill()
		process.Wait()
	})
}

// Kill ends the process at once.
func (s *Server) Kill() {
	s.process.Process.Kill()
	s.process.Wait()
}

// Signal sends the process a signal.
func (s *Server) Signal(sig syscall.Signal) { s.process.Process.Signal(sig) }

// Addr returns the server's address.
func (s *Server) Addr() string { return "127.0.0.1:" + strconv.Itoa(s.Port) }

// URL returns the server's URL.
func (s *Server) URL() string { return "redis://" + s.Addr() }

func (s *Server) try(args ...string) (string, error) {
	c := exec.Command("redis-cli", append(append([]string{"-h", "127.0.0.1", "-p", strconv.Itoa(s.Port)}, s.Flags...), args...)...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.String(), err
}

// Do runs a command by redis-cli and returns what that prints.
func (s *Server) Do(t testing.TB, args ...string) string {
	t.Helper()
	text, err := s.try(args...)
	if err != nil {
		t.Fatalf("%q: %v: %s", args, err, text)
	}
	return strings.TrimSuffix(text, "\n")
}

// Calls returns how often each command was called since CONFIG RESETSTAT.
func (s *Server) Calls(t testing.TB) map[string]int {
	t.Helper()
	calls := make(map[string]int)
	for line := range strings.Lines(s.Do(t, "info", "commandstats")) {
		name, rest, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		if n, _, cut := strings.Cut(rest, ","); ok && cut {
			calls[name], _ = strconv.Atoi(n)
		}
	}
	return calls
}

// Wait waits until it is so.
func Wait(t testing.TB, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s in %v", what, patience)
		}
	}
}

// Cluster runs a cluster of n masters, and returns them.
func Cluster(t testing.TB, n int) []*Server {
	t.Helper()
	var nodes []*Server
	args := []string{"--cluster", "create"}
	for range n {
		s := Start(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
		nodes = append(nodes, s)
		args = append(args, s.Addr())
	}
	nodes[0].Do(t, append(args, "--cluster-yes")...)
	for _, s := range nodes {
		Wait(t, "whole cluster", func() bool {
			return strings.Contains(s.Do(t, "cluster", "info"), "cluster_state:ok")
		})
	}
	return nodes
}
