package cgi

import (
	"slices"
	"strings"
)

// Quote returns text as one word of a POSIX shell, safe under eval whatever
// it holds. NUL characters, which no shell variable can hold, are left out.
func Quote(text string) string {
	text = strings.ReplaceAll(text, "\x00", "")
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// IsShellName reports whether name can name a shell variable (POSIX.1-2024,
// XBD 3.216).
func IsShellName(name string) bool {
	for i, c := range []byte(name) {
		letter := 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// IsReserved reports whether a variable of this name means something to the
// shell, to the dynamic linker, to Perl or Python, or to CGI programs, so that
// session data must not set it.
func IsReserved(name string) bool {
	return slices.Contains(reserved, name) ||
		slices.ContainsFunc(reservedPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

var (
	reservedPrefixes = []string{"LD_", "DYLD_", "PERL", "PYTHON", "BASH", "CGISESSION_", "HTTP_", "REDIRECT_", "SSL_", "LC_", "MALLOC_"}

	reserved = []string{
		// Shells: POSIX.1-2024, XCU 2.5.3; bash(1), dash(1).
		"PATH", "IFS", "ENV", "HOME", "PS1", "PS2", "PS3", "PS4", "PWD", "OLDPWD", "PPID", "CDPATH", "MAIL", "MAILPATH", "MAILCHECK",
		"LINENO", "OPTIND", "OPTARG", "OPTERR", "SHELL", "SHELLOPTS", "SHLVL", "UID", "EUID", "GROUPS", "FUNCNAME", "PIPESTATUS",
		"DIRSTACK", "GLOBIGNORE", "EXECIGNORE", "FIGNORE", "HISTFILE", "HISTCMD", "HOSTTYPE", "HOSTNAME", "INPUTRC", "MACHTYPE", "OSTYPE",
		"POSIXLY_CORRECT", "PROMPT_COMMAND", "RANDOM", "SRANDOM", "REPLY", "SECONDS", "EPOCHSECONDS", "EPOCHREALTIME", "TIMEFORMAT",
		"TMOUT", "TMPDIR", "XDG_RUNTIME_DIR", "LANG", "NLSPATH", "TZ", "TERM", "USER", "LOGNAME", "GODEBUG", "GOTRACEBACK", "_",
		// RFC 3875, section 4.1, and what web servers add.
		"AUTH_TYPE", "CONTENT_LENGTH", "CONTENT_TYPE", "GATEWAY_INTERFACE", "PATH_INFO", "PATH_TRANSLATED", "QUERY_STRING",
		"REMOTE_ADDR", "REMOTE_HOST", "REMOTE_IDENT", "REMOTE_PORT", "REMOTE_USER", "REQUEST_METHOD", "REQUEST_SCHEME", "REQUEST_URI",
		"SCRIPT_FILENAME", "SCRIPT_NAME", "SERVER_ADDR", "SERVER_ADMIN", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL",
		"SERVER_SIGNATURE", "SERVER_SOFTWARE", "DOCUMENT_ROOT", "DOCUMENT_URI", "CONTEXT_PREFIX", "CONTEXT_DOCUMENT_ROOT", "HTTPS", "UNIQUE_ID",
	}
)
