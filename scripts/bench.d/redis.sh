#!/bin/sh
# Compares calls with the sessions in files and in Redis on the loopback. Prints a
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
"$top/scripts/build" "$tmp/plain"
"$top/scripts/build" --redis "$tmp/with"
export CGISESSION_DATA_DIR="$tmp/sessions" CGISESSION_ADOPT_ID=session-of-the-bench

# serve PORT runs the server there, and fails if the port is another's.
serve() {
	export CGISESSION_REDIS_URL="redis://127.0.0.1:$1"
	redis-server --save '' --appendonly no --dir "$tmp" --port "$1" --bind 127.0.0.1 --logfile "$tmp/log" &
	redis=$!
	tries=0
	while kill -0 "$redis" 2>/dev/null && [ "$tries" -lt 100 ]; do
		if grep -q 'Ready to accept' "$tmp/log" 2>/dev/null && "$tmp/with" load --type redis >/dev/null 2>&1; then
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
"$tmp/plain" load >/dev/null

# each PROGRAM VERB... calls it n times and prints the milliseconds of one call.
each() {
	began=$(date +%s%N)
	i=0
	while [ "$i" -lt "$n" ]; do
		"$@" >/dev/null
		i=$((i + 1))
	done
	awk "BEGIN { printf \"%.1f\", ($(date +%s%N) - $began) / $n / 1e6 }"
}

echo '| call, ms | files | files, the program with Redis | Redis on the loopback |'
echo '|---|---|---|---|'
for verb in 'get a --default 0' load 'set a=1' 'incr n'; do
	# shellcheck disable=SC2086 # words
	echo "| \`$verb\` | $(each "$tmp/plain" $verb) | $(each "$tmp/with" $verb) | $(each "$tmp/with" $verb --type redis) |"
done
