//go:build !linux

package cmd

import "golang.org/x/sys/unix"

// dropCapabilities does nothing: other systems have no capabilities of threads.
func dropCapabilities() error { return nil }

// writeNoWait writes to a pipe or a socket that poll found ready. It may wait.
func writeNoWait(fd int, text []byte) (int, error) { return unix.Write(fd, text) }
