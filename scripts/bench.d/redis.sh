#!/bin/sh
# Compares calls with the sessions in files and in Redis on the loopback, where
# cgisession executes cgisession-redis, or a script calls that itself. Prints a
# Markdown table. Needs redis-server.
#
#   scripts/bench.d/redis.sh
#
# Variables:
#
#   N=200          calls of each kind
#   TMPDIR=/tmp    where
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
n=${N:-200}
if ! command -v redis-server >/dev/null; then
	echo "redis.sh: no redis-server here; on Debian: apt-get install redis-server" >&2
	exit 1
fi

tmp=$(mktemp -d)
redis=
finish() {
	[ -z "$redis" ] || { kill "$redis" && wait "$redis"; } || :
	rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

# Copied, as installed programs are; see scripts/bench.
mkdir "$tmp/new" "$tmp/bin"
"$top/scripts/build" --redis "$tmp/new/cgisession"
cp "$tmp/new"/* "$tmp/bin"
sync
usual=$tmp/bin/cgisession
larger=$tmp/bin/cgisession-redis
export CGISESSION_CONFIG=none
export CGISESSION_DATA_DIR="$tmp/sessions" CGISESSION_ADOPT_ID=session-of-the-bench

# serve PORT runs the server there, and fails if the port is another's.
serve() {
	export CGISESSION_REDIS_URL="redis://127.0.0.1:$1"
	redis-server --save '' --appendonly no --dir "$tmp" --port "$1" --bind 127.0.0.1 --logfile "$tmp/log" &
	redis=$!
	tries=0
	while kill -0 "$redis" 2>/dev/null && [ "$tries" -lt 100 ]; do
		if grep -q 'Ready to accept' "$tmp/log" 2>/dev/null && "$usual" load --type redis >/dev/null 2>&1; then
			return 0
		fi
		tries=$((tries + 1))
		sleep 0.05
	done
	kill "$redis" 2>/dev/null || :
	redis=
	return 1
}

port=$((20000 + $$ % 20000))
last=$((port + 20))
until serve "$port"; do
	port=$((port + 1))
	[ "$port" -lt "$last" ] || exit 1
done
"$usual" load >/dev/null

now() { date +%s%N; }

# measure NAME PROGRAM VERB... calls the program, and notes the nanoseconds.
measure() {
	name=$1
	shift
	began=$(now)
	"$@" >/dev/null
	echo $(($(now) - began)) >>"$tmp/$name"
}

# median NAME prints the milliseconds of a call, without what an empty one takes.
median() {
	sort -n "$tmp/$1" | sed -n "$(((n + 1) / 2))p"
}
took() { awk "BEGIN { printf \"%.1f\", ($(median "$1") - $(median nothing)) / 1e6 }"; }

# The calls take turns, and medians count, so that the ratios hold on a busy machine.
echo "| call, ms | files | Redis | Redis, \`cgisession-redis\` itself | files, \`cgisession-redis\` itself |"
echo '|---|---|---|---|---|'
for verb in 'get a --default 0' load 'set a=1' 'incr n'; do
	i=0
	while [ "$i" -lt "$n" ]; do
		measure nothing :
		# shellcheck disable=SC2086 # words
		{
			measure files "$usual" $verb
			measure redis "$usual" $verb --type redis
			measure redis-itself "$larger" $verb --type redis
			measure files-itself "$larger" $verb
		}
		i=$((i + 1))
	done
	echo "| \`$verb\` | $(took files) | $(took redis) | $(took redis-itself) | $(took files-itself) |"
	rm "$tmp/nothing" "$tmp/files" "$tmp/redis" "$tmp/redis-itself" "$tmp/files-itself"
done
