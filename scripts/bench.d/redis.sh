#!/bin/sh
# Compares calls with the sessions in files and in Redis on the loopback. Prints a
# Markdown table. Needs redis-server.
#
#   scripts/bench.d/redis.sh
#
# Variables:
#
#   N=200          calls of each kind
#   PORT=6399      where the server is to listen
#   TMPDIR=/tmp    where
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
n=${N:-200}
if ! command -v redis-server >/dev/null; then
	echo "redis.sh: no redis-server here; on Debian: apt-get install redis-server" >&2
	exit 1
fi

port=${PORT:-6399}

tmp=$(mktemp -d)
redis=
finish() {
	[ -z "$redis" ] || kill "$redis"
	rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP
"$top/scripts/build" "$tmp/plain"
"$top/scripts/build" --redis "$tmp/with"
redis-server --save '' --appendonly no --dir "$tmp" \
	--port "$port" --bind 127.0.0.1 --logfile "$tmp/log" &
redis=$!
export CGISESSION_DATA_DIR="$tmp/sessions" CGISESSION_REDIS_URL="redis://127.0.0.1:$port" CGISESSION_ADOPT_ID=session-of-the-bench
tries=0
until "$tmp/with" load --type redis >/dev/null 2>&1; do
	tries=$((tries + 1))
	[ "$tries" -lt 100 ] || exit 1
	sleep 0.05
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
