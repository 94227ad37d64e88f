#!/bin/sh
# Serves /var/www, and runs the scripts in /var/www/cgi-bin. Started by root.
export PATH=/usr/local/bin:/usr/bin:/bin
# Status comes first here: after any other line the answer is 200.
export CGISESSION_CACHE_CONTROL=off
exec busybox httpd -f -p 80 -u www-data -h /var/www
