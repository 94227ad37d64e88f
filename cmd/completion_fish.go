package cmd

import (
	"fmt"
	"strings"
)

// fish returns the completions for fish 3.0 and later: a file cgisession.fish in a directory
// of $fish_complete_path, or text for source.
func fish(all completions) string {
	var s strings.Builder
	s.WriteString(`# Completions of cgisession for fish, as "cgisession completion fish" prints them.

# __cgisession_words prints the verb and the arguments after it. Of a verb that runs a
# command, all that follows the command's name is an argument.
function __cgisession_words
	set -l verb
	set -l takes no
	set -l literal no
	set -l tokens (commandline -opc)
	set -e tokens[1]
	for word in $tokens
		set -e tokens[1]
		if test $takes = yes
			set takes no
		else if test $literal = no; and contains -- $word -- ` + strings.Join(all.last(), " ") + `
			set literal yes
		else if test $literal = no; and contains -- $word ` + strings.Join(all.withValue(), " ") + `
			set takes yes
		else if test $literal = yes; or not string match -q -- "-*" $word
			echo -- $word
			if contains -- "$verb" ` + strings.Join(all.wrapping(), " ") + `
				string join -- \n $tokens
				return
			end
			set -q verb[1]; or set verb $word
		end
	end
end

# __cgisession_of VERB... reports whether options of these verbs may follow. Without VERB,
# these are options of the program.
function __cgisession_of
	set -l words (__cgisession_words)
	for word in (commandline -opc)
		contains -- $word -- ` + strings.Join(all.last(), " ") + `; and return 1
	end
	if set -q words[2]; and contains -- $words[1] ` + strings.Join(all.wrapping(), " ") + `
		return 1
	end
	test "$words[1]" = "$argv"; or contains -- "$words[1]" $argv
end

# __cgisession_first VERB... reports whether the first argument of these verbs follows.
function __cgisession_first
	set -l words (__cgisession_words)
	test (count $words) -eq 1; and contains -- $words[1] $argv
end

# __cgisession_command completes the command after the verb.
function __cgisession_command
	set -l words (__cgisession_words)
	set -l line (string escape -- $words[2..]) (commandline -ct)
	set -q words[2]; or not string match -q -- "-*" $line; and complete -C "$line"
end

complete -c cgisession -f
`)
	for _, v := range all {
		fishComplete(&s, nil, v.about, "-a "+v.name)
		if v.words != nil {
			fmt.Fprintf(&s, "complete -c cgisession -n '__cgisession_first %s' -a '%s'\n", v.name, strings.Join(v.words, " "))
		}
	}
	for _, o := range programOptions() {
		fishComplete(&s, nil, o.about, fishNames(o.names))
	}
	for _, o := range all.byOption() {
		fishComplete(&s, o.verbs, o.about, fishNames(o.names)+fishValues(o.completedOption))
	}
	fmt.Fprintf(&s, "complete -c cgisession -n 'contains -- (__cgisession_words)[1] %s' -a '(__cgisession_command)'\n",
		strings.Join(all.wrapping(), " "))
	return s.String()
}

// fishComplete adds a completion that is offered after one of these verbs. Without verbs it
// is offered after the program's name.
func fishComplete(s *strings.Builder, verbs []string, about, what string) {
	condition := strings.Join(append([]string{"__cgisession_of"}, verbs...), " ")
	fmt.Fprintf(s, "complete -c cgisession -n '%s' %s -d %s\n", condition, what, fishQuoted(about))
}

// fishNames returns the flags of complete for an option's names.
func fishNames(names []string) string {
	var flags []string
	for _, name := range names {
		if bare, long := strings.CutPrefix(name, "--"); long {
			flags = append(flags, "-l "+bare)
		} else {
			flags = append(flags, "-s "+name[1:])
		}
	}
	return strings.Join(flags, " ")
}

// fishValues returns the flags of complete for an option's value.
func fishValues(o completedOption) string {
	switch {
	case o.takes == "":
		return ""
	case o.words != nil:
		return " -x -a '" + strings.Join(o.words, " ") + "'"
	case o.isFile():
		return " -r -F"
	case o.isDirectory():
		return " -x -a '(__fish_complete_directories)'"
	}
	return " -x"
}

// fishQuoted returns a text as one word.
func fishQuoted(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(text) + "'"
}
