package cmd

// This file finds the program of COMMAND, and reads "#!" lines: those of scripts that
// this program runs, and the one that called it.

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// newChild returns the command of these arguments, and finds its program as a shell
// does. It returns an error for two faults that would otherwise show only after the
// header lines are printed: an interpreter that cannot be run, and a script that
// leads back to itself and never ends.
func newChild(args []string) (*child, error) {
	path, err := exec.LookPath(args[0])
	if err != nil {
		if missing, ok := errors.AsType[*exec.Error](err); ok {
			err = withoutPath(missing.Err)
		}
		return nil, commandError{args[0], err}
	}
	program, argv, err := executed(path, args)
	if err != nil {
		return nil, commandError{args[0], err}
	}
	if err := checkEnd(path, program, argv); err != nil {
		return nil, err
	}
	return &child{path: path, args: args}, nil
}

// executed returns the program that the kernel executes for the one at path, and its
// arguments. For a script it is the script's interpreter. The arguments are then the
// rest of the "#!" line, in one piece, the script's path and the script's arguments.
// If the interpreter is a script too, this is repeated (execve(2)).
func executed(path string, args []string) (string, []string, error) {
	const deepest = 5 // interpreters that are scripts, as in Linux (execve(2))
	for range deepest {
		name, rest := interpreter(path)
		if name == "" {
			return path, args, nil
		}
		if err := checkExecutable(name); err != nil {
			return "", nil, fmt.Errorf("its interpreter %q: %w", name, err)
		}
		words := []string{name, rest, path}
		if rest == "" {
			words = []string{name, path}
		}
		path, args = name, append(words, args[1:]...)
	}
	return "", nil, unix.ELOOP
}

func checkExecutable(path string) error {
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = unix.EACCES
	}
	if err == nil {
		err = unix.Access(path, unix.X_OK)
	}
	return err
}

// interpreter returns the name after "#!" and the rest of that line. The name is
// empty if the program is not a script. Only blanks end the name: with DOS line ends
// it includes the CR, and there is no such file.
func interpreter(path string) (name, rest string) {
	line, _, _ := strings.Cut(firstBytes(path), "\n")
	line, _, _ = strings.Cut(line, "\x00") // as Linux does
	line, script := strings.CutPrefix(line, "#!")
	if !script {
		return "", ""
	}
	line = strings.Trim(line, blanks)
	end := strings.IndexAny(line, blanks)
	if end < 0 {
		return line, ""
	}
	return line[:end], strings.TrimLeft(line[end:], blanks)
}

const blanks = " \t"

// checkEnd returns an error for a command that never ends because a script leads back
// to itself. An example is a script with the line "#!… run": for it the kernel calls
// run with that script as COMMAND. checkEnd follows "#!" lines, env(1) and calls of
// this program, and no others. path is the program of COMMAND; program and args are
// what the kernel executes for it.
func checkEnd(path, program string, args []string) error {
	var scripts []os.FileInfo
	for {
		if program != path {
			script, err := os.Stat(path)
			if err != nil {
				return nil
			}
			if slices.ContainsFunc(scripts, func(s os.FileInfo) bool { return os.SameFile(s, script) }) {
				return usagef("script %s: its #! line leads back to it: write a COMMAND there, "+
					"as in #!/usr/local/bin/cgisession run sh", path)
			}
			scripts = append(scripts, script)
			program, args = innermost(program, args)
		}
		var err error
		if args, err = next(program, args); len(args) == 0 {
			return err
		}
		if path, err = exec.LookPath(args[0]); err != nil {
			return nil // the program that executes it reports that
		}
		if program, args, err = executed(path, args); err != nil {
			return nil
		}
	}
}

// innermost returns the last call of this program in a "#!" line, with the arguments
// after the line. The line is args[1]. Other programs before that call, such as nice
// in "env -S nice cgisession run", are assumed to execute it. If the line has no such
// call, innermost returns program and args.
func innermost(program string, args []string) (string, []string) {
	if !strings.ContainsAny(args[1], blanks+`\`) {
		return program, args // a single word: env has no -S, or the word is the script's path
	}
	words := envWords(args[1])
	for i, word := range slices.Backward(words) {
		path, err := exec.LookPath(word)
		if err != nil {
			continue
		}
		if own, _ := isOwn(path); own {
			return path, append(words[i:], args[2:]...)
		}
	}
	return program, args
}

// envWords splits the text of env -S into words, and expands variables in it. Quoted
// text is split too, so that a call in the text of sh -c is found.
func envWords(text string) []string { return strings.Fields(unquoted.Replace(os.ExpandEnv(text))) }

var unquoted = strings.NewReplacer(`"`, "", "'", "", `\_`, " ", `\`, "")

// next returns the command that the program executes if it is called with args. It
// knows this program and env(1), and returns none for others.
func next(program string, args []string) ([]string, error) {
	switch own, known := isOwn(program); {
	case known && own:
		return wrapped(args)
	case filepath.Base(program) == "env":
		return envCommand(args), nil
	}
	return nil, nil
}

// wrapped returns the COMMAND of a call of this program, if its verb has one. The
// only error is that COMMAND is missing in a "#!" line; other errors are left to that
// call.
func wrapped(args []string) ([]string, error) {
	args, rest := splitLine(args)
	leading, err := leadingFlags(args)
	if err != nil || len(leading.others) == 0 {
		return nil, nil
	}
	v, ok := findVerb(leading.others[0])
	if !ok || !v.wraps {
		return nil, nil
	}
	known := v.command(&call{options: defaults(), stdout: new(output)}).Flags
	p, err := split(append(leading.words, leading.others[1:]...), known, v.wraps)
	switch {
	case err != nil, p.help:
		return nil, nil
	case len(p.others) <= rest:
		return nil, errNoCommandInLine
	}
	return p.others, nil
}

// envCommand returns the command of a call of env(1): the arguments after its options
// and variables, with the text of -S split into words.
func envCommand(args []string) []string {
	for args = args[1:]; len(args) > 0; {
		word := args[0]
		text, isText := splitString(word)
		switch {
		case isText && text == "" && len(args) > 1:
			args = append(envWords(args[1]), args[2:]...)
		case isText:
			args = append(envWords(text), args[1:]...)
		case slices.Contains([]string{"-u", "--unset", "-C", "--chdir"}, word):
			args = args[min(2, len(args)):]
		case strings.HasPrefix(word, "-"), strings.Contains(word, "="):
			args = args[1:]
		default:
			return args
		}
	}
	return nil
}

// splitString reports whether a word is the option -S of env(1), and returns its
// text; an empty one means that the text is the next word.
func splitString(word string) (text string, ok bool) {
	if text, ok = strings.CutPrefix(word, "--split-string"); !ok && strings.HasPrefix(word, "-") {
		text, ok = strings.CutPrefix(strings.TrimLeft(word[1:], "i0v"), "S")
	}
	return strings.TrimPrefix(text, "="), ok
}

// firstBytes returns the first 256 bytes of a program, as many as the kernel reads
// (execve(2)). It returns "" if the program may be executed but not read.
func firstBytes(path string) string {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	var text [256]byte
	n, _ := unix.Read(fd, text[:])
	return string(text[:max(n, 0)])
}

// isOwn reports whether the file at path is this program, or the usual one that
// executed it. known is false if stat(2) fails for the file or for this program.
func isOwn(path string) (own, known bool) {
	file, err := os.Stat(path)
	if err != nil {
		return false, false
	}
	if path, err = os.Executable(); err != nil {
		return false, false
	}
	program, err := os.Stat(path)
	if err != nil {
		return false, false
	}
	if _, usual, ok := usualProgram(os.Args[0]); ok && !os.SameFile(file, program) {
		program, err = os.Stat(usual)
	}
	return err == nil && os.SameFile(file, program), true
}
