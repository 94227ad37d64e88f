package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// The demo says first where it is, works, and leaves nothing behind.
func TestDemo(t *testing.T) {
	tmp := t.TempDir()
	demo := exec.Command("../demo")
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
		fetch(t, address).want(t, `<a href="counter.sh">`, `<a href="wizard.sh">`)
		fetch(t, address+"counter.sh").want(t, "Visit 1.")
		fetch(t, address+"form.sh").want(t, "404")
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
