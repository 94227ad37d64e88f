package cmd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/urfave/cli/v2"

	"cgisession/store"
	"cgisession/store/file"
)

func doctorCommand(c *call) *cli.Command {
	var how store.Examination
	var json bool
	var lockOnce string // the other process's part in the check of locks
	return c.operatorCommand("doctor", "", "check the set-up, and say what is wrong and how to mend it", func(args []string) error {
		if lockOnce != "" {
			return tryLock(lockOnce)
		}
		if err := noArguments(args); err != nil {
			return err
		}
		how.TryLock, how.TempDir, how.InMemory = c.tryLockElsewhere, c.env.TempDir, c.storeType == "memory"
		found := store.Findings(c.store.Examine(how))
		c.examineCookies(&found)
		if c.timeout == 0 {
			found.Say(store.Warning, "timeout", "there is none: a session lives until it is cleaned up; set --timeout, and run cleanup with the same")
		}
		return c.printFindings(found, json)
	},
		append(c.cookieFlags(),
			&cli.BoolFlag{Name: "deep", Usage: "also read every session", Destination: &how.Deep},
			&cli.BoolFlag{Name: "repair", Usage: "also mend what can be mended, and move the rest to .damaged in the data directory", Destination: &how.Repair},
			&cli.GenericFlag{Name: "lock-once", Hidden: true, Value: text(&lockOnce)},
			jsonFlag(&json))...)
}

// examineCookies checks what browsers will make of the cookie.
func (c *call) examineCookies(found *store.Findings) {
	keys, err := readKeys(c.secretFile, os.LookupEnv)
	switch {
	case err != nil:
		found.Say(store.Problem, "key file", "%v", err)
	case keys == nil:
		found.Say(store.Fine, "key file", "none; ids are not signed, and need not be: they are 160 random bits")
	default:
		found.Say(store.Fine, "key file", "%d keys; the first signs", len(keys))
	}
	c.keys = keys
	if err := c.checkCookie(); err != nil {
		found.Say(store.Problem, "cookie", "%v", err)
	}
	switch {
	case c.secure == "never":
		found.Say(store.Warning, "cookie", "--cookie-secure never sends it in the clear; use auto, or always under https")
	case c.secure == "auto" && !c.env.HTTPS:
		found.Say(store.Warning, "cookie", "--cookie-secure auto goes by the variables HTTPS and REQUEST_SCHEME, which do not say https here; under https see that the web server sets HTTPS=on, or use always")
	case c.secure == "always" && !c.env.HTTPS:
		found.Say(store.Warning, "cookie", "--cookie-secure always: browsers keep the cookie under https only, and the variables HTTPS and REQUEST_SCHEME do not say https here; over http each visit begins a new session")
	}
}

// printFindings prints what doctor found. With a problem among it the answer is
// errProblems, and what was found is printed all the same.
func (c *call) printFindings(found []store.Finding, json bool) error {
	var problem error
	for _, f := range found {
		if f.Level == store.Problem {
			problem = errProblems
		}
		text := c.secrets.hide(f.Text)
		if json {
			var line object
			line.string("level", string(f.Level))
			line.string("about", f.About)
			line.string("text", text)
			c.stdout.printJSON(line.end())
			continue
		}
		fmt.Fprintf(c.stdout, "%-8s %s: %s\n", f.Level, f.About, c.secrets.printable(text))
	}
	if problem != nil {
		c.stdout.flush()
	}
	return problem
}

// tryLockElsewhere tries the lock of a file in another process, which acts as the
// owner of the same directory.
func (c *call) tryLockElsewhere(path string) (locked bool, err error) {
	args := []string{"cgisession", "doctor", "--data-dir", c.directory(c.env), "--lock-once", path}
	command := exec.Cmd{Path: itself, Args: args, Env: []string{}}
	if _, err := os.Lstat(itself); err != nil {
		if command.Path, err = os.Executable(); err != nil {
			return false, err
		}
	}
	err = command.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == exitLocked {
		return false, nil
	}
	return err == nil, err
}

// itself leads to this program, also for a user who cannot get at its path
// (proc_pid_exe(5)).
const itself = "/proc/self/exe"

// tryLock is what that other process does.
func tryLock(path string) error {
	locked, err := file.LockOnce(path)
	if err == nil && !locked {
		err = store.ErrLocked
	}
	return err
}
