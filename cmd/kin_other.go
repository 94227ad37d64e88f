//go:build !linux

package cmd

import "cgisession/cgi"

// sinceBoot returns 0: no start of a process is compared with it here.
func sinceBoot() int64 { return 0 }

// kin returns what process pid is to this one. Ancestors are not known here.
func kin(pid int, _ int64) cgi.Kin { return groupKin(pid) }
