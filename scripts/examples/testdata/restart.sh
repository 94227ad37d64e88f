#!/bin/sh
# Starts the web server anew by the script $RESTART, once this request is over.
eval "$(cgisession load --sh || echo exit 1)"
file=$(cgisession lock-path) && exec 9<"$file"
export CGISESSION_LOCK_FD=9
cgisession lock --fd 9
cgisession set user=root
server=$(cat "$PID_FILE")

# ends waits until a process has ended.
ends() {
	i=0
	while kill -0 "$1" && [ $((i += 1)) -lt 2400 ]; do sleep 0.05; done
}

(
	ends $$
	kill "$server"
	ends "$server"
	export STARTS=$((STARTS + 1))
	exec sh "$RESTART"
) </dev/null >/dev/null 2>&1 &
echo $! >"$PID_FILE"
printf 'Content-Type: text/plain\n\n'
echo 'The server starts anew.'
