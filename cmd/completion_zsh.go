package cmd

import (
	"fmt"
	"strings"
)

// zsh returns the completions for zsh: a file _cgisession in a directory of $fpath, or
// text for source (_arguments and _describe, zshcompsys(1)).
func zsh(all completions) string {
	var s strings.Builder
	s.WriteString(`#compdef cgisession
# Completions of cgisession for zsh, as "cgisession completion zsh" prints them.

_cgisession() {
	local context state state_descr line ret=1
	local -A opt_args
	local -a verbs=(
`)
	for _, v := range all {
		fmt.Fprintf(&s, "		%s\n", zshQuoted(v.name+":"+zshEscaped(v.about)))
	}
	s.WriteString("	)\n	_arguments -C -A '-*' \\\n")
	for _, name := range all.withValue() {
		fmt.Fprintf(&s, "		'!%s=: : ' \\\n", name)
	}
	for _, o := range programOptions() {
		for _, name := range o.names {
			fmt.Fprintf(&s, "		'(- *)%s[%s]' \\\n", name, zshEscaped(o.about))
		}
	}
	s.WriteString(`		'1: :->verb' '*:: :->argument' && ret=0
	if [[ $state == verb ]]; then
		_describe -t verbs verb verbs && ret=0
		return ret
	fi

	local -a specs
`)
	for _, o := range all.byOption() {
		fmt.Fprintf(&s, "	case $words[1] in %s) specs+=(%s) ;; esac\n",
			strings.Join(o.verbs, "|"), strings.Join(zshSpecs(o.completedOption), " "))
	}
	s.WriteString("	case $words[1] in\n")
	for _, v := range all {
		if v.words != nil {
			fmt.Fprintf(&s, "	%s) specs+=('1: :(%s)' '*: : ') ;;\n", v.name, strings.Join(v.words, " "))
		}
	}
	s.WriteString("	" + strings.Join(all.wrapping(), "|") + `)
		specs+=('(-):command: _command_names -e' '*::arguments: _normal')
		;;
	*) specs+=('*: : ') ;;
	esac
	_arguments -S $specs && ret=0
	return ret
}

if [[ $funcstack[1] == _cgisession ]]; then
	_cgisession "$@"
else
	compdef _cgisession cgisession
fi
`)
	return s.String()
}

// zshSpecs returns the arguments of _arguments for an option: one for each name. If one of
// the names is on the line, the others are not offered.
func zshSpecs(o completedOption) (specs []string) {
	for _, name := range o.names {
		spec := name
		switch {
		case o.last:
			spec = "(-)" + name // no option follows
		case len(o.names) > 1:
			spec = "(" + strings.Join(o.names, " ") + ")" + name
		}
		if o.takes != "" {
			spec += "="
		}
		spec += "[" + zshEscaped(o.about) + "]"
		if o.takes != "" {
			spec += ":" + zshEscaped(o.takes) + ":" + zshValues(o)
		}
		specs = append(specs, zshQuoted(spec))
	}
	return specs
}

// zshValues returns the action that completes an option's value.
func zshValues(o completedOption) string {
	switch {
	case o.words != nil:
		return "(" + strings.Join(o.words, " ") + ")"
	case o.isFile():
		return "_files"
	case o.isDirectory():
		return "_files -/"
	}
	return " " // nothing is completed, and the placeholder is shown
}

// zshEscaped returns a text as it stands within a spec of _arguments or _describe.
func zshEscaped(text string) string {
	return strings.NewReplacer(`\`, `\\`, ":", `\:`, "[", `\[`, "]", `\]`).Replace(text)
}

// zshQuoted returns a text as one word.
func zshQuoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
