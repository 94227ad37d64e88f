#!/bin/sh
# Compares cleanup with find -delete: each removes half of the sessions in one of
# two equal directories, in turn. Then lists and counts them all. Prints a
# Markdown table. Needs GNU time (Debian's package time), and for a million
# sessions 8 GB and half an hour.
#
#   scripts/bench.d/cleanup.sh
#
# Variables:
#
#   N=1000000      how many sessions
#   ROUNDS=3       how often to compare
#   TMPDIR=/tmp    where
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
n=${N:-1000000}
rounds=${ROUNDS:-3}

time=/usr/bin/time
if [ ! -x "$time" ]; then
	echo "cleanup.sh: no $time here; on Debian: apt-get install time" >&2
	exit 1
fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM HUP
"$top/scripts/build" "$tmp/cgisession"
(cd "$top" && go build -buildvcs=false -o "$tmp/fill" ./scripts/fill)

# measure COMMAND... runs it, and leaves its seconds and MiB in $seconds and $mib.
measure() {
	"$time" -o "$tmp/time" -f '%e %M' "$@" >/dev/null
	read -r seconds kib <"$tmp/time"
	mib=$(awk "BEGIN { printf \"%.1f\", $kib / 1024 }")
}

cleanup() {
	measure "$tmp/cgisession" cleanup --timeout 30m --data-dir "$tmp/a"
	cleanup=$seconds cleanup_mib=$mib
}

find_delete() {
	measure find "$tmp/b" -type f -mmin +30 -delete
	find=$seconds find_mib=$mib
}

sessions() { find "$1" -type f -not -name '.*' | wc -l; }

echo "| round, of $n sessions | \`cleanup\` | \`find -delete\` | ratio | \`cleanup\`, memory | \`find\`, memory |"
echo '|---|---|---|---|---|---|'
round=1
while [ "$round" -le "$rounds" ]; do
	rm -rf "$tmp/a" "$tmp/b"
	"$tmp/fill" -n "$n" "$tmp/a"
	"$tmp/fill" -n "$n" "$tmp/b"
	sync
	if [ $((round % 2)) -eq 1 ]; then
		first=cleanup
		cleanup
		find_delete
	else
		first="find"
		find_delete
		cleanup
	fi
	left="$(sessions "$tmp/a") $(sessions "$tmp/b")"
	if [ "$left" != "$((n - n / 2)) $((n - n / 2))" ]; then
		echo "cleanup.sh: not half of $n are left: $left" >&2
		exit 1
	fi
	ratio=$(awk "BEGIN { printf \"%.2f\", $cleanup / ($find + 0.001) }")
	echo "| $round, $first first | $cleanup s | $find s | $ratio | $cleanup_mib MiB | $find_mib MiB |"
	round=$((round + 1))
done

"$tmp/fill" -n "$n" "$tmp/a"
echo
echo "| over $n sessions | time | memory |"
echo '|---|---|---|'
for verb in list stats; do
	measure "$tmp/cgisession" "$verb" --data-dir "$tmp/a"
	echo "| \`$verb\` | $seconds s | $mib MiB |"
done
