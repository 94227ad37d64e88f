#!/bin/sh
# Makes what the scripts of the web server's user need. Run it once, as root.
set -eu
user=www-data
install -d -o "$user" -g "$user" -m 700 /var/lib/cgisession /var/log/cgisession
if [ ! -e /etc/cgisession.key ]; then
	(umask 077 && cgisession secret >/etc/cgisession.key)
	chown "$user" /etc/cgisession.key
fi
