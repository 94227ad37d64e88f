package cmd

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

// lookCommand finds the program of COMMAND as a shell would. What would fail or
// never end once the session is loaded and its header lines are out is an error
// here: an interpreter that cannot be run, and a script that leads back to itself.
func lookCommand(args []string) (string, error) {
	path, err := exec.LookPath(args[0])
	if err != nil {
		if found, ok := errors.AsType[*exec.Error](err); ok {
			err = plain(found.Err)
		}
		return "", commandError{args[0], err}
	}
	program, argv, err := executed(path, args)
	if err != nil {
		return "", commandError{args[0], err}
	}
	if err := checkEnd(path, program, argv); err != nil {
		return "", err
	}
	return path, nil
}

// executed returns what the kernel executes for a script, or for the script that
// is its interpreter: the interpreter with the rest of the "#!" line as one
// argument, the script's path and the script's arguments (execve(2)).
func executed(path string, args []string) (string, []string, error) {
	const deepest = 5 // as Linux has it
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

// interpreter returns what the program names after "#!", "" if it is no script,
// and the rest of that line. Only blanks part them: in a script with DOS line ends
// the CR belongs to the name, which is not found.
func interpreter(path string) (name, rest string) {
	line, _, _ := strings.Cut(firstBytes(path), "\n")
	line, _, _ = strings.Cut(line, "\x00") // as Linux has it
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

// checkEnd reports a command that never ends because a script is reached twice
// with nothing but "#!" lines, env(1) and this program on the way, which say what
// comes next. Such is a script with the line "#!… run": the kernel calls run with
// that script as COMMAND. path is what COMMAND names, program and args what the
// kernel executes for it.
func checkEnd(path, program string, args []string) error {
	var scripts []os.FileInfo
	for {
		if program != path {
			script, err := os.Stat(path)
			if err != nil {
				return nil
			}
			if slices.ContainsFunc(scripts, func(s os.FileInfo) bool { return os.SameFile(s, script) }) {
				return usagef("script %s: its #! line leads back to it: write a COMMAND there, as in #!/usr/local/bin/cgisession run sh", path)
			}
			scripts = append(scripts, script)
			program, args = innermost(program, args)
		}
		var err error
		if args, err = next(program, args); len(args) == 0 {
			return err
		}
		if path, err = exec.LookPath(args[0]); err != nil {
			return nil // the program that looks for it reports it
		}
		if program, args, err = executed(path, args); err != nil {
			return nil
		}
	}
}

// innermost returns the last call of this program that a "#!" line names, with the
// arguments after the line, which is the first of args. Whatever stands before that
// call there, such as env -S nice, executes it in the end. Where the line names none
// it returns what it was given.
func innermost(program string, args []string) (string, []string) {
	if !strings.ContainsAny(args[1], blanks+`\`) {
		return program, args // one word, or the path of a script whose line has none
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

// envWords returns the words of a text of env -S, with the values of its variables.
// Quoted text falls into words too, so that a call in the text of sh -c is found.
func envWords(text string) []string { return strings.Fields(unquoted.Replace(os.ExpandEnv(text))) }

var unquoted = strings.NewReplacer(`"`, "", "'", "", `\_`, " ", `\`, "")

// next returns the command that a program executes, if it is this program or
// env(1); else none, since only the program knows.
func next(program string, args []string) ([]string, error) {
	switch own, known := isOwn(program); {
	case known && own:
		return wrapped(args)
	case filepath.Base(program) == "env":
		return envCommand(args), nil
	}
	return nil, nil
}

// wrapped returns the COMMAND of a call of this program, if its verb has one.
// Other errors than that it is missing in a "#!" line are left to that call.
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

// envCommand returns the command of a call of env(1): what comes after options
// and variables, with the text of -S in words.
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
// text, "" if that is the next word.
func splitString(word string) (text string, ok bool) {
	if text, ok = strings.CutPrefix(word, "--split-string"); !ok && strings.HasPrefix(word, "-") {
		text, ok = strings.CutPrefix(strings.TrimLeft(word[1:], "i0v"), "S")
	}
	return strings.TrimPrefix(text, "="), ok
}

// splitLine splits the first argument at blanks if it begins with run and a blank:
// then it is the rest of a "#!" line, which Linux passes as one argument (execve(2)).
// rest is the number of arguments after it: the script's path and arguments, which
// may come from a client. It is -1 if the first argument is no such line.
func splitLine(args []string) (words []string, rest int) {
	if len(args) < 2 || !strings.HasPrefix(args[1], "run ") && !strings.HasPrefix(args[1], "run\t") {
		return args, -1
	}
	line := strings.FieldsFunc(args[1], func(r rune) bool { return strings.ContainsRune(blanks, r) })
	return slices.Concat(args[:1], line, args[2:]), len(args) - 2
}

// errNoCommandInLine is an error of its own, since an option that lacks its value
// would take the script's path for that, and a client's words for COMMAND.
var errNoCommandInLine = usagef("COMMAND missing in the #! line: write it there, as in #!/usr/local/bin/cgisession run sh")

// firstBytes returns the beginning of a program as the kernel looks at it, or "" if it
// may be run but not read.
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

// shell runs a script without "#!", as execvp(3) has it.
const shell = "/bin/sh"

func shellArgs(path string, args []string) []string {
	return append([]string{"sh", path}, args[1:]...)
}

// isText reports whether a program that the kernel does not know may be a script
// for the shell, which a file with a NUL in its first line is not.
func isText(path string) bool {
	line, _, _ := strings.Cut(firstBytes(path), "\n")
	return !strings.Contains(line, "\x00")
}
