#!/bin/sh
# Serves /var/www, and runs the scripts in /var/www/cgi-bin. Started by root.
export PATH=/usr/local/bin:/usr/bin:/bin
export CGISESSION_DATA_DIR=/var/lib/cgisession
export CGISESSION_TIMEOUT=30m
export CGISESSION_SECRET_FILE=/etc/cgisession.key
export CGISESSION_LOG_FILE=/var/log/cgisession/log
# Status comes first here: after any other line the answer is 200.
export CGISESSION_CACHE_CONTROL=off
exec busybox httpd -f -p 80 -u www-data -h /var/www
