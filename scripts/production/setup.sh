#!/bin/sh
# Makes what the scripts of the web server's user need. Run it once, as root.
set -eu
umask 022
user=www-data
dir=/var/lib/cgisession # of each user's directory
id=$(id -u "$user")
if [ -d "$dir" ] && [ "$(stat -c %u "$dir")" != 0 ]; then
	echo "$dir belongs to a user. Move it to $dir/$id, and run this again." >&2
	exit 1
fi
[ -d "$dir" ] || install -d -m 1733 "$dir"
[ -d "$dir/$id" ] || { mkdir -m 700 "$dir/$id" && chown "$user" "$dir/$id"; }
install -d -o "$user" -g "$user" -m 700 /var/log/cgisession
if [ ! -e /etc/cgisession.key ]; then
	(umask 077 && cgisession secret >/etc/cgisession.key)
	chown "$user" /etc/cgisession.key
fi
[ -e /etc/cgisession.conf ] || cat >/etc/cgisession.conf <<END
# What scripts, cron and operators share; see cgisession.conf(5).
data-dir = $dir/%u
timeout = 30m
lifetime = 7d
secret-file = /etc/cgisession.key
log-file = /var/log/cgisession/log
END
