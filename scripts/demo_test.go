// Package scripts tests scripts that a person runs.
package scripts

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// The demo says first where it is, works, and leaves nothing behind.
func TestDemo(t *testing.T) {
	tmp := t.TempDir()
	demo := exec.Command("./demo")
	demo.Env = append(os.Environ(), "TMPDIR="+tmp)
	demo.Stderr = os.Stderr
	demo.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err == nil {
		address := strings.TrimSpace(line)
		want(t, address, `<a href="counter.sh">`, `<a href="wizard.sh">`)
		want(t, address+"counter.sh", "Visit 1.")
		want(t, address+"form.sh", "404")
	} else {
		t.Errorf("the demo does not say where it is: %v", err)
	}
	// As ^C does: to all processes of the group.
	if err := syscall.Kill(-demo.Process.Pid, syscall.SIGINT); err != nil {
		t.Error(err)
	}
	if err := demo.Wait(); err != nil {
		t.Errorf("after ^C: %v", err)
	}
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// want wants each text in the page.
func want(t *testing.T, url string, texts ...string) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Error(err)
		return
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Error(err)
	}
	for _, text := range texts {
		if !strings.Contains(string(page), text) {
			t.Errorf("%s: no %q in the page:\n%s", url, text, page)
		}
	}
}
