#!/bin/sh
# Looks for a session and makes none.
printf 'Content-Type: text/plain\n\n'
cgisession get || echo 'no session'
