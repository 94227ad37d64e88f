//go:build !linux

package cmd

import "cgisession/cgi"

// sinceBoot returns 0: kin does not use it here.
func sinceBoot() int64 { return 0 }

// kin returns how process pid is related to this one: only by its process group, since
// this system does not show ancestors in /proc.
func kin(pid int, _ int64) cgi.Kin { return groupKin(pid) }
