package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A process is a command and its environment.
type process struct {
	args []string
	env  []string
}

// empty is the stdin and stdout of processes while the clock runs: /dev/null.
var empty *os.File

// time returns how long the process takes, from its start to its end.
func (p process) time() (time.Duration, error) {
	path, err := exec.LookPath(p.args[0])
	if err != nil {
		return 0, err
	}
	start := time.Now()
	files := []uintptr{empty.Fd(), empty.Fd(), 2}
	pid, err := syscall.ForkExec(path, p.args, &syscall.ProcAttr{Env: p.env, Files: files})
	if err != nil {
		return 0, err
	}
	var status syscall.WaitStatus
	for {
		_, err = syscall.Wait4(pid, &status, 0, nil)
		if err != syscall.EINTR {
			break
		}
	}
	took := time.Since(start)
	if err == nil && status != 0 {
		err = fmt.Errorf("%v: wait status %#x", p.args, status)
	}
	return took, err
}

// output returns what the process prints.
func (p process) output(stdin []byte) (string, error) {
	c := exec.Command(p.args[0], p.args[1:]...)
	c.Env, c.Stdin, c.Stderr = p.env, bytes.NewReader(stdin), os.Stderr
	text, err := c.Output()
	if err != nil {
		err = fmt.Errorf("%v: %w", p.args, err)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n"), err
}

// A result is the median of a process's turns.
type result struct {
	median time.Duration
	turns  int
}

// race gives each process a turn in each round. A process that has taken over 30 s in
// all gets three turns only.
func race(rounds int, processes []process) ([]result, error) {
	all := make([][]time.Duration, len(processes))
	spent := make([]time.Duration, len(processes))
	for range rounds {
		for _, i := range rand.Perm(len(processes)) {
			if spent[i] > 30*time.Second && len(all[i]) >= 3 {
				continue
			}
			took, err := processes[i].time()
			if err != nil {
				return nil, err
			}
			all[i] = append(all[i], took)
			spent[i] += took
		}
	}
	var results []result
	for _, times := range all {
		results = append(results, result{median(times), len(times)})
	}
	return results, nil
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}
