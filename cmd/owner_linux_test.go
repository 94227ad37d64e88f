package cmd_test

import (
	"bytes"
	"strings"
	"syscall"
	"testing"

	"cgisession/cmd/cmdtest"
)

// Root of a user namespace that has no such user, or may set no groups, does not
// go on as root.
func TestOwnerUnmapped(t *testing.T) {
	needRoot(t)
	r := givenAway(t, 10, webUser, webGroup)
	just := func(n int) []syscall.SysProcIDMap { return []syscall.SysProcIDMap{{Size: n}} } // the first n, as they are
	for what, attr := range map[string]syscall.SysProcAttr{
		"root alone":                 {UidMappings: just(1), GidMappings: just(1), GidMappingsEnableSetgroups: true},
		"root alone, without groups": {UidMappings: just(1), GidMappings: just(1)},
		"users, without groups":      {UidMappings: just(100), GidMappings: just(100)},
		"users, and another's group": {UidMappings: just(100), GidMappings: just(30), GidMappingsEnableSetgroups: true},
		"groups, but not the user":   {UidMappings: just(1), GidMappings: just(100), GidMappingsEnableSetgroups: true},
	} {
		attr.Cloneflags = syscall.CLONE_NEWUSER
		for _, args := range []argv{{"cleanup", "--timeout", "1h"}, {"list"}, {"doctor", "--repair"}} {
			c := r.Command(cmdtest.Program, args...)
			c.SysProcAttr = &attr
			var stdout, stderr bytes.Buffer
			c.Stdout, c.Stderr = &stdout, &stderr
			if err := c.Start(); err != nil {
				t.Skipf("no user namespace: %v", err)
			}
			got := cmdtest.Wait(t, c, &stdout, &stderr)
			if got.Code != 77 || got.Stdout != "" || strings.Count(got.Stderr, "\n") != 1 {
				t.Errorf("%s, %q: %+v", what, args, got)
			}
		}
	}
	if olds, others := r.left(10, everySecond); olds != 5 || others != 5 {
		t.Errorf("%d and %d are left", olds, others)
	}
}
