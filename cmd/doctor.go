package cmd

// This file prints what is found in a set-up. The store checks itself (store.Operator);
// advice.go has the cookie, the keys and the limits.

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/urfave/cli/v2"

	"cgisession/store"
	"cgisession/store/file"
)

func doctorCommand(c *call) *cli.Command {
	var examination store.Examination
	var json bool
	var lockOnce string // set in a process that tryLockElsewhere starts: the file to lock
	flags := append(c.storeFlags(), c.cookieFlags()...)
	return command("doctor", "", "check the set-up, and say what is wrong and how to mend it", append(flags,
		switchFlag("deep", "also read every session", &examination.Deep),
		switchFlag("repair", "also mend what can be mended, and move the rest to .damaged in the data directory",
			&examination.Repair),
		&cli.GenericFlag{Name: "lock-once", Hidden: true, Value: oneLine(&lockOnce)},
		jsonFlag(&json)),
		func(args []string) error {
			dirChosen := c.dataDir != ""
			var findings store.Findings
			c.aboutConfig(&findings)
			c.watch()
			if err := c.openForOperator(); err != nil { // a missing directory is one of its findings
				return err
			}
			if lockOnce != "" {
				return tryLock(lockOnce)
			}
			if err := noArguments(args); err != nil {
				return err
			}
			findings = append(findings, c.store.Examine(examination)...)
			c.progress.clear()
			for _, name := range unknownVariables(nil) {
				findings.Say(store.Warning, "variable", "scripts cannot call the program: %s", aboutVariable(name))
			}
			c.advise(&findings, dirChosen)
			return printFindings(c.stdout, &c.secrets, findings, json)
		})
}

// printFindings prints the findings. If one of them is a problem, it returns
// errProblems; the findings are printed all the same, or the error is errOutput.
func printFindings(out *output, secrets *secrets, findings []store.Finding, json bool) error {
	var problem error
	for _, f := range findings {
		if f.Level == store.Problem {
			problem = errProblems
		}
		text := secrets.hide(f.Text)
		if json {
			var line object
			line.string("level", string(f.Level))
			line.string("about", f.About)
			line.string("text", text)
			out.printJSON(line.end())
			continue
		}
		fmt.Fprintf(out, "%-8s %s: %s\n", f.Level, f.About, secrets.printable(text))
	}
	return cmp.Or(out.flush(), problem)
}

// tryLockElsewhere tries the lock of a file in another process, with the rights of
// the owner of the data directory.
func tryLockElsewhere(dir, path string) (locked bool, err error) {
	command, err := ownProgram("doctor", "--config", noConfig, "--data-dir", dir, "--lock-once", path)
	if err == nil {
		err = command.Run()
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == exitLocked {
		return false, nil
	}
	return err == nil, err
}

// ownProgram returns a call of this program without an environment.
func ownProgram(args ...string) (*exec.Cmd, error) {
	command := &exec.Cmd{Path: itself, Args: append([]string{"cgisession"}, args...), Env: []string{}}
	_, err := os.Lstat(itself)
	if err != nil {
		command.Path, err = os.Executable()
	}
	return command, err
}

// itself is a path of this program, also for a user without access to its directory
// (proc_pid_exe(5)).
const itself = "/proc/self/exe"

// tryLock tries the lock in the process that tryLockElsewhere starts.
func tryLock(path string) error {
	locked, err := file.LockOnce(path)
	if err == nil && !locked {
		err = store.ErrLocked
	}
	return err
}
