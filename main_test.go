package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"cgisession/cmd/scripttest"
)

func TestMain(m *testing.M) {
	scripttest.Main(m.Run, map[string]func(){"cgisession": main})
}

// TestScript runs the scripts in testdata/script with the sessions in files, each by
// a real process a call.
func TestScript(t *testing.T) {
	testscript.Run(t, scripttest.Params("testdata/script", "file", func(*testscript.Env) {}))
}
