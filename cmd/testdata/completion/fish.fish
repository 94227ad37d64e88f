# fish.fish COMPLETIONS: as bash.bash does, for fish.
source $argv[1]
while read -l line
	printf %s "$line"
	for offer in (complete -C "$line")
		printf '\3%s' (string split -m 1 \t -- $offer)[1]
	end
	printf '\2'
end
