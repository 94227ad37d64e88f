//go:build !linux

package cmd

import "golang.org/x/sys/unix"

// searchOnly opens a directory to go on from there.
const searchOnly = unix.O_RDONLY

// dropCapabilities has nothing to do: a change of the user drops them all.
func dropCapabilities() error { return nil }

// writeNoWait writes to a pipe or a socket that is ready for it.
func writeNoWait(fd int, text []byte) (int, error) { return unix.Write(fd, text) }
