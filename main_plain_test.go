//go:build !redis

package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestPlainScript runs the scripts in testdata/plain, about what the program
// without Redis says of it.
func TestPlainScript(t *testing.T) {
	p := params()
	p.Dir = "testdata/plain"
	testscript.Run(t, p)
}
