package shells

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cgisession/cgi"
)

// tell has each shell print the variables that it has of itself, special,
// integer and read-only ones among them.
var tell = map[string]string{
	"dash":    "set",
	"bash":    "compgen -v; declare -p",
	"busybox": "set",
	"mksh":    "typeset; set",
	"ksh93":   "typeset -p; set",
	"yash":    "typeset -p; set",
	"posh":    "set",
	"zsh": `zmodload zsh/parameter
		for module in $module_path/zsh/**/*.so; do
			zmodload ${${module#$module_path/}%.so}
		done >/dev/null 2>&1
		print -l ${(k)parameters}`,
}

// variable finds the name in a line of what the shells print: "typeset -i -U
// PPID", "declare -r UID="0"", "IFS=' '".
var variable = regexp.MustCompile(`^(?:(?:typeset|declare|export) )?(?:-\S+ (?:\d+ )?)*([A-Za-z_][A-Za-z0-9_]*)(?:$|=)`)

// Every variable that a shell has of itself is refused as a name.
func TestShellsTell(t *testing.T) {
	onEachShell(t, func(t *testing.T, shell []string) {
		stdout, _ := newPlace(t).run(t, shell, tell[shell[0]])
		told := 0
		for line := range strings.Lines(stdout) {
			found := variable.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
			if found == nil {
				continue
			}
			told++
			if name := found[1]; !cgi.IsReserved(name) && !ours(name) {
				t.Errorf("%s is no name for data: %s", name, line)
			}
		}
		if told < 8 {
			t.Errorf("%d variables only: %s", told, stdout)
		}
	})
}

// ours reports whether the script of the test has made a zsh variable itself.
func ours(name string) bool { return name == "module" }

// inManuals are variables that shells give a meaning but do not tell of unless
// they are set, as their manuals have them.
const inManuals = `
POSIX.1-2024, XCU 2.5.3:
	ENV FCEDIT HISTFILE HISTSIZE HOME IFS LANG LC_ALL LC_COLLATE LC_CTYPE LC_MESSAGES LINENO MAIL MAILCHECK MAILPATH NLSPATH OLDPWD
	OPTARG OPTIND PATH PPID PS1 PS2 PS4 PWD
dash(1): CDPATH TERM
bash(1):
	BASH_ENV BASH_COMPAT BASH_REMATCH BASH_XTRACEFD CHILD_MAX COLUMNS COMPREPLY COMP_CWORD COMP_KEY COMP_LINE COMP_POINT COMP_TYPE COMP_WORDS
	COPROC EMACS EXECIGNORE FIGNORE FUNCNAME FUNCNEST GLOBIGNORE HISTCONTROL HISTFILESIZE HISTIGNORE HISTTIMEFORMAT HOSTFILE IGNOREEOF INPUTRC
	INSIDE_EMACS LINES MAPFILE OPTERR PIPESTATUS POSIXLY_CORRECT PROMPT_COMMAND PROMPT_DIRTRIM PS0 PS3 READLINE_ARGUMENT READLINE_LINE
	READLINE_MARK READLINE_POINT REPLY TIMEFORMAT TMOUT TMPDIR auto_resume histchars
ksh93(1): EDITOR FPATH HISTEDIT REPLY SHELL TIMEFORMAT VISUAL VPATH
mksh(1): EXECSHELL KSH_MATCH REPLY
posh(1): EXECSHELL FPATH POSH_VERSION
yash(1):
	COMMAND_NOT_FOUND_HANDLER DIRSTACK ECHO_STYLE HANDLED HISTRMDUP POST_PROMPT_COMMAND PROMPT_COMMAND PS1R PS1S PS2R PS2S PS4S TARGETWORD WORDS
	YASH_AFTER_CD YASH_LE_TIMEOUT YASH_PS1
zshparam(1):
	ARGV0 BAUD CORRECT_IGNORE CORRECT_IGNORE_FILE DIRSTACKSIZE ENV ERRNO HISTORY_IGNORE MATCH MBEGIN MEND POSTEDIT PROMPT_EOL_MARK REPORTMEMORY
	REPORTTIME RPROMPT RPROMPT2 RPS1 RPS2 STTY TERMINFO TERMINFO_DIRS TMPSUFFIX ZBEEP ZDOTDIR ZLE_LINE_ABORTED ZLE_REMOVE_SUFFIX_CHARS
	ZLE_RPROMPT_INDENT ZLE_SPACE_SUFFIX_CHARS ZSH_SCRIPT match mbegin mend zle_highlight
zshmodules(1): LISTPROMPT MENUMODE MENUPROMPT MENUSCROLL MENUSELECT ZFTP_ACCOUNT ZFTP_CODE ZFTP_REPLY
zshcompwid(1): CURRENT PREFIX SUFFIX compstate words
zshmisc(1): PERIOD chpwd_functions periodic_functions precmd_functions preexec_functions zshaddhistory_functions zshexit_functions
`

func TestManualsTell(t *testing.T) {
	for _, name := range regexp.MustCompile(`\b[A-Za-z_][A-Za-z0-9_]+\b[^(:]`).FindAllString(inManuals, -1) {
		name = name[:len(name)-1]
		if strings.HasPrefix(name, "POSIX") && name != "POSIXLY_CORRECT" || name == "XCU" {
			continue
		}
		if !cgi.IsReserved(name) {
			t.Errorf("%s is no name for data", name)
		}
	}
}

// identifiers returns the words in a program's file that could be names of
// variables, of bytes and of wide characters.
func identifiers(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, word := range regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]+\x00`).FindAll(text, -1) {
		words = append(words, strings.TrimSuffix(string(word), "\x00"))
	}
	for _, word := range regexp.MustCompile(`(?:[A-Za-z0-9_]\x00\x00\x00){2,}`).FindAll(text, -1) {
		words = append(words, strings.ReplaceAll(string(word), "\x00", ""))
	}
	slices.Sort(words)
	return slices.DeleteFunc(slices.Compact(words), func(word string) bool { return !cgi.IsShellName(word) })
}

// programFiles returns the files of a shell, zsh's modules among them.
func programFiles(t *testing.T, shell string) []string {
	t.Helper()
	path, err := exec.LookPath(shell)
	if err != nil {
		t.Skip(err)
	}
	files := []string{path}
	if shell == "zsh" {
		modules, _ := filepath.Glob("/usr/lib/*/zsh/*/zsh/*.so")
		files = append(files, modules...)
	}
	return files
}

// Of all words in a shell's program, those that are not refused are ordinary
// variables: what is assigned to them stays as it is, and nothing runs, neither
// then nor when the shell does what it has hooks for.
func TestWordsOfShells(t *testing.T) {
	onEachShell(t, func(t *testing.T, shell []string) {
		p := newPlace(t)
		var code, check strings.Builder
		count := 0
		for _, file := range programFiles(t, shell[0]) {
			for _, word := range identifiers(t, file) {
				if cgi.IsReserved(word) || word == "want" {
					continue
				}
				count++
				code.WriteString(word + "=" + cgi.Quote("x[$(touch RUN)]") + "\n")
				check.WriteString(`[ "$` + word + `" = "$want" ] || echo ` + word + "\n")
			}
		}
		p.write(t, "code", code.String())
		p.write(t, "check", check.String())
		stdout, stderr := p.run(t, shell, `
			want='x[$(touch RUN)]'
			. ./code
			cd . && no_such_command
			: | : >/dev/null
			>file
			. ./check
			echo end`)
		p.wantNothingRun(t)
		if stdout != "end\n" {
			t.Errorf("no ordinary variables: %s\n%s", stdout, stderr)
		}
		t.Logf("%d words", count)
	})
}

// The text changes the variable that the shell would change by itself: a
// function's own stays its own, an exported one exported. With an unset before
// it, which would also rid a variable of its type, it would be the global one in
// mksh, ksh93 and yash, there and in bash the global one instead of that of the
// function's caller, and no longer exported.
func TestVariablesStay(t *testing.T) {
	onEachShell(t, func(t *testing.T, shell []string) {
		p := newPlace(t)
		p.env = append(p.env, "CGISESSION_DATA_DIR="+p.dir+"/sessions", "CGISESSION_ADOPT_ID=session-of-the-test")
		own := "own() { local n"
		if shell[0] == "ksh93" {
			own = "function own { typeset n"
		}
		stdout, stderr := p.run(t, shell, `
			cgisession set n=5 >cookie || exit
			evaluate() { eval "$(cgisession get --sh n)"; }
			n=global
			`+own+`; eval "$(cgisession get --sh n)"; echo "$n"; }
			own; echo "$n"
			`+strings.Replace(own, "own", "caller", 1)+`=global; evaluate; echo "$n"; }
			caller; echo "$n"
			export n
			eval "$(cgisession get --sh n)"
			sh -c 'echo "$n"'`)
		if want := "5\nglobal\n5\nglobal\n5\n"; stdout != want {
			t.Errorf("%q, want %q\n%s", stdout, want, stderr)
		}
	})
}
