package cmd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

// scripts writes files into the request's directory, and makes them programs.
// {P} is the program's path, {D} the directory.
func (r request) scripts(t *testing.T, files map[string]string) {
	t.Helper()
	for name, text := range files {
		text = strings.NewReplacer("{P}", cmdtest.Program, "{D}", r.Dir).Replace(text)
		cmdtest.WriteScript(t, filepath.Join(r.Dir, name), text)
	}
	must(t, os.Symlink(cmdtest.Program, r.Dir+"/ours"))
	must(t, os.Symlink("page.cgi", r.Dir+"/alias.cgi"))
}

// A script whose "#!" line leads back to it would be executed for ever. It is
// executed by the kernel here, as by a web server that passes words of the
// query string as arguments, or called by a verb.
func TestEndlessScripts(t *testing.T) {
	const body = "\necho never\n"
	for name, files := range map[string]map[string]string{
		"run":               {"page.cgi": "#!{P} run"},
		"run, blanks":       {"page.cgi": "#! \t{P} \trun\t "},
		"run --lock":        {"page.cgi": "#!{P} run --lock"},
		"run, dashes":       {"page.cgi": "#!{P} run --"},
		"value missing":     {"page.cgi": "#!{P} run --cookie-path"},
		"lock":              {"page.cgi": "#!{P} lock"},
		"edit":              {"page.cgi": "#!{P} edit"},
		"link to us":        {"page.cgi": "#!{D}/ours run"},
		"env":               {"page.cgi": "#!/usr/bin/env -S cgisession run"},
		"env, path":         {"page.cgi": "#!/usr/bin/env -S {P} run --lock --env S_"},
		"env, joined":       {"page.cgi": "#!/usr/bin/env -Scgisession run"},
		"env, long":         {"page.cgi": "#!/usr/bin/env --split-string=cgisession run"},
		"env, verbose":      {"page.cgi": "#!/usr/bin/env -vS cgisession run"},
		"env, variables":    {"page.cgi": "#!/usr/bin/env -S -u C A=b PATH={D} {D}/ours run"},
		"env, emptied":      {"page.cgi": "#!/usr/bin/env -iS {P} run"},
		"env lock":          {"page.cgi": "#!/usr/bin/env -S cgisession lock"},
		"env edit":          {"page.cgi": "#!/usr/bin/env -S cgisession edit"},
		"flags before run":  {"page.cgi": "#!/usr/bin/env -S cgisession --timeout 30m run"},
		"env, quotes":       {"page.cgi": "#!/usr/bin/env -S \"cgisession\" 'run'"},
		"env, escapes":      {"page.cgi": "#!/usr/bin/env -S cgisession\\_run"},
		"env, long, escape": {"page.cgi": "#!/usr/bin/env --split-string=cgisession\\_run"},
		"env, expanded":     {"page.cgi": "#!/usr/bin/env -S ${UNSET}cgisession run"},
		"env nice":          {"page.cgi": "#!/usr/bin/env -S nice cgisession run"},
		"env timeout":       {"page.cgi": "#!/usr/bin/env -S timeout 60 cgisession run --lock"},
		"env sh":            {"page.cgi": "#!/usr/bin/env -S sh -c 'exec {P} run \"$0\"'"},
		"a NUL":             {"page.cgi": "#!{P} run\x00 sh"},
		"twice":             {"page.cgi": "#!{P} run {P} run"},
		"run env run":       {"page.cgi": "#!{P} run env cgisession run --lock"},
		"run lock":          {"page.cgi": "#!{P} run cgisession lock"},
		"names itself":      {"page.cgi": "#!{P} run ./page.cgi"},
		"by another name":   {"page.cgi": "#!{P} run ./alias.cgi"},
		"two":               {"page.cgi": "#!{P} run ./b.cgi", "b.cgi": "#!{P} run ./page.cgi"},
		"two, mixed":        {"page.cgi": "#!{P} run ./b.cgi", "b.cgi": "#!/usr/bin/env -S cgisession lock ./page.cgi"},
		"three":             {"page.cgi": "#!{P} run ./b.cgi", "b.cgi": "#!{P} run --lock ./c.cgi", "c.cgi": "#!/usr/bin/env -S {P} run ./page.cgi"},
		"leads to a loop":   {"page.cgi": "#!{P} run ./b.cgi", "b.cgi": "#!{P} run"},
		"interpreter":       {"page.cgi": "#!{D}/b.cgi", "b.cgi": "#!{P} run"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := in(t.TempDir())
			for script := range files {
				files[script] += body
			}
			r.scripts(t, files)
			for _, command := range [][]string{
				{"./page.cgi", "touch", "pwned"}, {cmdtest.Program, "run", "./page.cgi"}, {cmdtest.Program, "edit", "./alias.cgi"}, {cmdtest.Program, "lock", "env", "A=b", "./page.cgi"},
			} {
				got := cmdtest.Finish(t, r.Command(command[0], command[1:]...))
				messages := strings.Split(got.Stderr, "cgisession: ")
				if message := messages[len(messages)-1]; got.Code != 64 || got.Stdout != "" || !strings.Contains(message, "#!") || strings.Count(message, "\n") != 1 {
					t.Errorf("%q: code %d, stdout %q, stderr %.200q", command, got.Code, got.Stdout, got.Stderr)
				}
			}
			for _, made := range []string{"sessions", "pwned"} {
				if _, err := os.Lstat(filepath.Join(r.Dir, made)); err == nil {
					t.Errorf("there is now %s", made)
				}
			}
		})
	}
}

// The rest of a "#!" line comes as one argument (execve(2)), so env -S is not
// needed. The words after the script's name come from the client, and stay its
// arguments.
func TestRunLine(t *testing.T) {
	const body = "\necho \"$0,$#,$1,$2,${S_n-},${CGISESSION_LOCK_FD:+locked}\"\n"
	plain, data, locked := "./page.cgi,2,--lock,run x,,", "./page.cgi,2,--lock,run x,7,", "./page.cgi,2,--lock,run x,,locked"
	for _, row := range []struct {
		files map[string]string
		want  string
	}{
		{map[string]string{"page.cgi": "#!{P} run sh"}, plain},
		{map[string]string{"page.cgi": "#!{P} run\tsh"}, plain},
		{map[string]string{"page.cgi": "#!  {P}\t run \t sh -u\t \t"}, plain},
		{map[string]string{"page.cgi": "#!{P} run -- sh"}, plain},
		{map[string]string{"page.cgi": "#!{P} run /bin/sh"}, plain},
		{map[string]string{"page.cgi": "#!{P} run busybox sh"}, plain},
		{map[string]string{"page.cgi": "#!{D}/ours run sh"}, plain},
		{map[string]string{"page.cgi": "#!{P} run --env S_ sh"}, data},
		{map[string]string{"page.cgi": "#!{P} run --env=S_ --cookie-path=/ sh"}, data},
		{map[string]string{"page.cgi": "#!{P} run --lock sh"}, locked},
		{map[string]string{"page.cgi": "#!{P} run env sh"}, plain},
		{map[string]string{"page.cgi": "#!{P} run env A=b {P} run sh"}, plain},
		{map[string]string{"page.cgi": "#!/usr/bin/env -S cgisession run sh"}, plain},
		{map[string]string{"page.cgi": "#!/usr/bin/env -S nice 'cgisession' run nice sh"}, plain},
		{map[string]string{"page.cgi": "#!/usr/bin/env -S sh -c 'exec cgisession run sh \"$0\" \"$@\"'"}, plain},
		{map[string]string{"page.cgi": "#!{P} run ./b.sh", "b.sh": "#!/bin/sh\nshift; set -- \"$@\"; . ./c.sh", "c.sh": "# ./page.cgi"}, "./b.sh,2,--lock,run x,,"},
		{map[string]string{"page.cgi": "#!{P} run ./b.sh", "b.sh": "#!{P} run sh\nshift"}, "./b.sh,2,--lock,run x,,"},
	} {
		if _, err := exec.LookPath("busybox"); err != nil && strings.Contains(row.files["page.cgi"], "busybox") {
			continue
		}
		r := begin(t, `{"n":7}`)
		for script := range row.files {
			row.files[script] += body
		}
		r.scripts(t, row.files)
		for _, command := range [][]string{{"./page.cgi"}, {cmdtest.Program, "run", "./page.cgi"}, {cmdtest.Program, "run", "env", "./page.cgi"}} {
			got := cmdtest.Finish(t, r.Command(command[0], append(command[1:], "--lock", "run x")...))
			if lines := strings.SplitAfter(got.Stdout, "\n"); got.Code != 0 || got.Stderr != "" || lines[0] != row.want+"\n" {
				t.Errorf("%q by %q: %+v\nwant %q", row.files["page.cgi"], command, got, row.want)
			}
		}
	}
}

// What is wrong with such a line is said before anything is printed.
func TestRunLineRefused(t *testing.T) {
	for _, row := range []struct {
		line string
		code int
		say  string
	}{
		{"run sh\r", 127, `command sh\r: `},
		{"run\r", 64, "did you mean run?"},
		{"run no-such-command", 127, "command no-such-command: "},
		{"run --no-such-flag sh", 64, "--no-such-flag"},
		{"run --lock\r", 64, "did you mean --lock?"},
		{"run --env PATH sh", 64, "shell name"},
		{"lock sh", 64, `no verb "lock sh"`},
		{"runs sh", 64, `no verb "runs sh"`},
		{"", 64, "no verb"},
	} {
		r := in(t.TempDir())
		r.scripts(t, map[string]string{"page.cgi": "#!{P} " + row.line + "\necho never\n"})
		got := cmdtest.Finish(t, r.Command("./page.cgi", "touch", "pwned"))
		if got.Code != row.code || got.Stdout != "" || !strings.Contains(got.Stderr, row.say) {
			t.Errorf("%q: %+v", row.line, got)
		}
		if _, err := os.Lstat(r.Dir + "/sessions"); err == nil {
			t.Errorf("%q made a session", row.line)
		}
	}
}
