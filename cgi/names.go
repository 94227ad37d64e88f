package cgi

import (
	"slices"
	"strings"
)

// IsReserved reports whether a variable of this name has a meaning to a shell, a library
// of the system, another program or CGI. Session data must not set it: a shell may run
// what is assigned, as arithmetic (USER_ID in mksh) or as a command (YASH_AFTER_CD in
// yash), and a program may load it (LD_PRELOAD, ld.so(8)). The comparison is byte for
// byte.
func IsReserved(name string) bool {
	return slices.Contains(reserved, name) ||
		slices.ContainsFunc(reservedPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// IsReservedPrefix reports whether any name that begins with prefix is reserved: run
// --env puts a prefix before keys, which may come from a client.
func IsReservedPrefix(prefix string) bool {
	begins := func(name string) bool { return strings.HasPrefix(name, prefix) }
	return IsReserved(prefix) || slices.ContainsFunc(reserved, begins) || slices.ContainsFunc(reservedPrefixes, begins)
}

var (
	// reservedPrefixes are the beginnings of families of variables. Where only one or two
	// names of a family are known, or its beginning is a common word, its names are in
	// reserved instead.
	reservedPrefixes = []string{
		// Shells: bash(1), ksh93(1), mksh(1), yash(1), zshparam(1), zshmodules(1).
		"BASH", "COMP_", "READLINE_", "KSH", "YASH_", "ZFTP_", "ZLE_", "ZLS_", "ZSH_", "zsh_", "zle_", "ZCURSES_",
		"zcurses_", "_AST_",
		// The dynamic linker and the C library: ld.so(8), environ(7).
		"LD_", "LDR_", "_RLD", "DYLD_", "LC_", "MALLOC_", "GLIBC_", "GCONV_", "MUSL_", "LIBC_",
		// Interpreters.
		"PERL", "PYTHON", "RUBY", "GEM_", "BUNDLE_", "RAILS_", "RACK_", "NODE_", "NPM_", "npm_", "YARN_", "DENO_",
		"BUN_", "LUA_", "TCL", "PHP_", "JAVA_", "_JAVA_", "JDK_", "DOTNET_", "MONO_", "ERL_", "GUILE_", "OCAML",
		"JULIA_", "GODEBUG", "GOTRACEBACK", "RUST_", "RUSTC_", "CARGO_", "PIP_", "GAWK_", "AWK_", "CGO_", "ELIXIR_",
		"MAVEN_", "GRADLE_", "ANT_", "SBT_", "JRUBY_", "GROOVY_", "CATALINA_", "HADOOP_", "SPARK_", "OCTAVE_", "CONDA_",
		"PIPENV_", "POETRY_", "UV_", "COMPOSER_",
		// Frameworks, which load what these name.
		"DBI_", "DBD_", "PLACK_", "MOJO_", "CATALYST_", "DANCER_", "LWP_", "PAR_", "HARNESS_", "DJANGO_", "FLASK_",
		"GUNICORN_", "UVICORN_", "CELERY_", "REQUESTS_", "SYMFONY_", "LARAVEL_",
		// The system and its services.
		"SUDO_", "DOAS_", "XDG_", "DBUS_", "SYSTEMD_", "PAM_", "KRB5", "GSS", "SASL_", "LDAP", "NSS_", "SELINUX_", "__",
		// Other programs and libraries.
		"GIT_", "GPG_", "SSH_", "SVN_", "RSYNC_", "CURL_", "SSL_", "OPENSSL_", "GNUTLS_", "DOCKER_", "PODMAN_",
		"CONTAINER_", "KUBE", "HELM_", "AWS_", "AZURE_", "GOOGLE_", "CLOUDSDK_", "ANSIBLE_", "TF_", "VAULT_", "OTEL_",
		"PG_", "PSQL_", "MYSQL_", "LIBMYSQL_", "MARIADB_", "SQLITE_", "REDIS", "VALKEY", "NLS_", "TNS_", "ORA_", "ORACLE_",
		"LESS", "MAN_", "GROFF_", "GREP_", "RIPGREP_", "FZF_", "BAT_", "BC_", "DC_", "CPIO_", "PATCH_", "SYSTEM_", "LYNX_",
		"ELINKS_", "W3M_", "NAIL_", "MSMTP_", "CUPS_", "GPGME_", "PASSWORD_STORE_", "P11_", "SOCKS_", "TSOCKS_", "TORSOCKS_",
		"PROXYCHAINS_", "APT_", "DPKG_", "DEBCONF_", "DEBIAN_", "RPM_", "PKG_", "NIX_", "GUIX_", "SNAP_", "FLATPAK_",
		"ICU_", "XML_", "SGML_", "NETPBM_", "EXIFTOOL_", "GNUPLOT_", "TEXMF", "openin_", "openout_", "shell_escape",
		"VIM_", "NVIM_", "EMACS", "MAGICK_", "GS_", "FONTCONFIG_", "GDAL_", "FFMPEG_", "GST_", "OMP_", "GOMP_", "CUDA_",
		"QT_", "GTK_", "GDK_", "GIO_", "MOZ_", "CHROME_", "WEBKIT_", "SAL_", "LIBGL_", "MESA_", "ASAN_", "LSAN_",
		"MSAN_", "TSAN_", "UBSAN_", "LLVM_", "GCC_", "GCOV_", "CCACHE_", "DISTCC_", "MAKE", "CMAKE_", "VALGRIND_", "STRACE_",
		"LTRACE_", "GMON_", "ARGP_", "ALSA_", "PULSE_", "SDL_", "VK_", "EGL_", "GBM_", "LIBVA_", "VDPAU_", "OCL_", "OPENCL_",
		"GEGL_", "BABL_", "LADSPA_", "FREI0R_", "IMLIB2_",
		// CGI and web servers: RFC 3875 §4.1.18; mod_ssl, mod_rewrite, FastCGI.
		"HTTP_", "REDIRECT_", "AUTH_", "AUTHENTICATE_", "SUEXEC_", "APACHE_", "NGINX_", "FCGI_", "UWSGI_",
		"CGISESSION_",
	}

	// reserved are single names.
	reserved = []string{
		// Shells: POSIX.1-2024, XCU 2.5.3, and dash(1).
		"PATH", "IFS", "ENV", "HOME", "PS1", "PS2", "PS3", "PS4", "PWD", "OLDPWD", "PPID", "CDPATH", "MAIL", "MAILPATH",
		"MAILCHECK", "LINENO", "OPTIND", "OPTARG", "OPTERR", "FCEDIT", "HISTFILE", "HISTSIZE", "COLUMNS", "LINES",
		"SHELL", "_",
		// bash(1).
		"SHELLOPTS", "SHLVL", "UID", "EUID", "GROUPS", "FUNCNAME", "FUNCNEST", "PIPESTATUS", "DIRSTACK", "GLOBIGNORE",
		"GLOBSORT", "EXECIGNORE", "FIGNORE", "HISTCMD", "HISTCONTROL", "HISTFILESIZE", "HISTIGNORE", "HISTTIMEFORMAT",
		"HOSTFILE", "HOSTTYPE", "HOSTNAME", "IGNOREEOF", "INPUTRC", "INSIDE_EMACS", "MACHTYPE", "OSTYPE",
		"POSIXLY_CORRECT", "PROMPT_COMMAND", "PROMPT_DIRTRIM", "PS0", "RANDOM", "SRANDOM", "REPLY", "SECONDS",
		"EPOCHSECONDS", "EPOCHREALTIME", "TIMEFORMAT", "TMOUT", "CHILD_MAX", "COMPREPLY", "COPROC", "COPROC_PID",
		"MAPFILE", "TEXTDOMAIN", "TEXTDOMAINDIR", "auto_resume", "histchars", "ignoreeof",
		// ksh93(1), mksh(1), posh(1).
		"EDITOR", "VISUAL", "FPATH", "HISTEDIT", "JOBMAX", "VPATH", "EXECSHELL", "PATHSEP", "PGRP", "USER_ID",
		"POSH_VERSION",
		// yash(1).
		"COMMAND_NOT_FOUND_HANDLER", "HANDLED", "ECHO_STYLE", "HISTRMDUP", "POST_PROMPT_COMMAND", "PS1R", "PS1S",
		"PS1P", "PS2R", "PS2S", "PS2P", "PS4S", "TARGETWORD", "WORDS",
		// zshparam(1).
		"ARGC", "ARGV0", "BAUD", "CORRECT_IGNORE", "CORRECT_IGNORE_FILE", "CPUTYPE", "DIRSTACKSIZE", "EGID", "ERRNO",
		"GID", "HISTCHARS", "HISTORY_IGNORE", "HOST", "KEYBOARD_HACK", "KEYTIMEOUT", "LISTMAX", "LOGCHECK", "MANPATH",
		"MATCH", "MBEGIN", "MEND", "MODULE_PATH", "NULLCMD", "POSTEDIT", "PROMPT", "PROMPT2", "PROMPT3", "PROMPT4",
		"PROMPT_EOL_MARK", "PSVAR", "READNULLCMD", "REPORTMEMORY", "REPORTTIME", "RPROMPT", "RPROMPT2", "RPS1", "RPS2",
		"SAVEHIST", "SPROMPT", "STTY", "TIMEFMT", "TMPPREFIX", "TMPSUFFIX", "TRY_BLOCK_ERROR", "TRY_BLOCK_INTERRUPT",
		"TTY", "TTYIDLE", "USERNAME", "VENDOR", "WATCH", "WATCHFMT", "WORDCHARS", "ZBEEP", "ZDOTDIR", "argv", "cdpath",
		"fignore", "fpath", "mailpath", "manpath", "match", "mbegin", "mend", "module_path", "path", "pipestatus",
		"prompt", "psvar", "signals", "status", "watch",
		// zshmodules(1).
		"EVAL_LINENO", "LISTPROMPT", "MENUMODE", "MENUPROMPT", "MENUSCROLL", "MENUSELECT", "ZPCRE_OP", "aliases", "builtins", "commands",
		"dirstack", "dis_aliases", "dis_builtins", "dis_functions", "dis_functions_source", "dis_galiases",
		"dis_patchars", "dis_reswords", "dis_saliases", "epochtime", "errnos", "exarr", "exint", "exstr",
		"funcfiletrace", "funcsourcetrace", "funcstack", "functions", "functions_source", "functrace", "galiases",
		"history", "historywords", "jobdirs", "jobstates", "jobtexts", "keymaps", "langinfo", "mapfile", "modules",
		"nameddirs", "options", "parameters", "patchars", "reswords", "saliases", "sysparams", "termcap", "terminfo",
		"userdirs", "usergroups", "widgets", "zgdbm_tied",
		// zshcompwid(1), and the functions that zsh calls: zshmisc(1).
		"CURRENT", "IPREFIX", "ISUFFIX", "PREFIX", "QIPREFIX", "QISUFFIX", "SUFFIX", "compstate", "words",
		"PERIOD", "chpwd_functions", "periodic_functions", "precmd_functions", "preexec_functions", "zshaddhistory_functions",
		"zshexit_functions",
		// The system's libraries and other programs: environ(7), sudoers(5).
		"TMPDIR", "LANG", "LANGUAGE", "NLSPATH", "LOCPATH", "TZ", "TZDIR", "TERM", "TERMCAP", "TERMINFO",
		"TERMINFO_DIRS", "USER", "LOGNAME", "GETCONF_DIR", "HOSTALIASES", "LOCALDOMAIN", "RES_OPTIONS",
		"RESOLV_HOST_CONF", "NIS_PATH", "PATH_LOCALE", "AUTHSTATE", "LIBPATH", "SHLIB_PATH", "NOTIFY_SOCKET",
		"LISTEN_FDS", "INVOCATION_ID", "JOURNAL_STREAM", "CREDENTIALS_DIRECTORY", "PAGER", "BROWSER", "MAIL_CONFIG",
		"ALL_PROXY", "FTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "all_proxy", "ftp_proxy", "http_proxy", "https_proxy",
		"no_proxy", "gopher_proxy", "imap_proxy", "imaps_proxy", "ldap_proxy", "pop3_proxy", "rtsp_proxy", "sftp_proxy",
		"smtp_proxy", "socks_proxy", "tftp_proxy", "wais_proxy", "ws_proxy", "wss_proxy", "NO_COLOR", "CLASSPATH", "R_HOME", "GOFLAGS", "CVS_RSH", "LS_COLORS", "BLOCK_SIZE", "DF_BLOCK_SIZE",
		"DU_BLOCK_SIZE", "TIME_STYLE", "QUOTING_STYLE", "VERSION_CONTROL", "TAR_OPTIONS", "TAR_READER_OPTIONS", "XZ_OPT",
		"ZSTD_CLEVEL", "TMUX_TMPDIR", "JQ_COLORS", "PGPASSFILE", "PGSERVICEFILE", "PGOPTIONS", "PGSYSCONFDIR", "PSQLRC",
		"WGETRC", "MANPAGER", "MANOPT", "MAILRC", "NETRC", "GNUPGHOME", "HGRCPATH", "EXINIT", "VIMINIT", "AWKPATH",
		"AWKLIBPATH", "GOPATH", "GOROOT", "CGI_HTTP_PROXY", "WWW_HOME", "OUTPUT_CHARSET",
		// RFC 3875 §4.1, and what web servers add.
		"CONTENT_LENGTH", "CONTENT_TYPE", "GATEWAY_INTERFACE", "PATH_INFO", "PATH_TRANSLATED", "QUERY_STRING",
		"REMOTE_ADDR", "REMOTE_HOST", "REMOTE_IDENT", "REMOTE_PORT", "REMOTE_USER", "REQUEST_METHOD", "REQUEST_SCHEME",
		"REQUEST_URI", "SCRIPT_FILENAME", "SCRIPT_NAME", "SERVER_ADDR", "SERVER_ADMIN", "SERVER_NAME", "SERVER_PORT",
		"SERVER_PROTOCOL", "SERVER_SIGNATURE", "SERVER_SOFTWARE", "DOCUMENT_ROOT", "DOCUMENT_URI", "CONTEXT_PREFIX",
		"CONTEXT_DOCUMENT_ROOT", "HTTPS", "UNIQUE_ID",
	}
)
