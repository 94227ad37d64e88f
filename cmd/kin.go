package cmd

import (
	"golang.org/x/sys/unix"

	"cgisession/cgi"
)

// groupKin is kin where /proc does not show ancestors. It returns cgi.Group if
// process pid is in the process group of this one.
func groupKin(pid int) cgi.Kin {
	if group, err := unix.Getpgid(pid); err == nil && pid != 0 && group == unix.Getpgrp() {
		return cgi.Group
	}
	return cgi.NoKin
}
