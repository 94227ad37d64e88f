//go:build redis && linux

package program

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
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

// TestManualApache has Apache read what the manual has for it, and the program know
// each variable.
func TestManualApache(t *testing.T) {
	manual, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(manual), "## More than one machine")
	_, block, _ := strings.Cut(section, "```apache\n")
	block, _, ok := strings.Cut(block, "```")
	if !ok {
		t.Fatal("no block for Apache in the manual")
	}
	help := visitorOn("").Must(t, "get", "--help")
	for line := range strings.Lines(block) {
		if words := strings.Fields(line); len(words) != 3 || !strings.Contains(help, "$"+words[1]) {
			t.Errorf("%q sets no variable of the program's", line)
		}
	}
	apache, err := exec.LookPath("apache2")
	if err != nil {
		apache = "/usr/sbin/apache2"
	}
	const modules = "/usr/lib/apache2/modules/"
	if _, err := os.Stat(modules); err != nil {
		t.Skip("Apache is not installed")
	}
	file := filepath.Join(t.TempDir(), "conf")
	text := "ServerName localhost\nErrorLog /dev/null\nLoadModule mpm_event_module " + modules + "mod_mpm_event.so\nLoadModule authz_core_module " + modules +
		"mod_authz_core.so\nLoadModule env_module " + modules + "mod_env.so\n" + block
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command(apache, "-t", "-f", file).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, said)
	}
}
