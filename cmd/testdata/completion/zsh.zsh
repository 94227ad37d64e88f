# zsh.zsh COMPLETIONS: as bash.bash does, for zsh, in an interactive one on a terminal.
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PS1= PROMPT_EOL_MARK=; stty -echo; source ${(q)0:h}/zsh-child.zsh; source ${(q)1}; print -r -- \$'\\x01'ready"
zpty -r z reply $'*\x01ready*'
while IFS= read -r line; do
	zpty -w -n z "$line"$'\t'
	zpty -r z reply $'*\x02'
	print -rn -- "$line${reply#*$line}"
	zpty -w -n z $'\x15' # kill-whole-line
done
zpty -d z
