#!/bin/sh
# Sends the body of the request back.
eval "$(cgisession load --sh || echo exit 1)"
cgisession set read=yes
cgisession incr reads >/dev/null
printf 'Content-Type: application/octet-stream\n\n'
head -c "$CONTENT_LENGTH"
