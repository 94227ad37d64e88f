#!/bin/sh
# Counts your visits: the smallest script with a session.

# Load the session, or make one. This prints header lines (Cache-Control, and
# Set-Cookie where one is due), so it comes first, and exports the session to all
# calls below.
eval "$(cgisession load --sh || echo exit 1)"

visits=$(cgisession incr visits)

cat <<END
Content-Type: text/html; charset=utf-8

<!DOCTYPE html>
<html lang="en">
<title>Counter</title>
<p>Visit $visits.</p>
END
