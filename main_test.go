package main

import (
	"os"
	"os/exec"
	"path/filepath"
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

// TestProcessors runs scripts that count and lock by the program for other processors,
// with 32 bits, which is emulated.
func TestProcessors(t *testing.T) {
	if os.Getenv("CI") != "true" {
		t.Skip("only with CI=true: it builds the program for other processors")
	}
	for architecture, emulator := range map[string]string{"arm": "qemu-arm", "mipsle": "qemu-mipsel"} {
		t.Run(architecture, func(t *testing.T) {
			if _, err := exec.LookPath(emulator); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			build := exec.Command("scripts/build", filepath.Join(dir, "program"))
			build.Env = append(os.Environ(), "GOARCH="+architecture, "GOARM=7", "GOMIPS=softfloat")
			if text, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			// Programs that the scripts start find this one first.
			wrapper := "#!/bin/sh\nexec " + emulator + " " + dir + "/program \"$@\"\n"
			if err := os.WriteFile(filepath.Join(dir, "cgisession"), []byte(wrapper), 0o755); err != nil {
				t.Fatal(err)
			}
			params := scripttest.Params("", "file", func(e *testscript.Env) { e.Setenv("PATH", dir+":"+e.Getenv("PATH")) })
			for _, name := range []string{"atomic", "counter", "lock"} {
				params.Files = append(params.Files, "testdata/script/"+name+".txtar")
			}
			testscript.Run(t, params)
		})
	}
}
