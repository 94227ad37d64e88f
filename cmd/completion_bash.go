package cmd

import (
	"fmt"
	"slices"
	"strings"
)

// bash returns the completions for bash 3.2 and later, with or without the package
// bash-completion. bash splits words at "=", ":" and "@" too (COMP_WORDBREAKS, bash(1)).
func bash(all completions) string {
	var s strings.Builder
	s.WriteString(`# Completions of cgisession for bash, as "cgisession completion bash" prints them.

# _cgisession_paths WHICH CURRENT makes the replies from the paths that compgen lists.
_cgisession_paths() {
	local path current=${2#[\"\']}
	while IFS= read -r path; do
		COMPREPLY+=("$path")
	done < <(compgen "$1" -- "${current//\\/}")
	compopt -o filenames 2>/dev/null
}

# _cgisession_command N CURRENT completes the command that begins at word N.
_cgisession_command() {
	if declare -F _comp_command_offset >/dev/null; then
		_comp_command_offset "$1"
	elif declare -F _command_offset >/dev/null; then
		_command_offset "$1"
	elif (($1 == COMP_CWORD)); then
		COMPREPLY=($(compgen -c -- "$2"))
	else
		_cgisession_paths -f "$2"
	fi
}

_cgisession() {
	local i word verb='' option='' first='' literal='' joined='' words='' options=''
	local current=${COMP_WORDS[COMP_CWORD]}
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ $word && $word != *[!=:@]* ]]; then # joins the words around it
			[[ $option && $word == = ]] || joined=1
			continue
		elif [[ $joined || $option ]]; then
			joined='' option=''
			continue
		fi
		case $literal$word in
		-- | ` + bashPattern(all.last()) + `) literal=1 ;;
		` + bashPattern(all.withValue()) + `) option=$word ;;
		-*) ;;
		*)
			if [[ ! $verb ]]; then
				verb=$word
			else
				first=${first:-$i}
				case $verb in ` + bashPattern(all.wrapping()) + `) break ;; esac
			fi
			;;
		esac
	done
	[[ $option && $current == = ]] && current=''
	[[ $joined || $current && $current != *[!=:@]* ]] && return

	case $option in
`)
	s.WriteString(bashValues(all))
	s.WriteString("	?*) return ;;\n	esac\n	case $verb in\n")
	fmt.Fprintf(&s, "	'') words='%s' options='%s' ;;\n",
		strings.Join(all.verbNames(func(completedVerb) bool { return true }), " "), namesOf(programOptions()))
	for _, v := range all {
		words := ""
		if v.words != nil {
			words = " words='" + strings.Join(v.words, " ") + "'"
		}
		fmt.Fprintf(&s, "	%s) options='%s'%s ;;\n", v.name, namesOf(v.options), words)
	}
	s.WriteString(`	esac
	case $verb in
	` + bashPattern(all.wrapping()) + `)
		if [[ $first || $literal || $current != -* ]]; then
			_cgisession_command "${first:-$COMP_CWORD}" "$current"
			return
		fi
		;;
	esac
	if [[ ! $literal && $current == -* ]]; then
		COMPREPLY=($(compgen -W "$options" -- "$current"))
	elif [[ ! $first ]]; then
		COMPREPLY=($(compgen -W "$words" -- "$current"))
	fi
}
complete -F _cgisession cgisession
`)
	return s.String()
}

// bashPattern returns the pattern of a case in bash that matches the words.
func bashPattern(words []string) string { return strings.Join(words, " | ") }

// bashValues returns the cases for options whose values are known.
func bashValues(all completions) string {
	var s strings.Builder
	fmt.Fprintf(&s, "	%s)\n		_cgisession_paths -f \"$current\"\n		return\n		;;\n",
		bashPattern(all.optionNames(completedOption.isFile)))
	fmt.Fprintf(&s, "	%s)\n		_cgisession_paths -d \"$current\"\n		return\n		;;\n",
		bashPattern(all.optionNames(completedOption.isDirectory)))
	var written []string
	for _, o := range all.byOption() {
		if name := bashPattern(o.names); o.words != nil && !slices.Contains(written, name) {
			written = append(written, name)
			fmt.Fprintf(&s, "	%s)\n		COMPREPLY=($(compgen -W '%s' -- \"$current\"))\n		return\n		;;\n",
				name, strings.Join(o.words, " "))
		}
	}
	return s.String()
}
