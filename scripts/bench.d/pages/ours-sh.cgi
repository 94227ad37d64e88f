#!/usr/bin/env -S cgisession run --env S_ sh
# shellcheck disable=SC2154 # run sets S_name
printf 'Content-Type: text/plain\n\n'
echo "Hello $S_name, visit $(cgisession incr visits)."
