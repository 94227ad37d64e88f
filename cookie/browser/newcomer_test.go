//go:build linux

package browser

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

// A newcomer installs the package beside lighttpd, pastes the first script of the
// README, sees it count in a browser, logs in and out, and asks doctor.
func TestNewcomer(t *testing.T) {
	if os.Getenv("CI") != "true" {
		t.Skip("only with CI=true: it builds a package and installs it")
	}
	root := cmdtest.NewRoot(t)
	dir := t.TempDir()
	if text, err := exec.Command("../../scripts/package", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	debs, err := filepath.Glob(dir + "/*.deb")
	if err != nil || len(debs) != 1 {
		t.Fatalf("packages: %q, %v", debs, err)
	}
	root.Install(t, debs[0])

	// What is pasted and copied.
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	first := regexp.MustCompile("(?ms)^```sh\n(#!/bin/sh\n.*?)^```$").FindSubmatch(readme)
	if first == nil {
		t.Fatal("no script in the README")
	}
	root.Run(t, "sh", "-ec", `mkdir -p /usr/lib/cgi-bin
		cp /usr/share/doc/cgisession/examples/login.sh /usr/share/doc/cgisession/examples/form.sh /usr/lib/cgi-bin
		cp /usr/share/doc/cgisession/production/lighttpd.conf /etc/lighttpd/conf-enabled/90-cgisession.conf`)
	root.Write(t, "/usr/lib/cgi-bin/first.sh", string(first[1]), 0o755)

	var base string
	cmdtest.Serve(t, func(port int) []*exec.Cmd {
		base = "http://" + cmdtest.Address(port) + "/cgi-bin/"
		conf := regexp.MustCompile(`(?m)^server.port .*$`).ReplaceAllString(root.Read(t, "/etc/lighttpd/lighttpd.conf"), "server.port = "+base[len("http://127.0.0.1:"):len(base)-len("/cgi-bin/")])
		root.Write(t, "/etc/lighttpd/here.conf", conf+"\nserver.bind = \"127.0.0.1\"\n", 0o644)
		return []*exec.Cmd{root.Command("lighttpd", "-D", "-f", "/etc/lighttpd/here.conf")}
	})

	b := newBrowser(t)
	shows := func(text string, words ...string) {
		t.Helper()
		for _, word := range words {
			if !regexp.MustCompile(`\b` + word + `\b`).MatchString(text) {
				t.Errorf("the page does not say %s:\n%s", word, text)
			}
		}
	}
	shows(b.visit(t, base+"first.sh"), "1")
	shows(b.visit(t, base+"first.sh"), "2")
	b.write(t, "input[name]", "Ann")
	b.click(t, "button")
	shows(b.text(t), "Ann", "3")
	shows(b.visit(t, base+"first.sh"), "Ann", "4")

	b.visit(t, base+"login.sh")
	b.write(t, "input[name=name]", "ann")
	b.write(t, "input[name=password]", "sesame")
	b.click(t, "button")
	shows(b.text(t), "Welcome, ann", "logged in as ann")
	b.click(t, "button[value=log-out]")
	if text := b.text(t); strings.Contains(text, "ann") {
		t.Errorf("still logged in:\n%s", text)
	}

	found := root.Run(t, "runuser", "-u", "www-data", "--", "cgisession", "doctor")
	if strings.Contains(found, "problem") || !strings.Contains(found, "/var/lib/cgisession/33") {
		t.Errorf("doctor says\n%s", found)
	}
	t.Log(found)
}
