//go:build redis && linux

package program

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

// TestPackages sees to it that the plain program has none of the client.
func TestPackages(t *testing.T) {
	deps := func(tags string) []string {
		text, err := exec.Command("go", "list", "-deps", "-tags", tags, "cgisession").Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(text))
	}
	plain, with := deps("urfave_cli_no_docs"), deps("urfave_cli_no_docs redis")
	for _, name := range plain {
		if strings.Contains(name, "redis") || name == "crypto/tls" || name == "net/http" || name == "net" {
			t.Errorf("the plain program has package %s", name)
		}
	}
	t.Logf("%d packages, %d with Redis", len(plain), len(with))
	if len(with) <= len(plain) {
		t.Error("the tag redis changes nothing")
	}
}

// TestManualConf has the program read what the manual has for the configuration file.
func TestManualConf(t *testing.T) {
	_, block, _ := strings.Cut(page(t), "```conf\n")
	block, _, ok := strings.Cut(block, "```")
	if !ok {
		t.Fatal("no block for the configuration file in the manual")
	}
	file := filepath.Join(t.TempDir(), "conf")
	if err := os.WriteFile(file, []byte(block), 0o600); err != nil {
		t.Fatal(err)
	}
	said := cmdtest.Request{}.Must(t, "config", "--config", file)
	n := 0
	for line := range strings.Lines(block) {
		n++
		name, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		if want := fmt.Sprintf("%s %s %s:%d\n", name, value, file, n); !strings.Contains(said+"\n", want) {
			t.Errorf("%q is not in %s", want, said)
		}
	}
}
