#!/bin/sh
# Says whose session this is, and counts in it.
eval "$(cgisession load --sh user || echo exit 1)"
one=$(cgisession incr n)
cgisession set seen=1
two=$(cgisession lock sh -c 'cgisession incr n; exit' | cat)
printf 'Content-Type: text/plain\n\n'
echo "user ${user:-nobody}, $one $two, seen $(cgisession get --raw seen), starts ${STARTS:-0}."
