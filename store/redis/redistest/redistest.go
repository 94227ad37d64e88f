//go:build redis && linux

// Package redistest runs real servers for tests, on free ports of the loopback: one
// server, a replica, a Sentinel or a cluster. They end with the test, or with its
// process. Where redis-server or redis-sentinel is not installed, the test is skipped.
package redistest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"cgisession/cmd/cmdtest"
)

// A Server is a server process.
type Server struct {
	Host    string
	Port    int
	Dir     string   // its working directory, with its log
	Flags   []string // of redis-cli, to reach it
	command []string // the program and its arguments
	process *exec.Cmd
}

// Start runs redis-server with these settings, "--name value…", until the test
// ends, and waits until it answers. The first settings keep nothing on the disk and have
// a replica follow without delay; later ones override them.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	port := cmdtest.FreePort(t)
	first := []string{
		"--port", strconv.Itoa(port), "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0",
	}
	return start(t, "redis-server", &Server{Port: port}, append(first, settings...))
}

// StartSentinel runs redis-sentinel with a configuration, a directive a line. With
// tls-replication it listens with TLS only.
func StartSentinel(t testing.TB, lines ...string) *Server {
	t.Helper()
	port := cmdtest.FreePort(t)
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("port %d\n%s\n", port, strings.Join(lines, "\n"))
	var flags []string
	if strings.Contains(text, "tls-replication yes") {
		text = "tls-" + text + "port 0\n"
		flags = []string{"--tls", "--insecure"}
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return start(t, "redis-sentinel", &Server{Port: port, Flags: flags}, nil, file)
}

// start runs a server: the program, the arguments first, and then settings. It learns from
// the settings how redis-cli reaches the server. After a test that failed it logs the end
// of the server's log.
func start(t testing.TB, program string, s *Server, settings []string, first ...string) *Server {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed", program)
	}
	s.Host, s.Dir = "127.0.0.1", t.TempDir()
	s.command = append([]string{path}, first...)
	s.command = append(s.command, "--bind", s.Host, "--dir", s.Dir, "--logfile", filepath.Join(s.Dir, "log"))
	s.command = append(s.command, settings...)
	for i, word := range settings {
		switch {
		case word == "--bind":
			s.Host = settings[i+1]
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

// Run starts the process, again if it was stopped, and waits until it answers.
func (s *Server) Run(t testing.TB) {
	t.Helper()
	s.Launch(t)
	cmdtest.Until(t, "answer of the server", func() bool {
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

// Kill ends the process at once, as a crash does (SIGKILL).
func (s *Server) Kill() {
	s.process.Process.Kill()
	s.process.Wait()
}

// Signal sends the process a signal.
func (s *Server) Signal(sig syscall.Signal) { s.process.Process.Signal(sig) }

// Addr returns the server's address.
func (s *Server) Addr() string { return s.Host + ":" + strconv.Itoa(s.Port) }

// URL returns the server's URL.
func (s *Server) URL() string { return "redis://" + s.Addr() }

// cli returns the arguments of redis-cli for a command of this server.
func (s *Server) cli(args ...string) []string {
	return slices.Concat([]string{"-h", s.Host, "-p", strconv.Itoa(s.Port)}, s.Flags, args)
}

// try runs a command by redis-cli, and returns all that it prints.
func (s *Server) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), cmdtest.Patience)
	defer cancel()
	c := exec.CommandContext(ctx, "redis-cli", s.cli(args...)...)
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

// Monitor calls do, and returns the commands that clients send to the servers meanwhile,
// without arguments and in lower case: server by server, in the order of each. What
// scripts do on a server is left out, and so are PING, INFO and CLIENT.
func Monitor(t testing.TB, servers []*Server, do func()) (words []string) {
	t.Helper()
	outputs := make([]*lines, len(servers))
	for i, s := range servers {
		outputs[i] = new(lines)
		c := exec.Command("redis-cli", s.cli("monitor")...)
		c.Stdout = outputs[i]
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			c.Process.Kill()
			c.Wait()
		}()
		cmdtest.Until(t, "start of MONITOR", func() bool { return outputs[i].count("OK") > 0 })
	}
	do()
	for i, s := range servers {
		s.Do(t, "echo", "the end")
		cmdtest.Until(t, "end of MONITOR", func() bool { return outputs[i].count("the end") > 0 })
		for _, line := range outputs[i].all() { // TIME [DATABASE CLIENT] "WORD" …
			who, said, ok := strings.Cut(line, "] \"")
			word, rest, _ := strings.Cut(said, "\"")
			word = strings.ToLower(word)
			own := strings.Contains(rest, "the end") || slices.Contains([]string{"ping", "info", "client"}, word)
			if ok && !own && !strings.HasSuffix(who, " lua") {
				words = append(words, word)
			}
		}
	}
	return words
}

// lines is what a process has written so far.
type lines struct {
	mu   sync.Mutex
	text []byte
}

// Write implements [io.Writer].
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

// all returns the lines.
func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(string(l.text), "\n")
}

// count returns how often they hold a text.
func (l *lines) count(part string) int { return strings.Count(strings.Join(l.all(), "\n"), part) }

// Replica runs a replica of a server, and waits until it follows.
func Replica(t testing.TB, master *Server, settings ...string) *Server {
	t.Helper()
	follow := []string{"--replicaof", "127.0.0.1 " + strconv.Itoa(master.Port), "--repl-ping-replica-period", "1"}
	replica := Start(t, append(follow, settings...)...)
	Linked(t, replica)
	return replica
}

// Linked waits until a replica follows its master.
func Linked(t testing.TB, replica *Server) {
	t.Helper()
	cmdtest.Until(t, "link to the master", func() bool {
		text, _ := replica.try("info", "replication")
		return strings.Contains(text, "master_link_status:up")
	})
}

// Cluster runs a cluster of n masters, and returns them.
func Cluster(t testing.TB, n int) []*Server {
	t.Helper()
	var nodes []*Server
	for range n {
		nodes = append(nodes, Start(t, ClusterSettings()...))
	}
	Join(t, nodes)
	return nodes
}

// ClusterWithReplicas runs a cluster of 3 masters that have a replica each, and
// returns the masters.
func ClusterWithReplicas(t testing.TB) []*Server {
	t.Helper()
	var nodes []*Server
	for range 6 {
		nodes = append(nodes, Start(t, append(ClusterSettings(), "--repl-ping-replica-period", "1")...))
	}
	Join(t, nodes, "--cluster-replicas", "1")
	for _, replica := range nodes[3:] {
		Linked(t, replica)
	}
	return nodes[:3]
}

// ClusterSettings returns the settings of a server of a cluster. A server that does not
// answer for 5 seconds counts as failed.
func ClusterSettings() []string {
	return []string{"--cluster-enabled", "yes", "--cluster-node-timeout", "5000"}
}

// Join makes a cluster of servers, all of them masters unless flags of redis-cli
// say otherwise.
func Join(t testing.TB, nodes []*Server, flags ...string) {
	t.Helper()
	args := []string{"--cluster", "create"}
	for _, s := range nodes {
		args = append(args, s.Addr())
	}
	nodes[0].Do(t, append(append(args, "--cluster-yes"), flags...)...)
	for _, s := range nodes {
		cmdtest.Until(t, "whole cluster", func() bool {
			return strings.Contains(s.Do(t, "cluster", "info"), "cluster_state:ok")
		})
	}
}
