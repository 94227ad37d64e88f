#!/bin/sh
# Sets what the query string says: KEY=TEXT.
eval "$(cgisession load --sh || echo exit 1)"
cgisession set -- "$QUERY_STRING"
printf 'Content-Type: text/plain\n\nset\n'
