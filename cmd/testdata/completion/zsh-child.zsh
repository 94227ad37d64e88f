# What the zsh of zsh.zsh begins with: a tab prints what is offered, and inserts nothing.
autoload -Uz compinit
compinit -u -D
unset zle_bracketed_paste
bindkey '^U' kill-whole-line
compadd() {
	if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then # it only fills an array
		builtin compadd "$@"
		return
	fi
	local -a found
	builtin compadd -A found "$@"
	local offer
	for offer in $found; do print -rn -- $'\x03'"$offer"; done
	builtin compadd "$@"
}
finish() {
	print -rn -- $'\x02'
	compstate[insert]='' compstate[list]=''
}
offer() {
	comppostfuncs=(finish)
	zle complete-word
}
zle -N offer
bindkey '^I' offer
