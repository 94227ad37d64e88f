# bash.bash COMPLETIONS: reads lines, and prints what bash offers at the end of each, as
# words between bytes 3 after the line, and byte 2 at the end.
source "$1"
while IFS= read -r line; do
	# As readline splits a line (COMP_WORDBREAKS), where nothing is quoted.
	IFS=$'\n' read -r -d '' -a COMP_WORDS < <(sed -E 's/[=:@]+/ & /g; s/ +/ /g; s/ $//; s/ /\n/g' <<<"$line")
	case $line in *' ') COMP_WORDS+=('') ;; esac
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	COMP_LINE=$line COMP_POINT=${#line}
	_cgisession
	printf '%s' "$line"
	[ "${#COMPREPLY[@]}" -eq 0 ] || printf '\3%s' "${COMPREPLY[@]}"
	printf '\2'
done
