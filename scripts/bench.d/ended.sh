#!/bin/sh
# Shows what becomes of a log-out while another request of the session runs, and of a
# session that nobody has used for too long. Prints a Markdown table.
#
#   scripts/bench.d/ended.sh CGISESSION    the program; peers that are missing are left out
set -eu
program=$1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM HUP

# row NAME LOG-OUT OLD, from what the programs below print: "gone" or "back", and
# "refused" or "read".
row() { echo "| $1 | ${2:-?} | ${3:-?} |"; }

ours() {
	export CGISESSION_DATA_DIR="$tmp/ours" CGISESSION_CONFIG=none
	id=$("$program" load --json | sed 's/.*"id":"\([^"]*\)".*/\1/')
	export HTTP_COOKIE="cgisession_id=$id"
	"$program" set user=ann
	export CGISESSION_ID="$id" # as after load --sh: the request that goes on
	env -u CGISESSION_ID "$program" invalidate --expire >/dev/null
	"$program" set x=1 2>/dev/null || true
	if [ "$("$program" get --raw --default-text gone user 2>/dev/null)" = gone ]; then echo gone; else echo back; fi
	unset CGISESSION_ID
	id=$("$program" load --json | sed 's/.*"id":"\([^"]*\)".*/\1/')
	export HTTP_COOKIE="cgisession_id=$id"
	find "$tmp/ours" -type f -exec touch -d '-1 hour' {} +
	if "$program" info --timeout 30m >/dev/null 2>&1; then echo read; else echo refused; fi
}

perl_peer() {
	cat >"$tmp/ended.pl" <<'END'
use strict; use warnings; use CGI::Session;
my @in = ('driver:file', undef, { Directory => $ARGV[0] });
sub load { my $id = shift; return CGI::Session->load($in[0], $id, $in[2]) }
my $s = CGI::Session->new(@in);
$s->param(user => 'ann');
$s->flush;
my $running = load($s->id);
my $other = load($s->id);
$other->delete;
$other->flush;
$running->param(x => 1);
$running->flush;
print defined load($s->id)->param('user') ? "back\n" : "gone\n";
$s = CGI::Session->new(@in);
$s->expire('1s');
$s->flush;
sleep 2;
print load($s->id)->is_expired ? "refused\n" : "read\n";
END
	mkdir "$tmp/perl"
	perl "$tmp/ended.pl" "$tmp/perl"
}

python_peer() {
	cat >"$tmp/ended.py" <<'END'
import sys, time
from beaker.session import Session
def load(id=None, **options):
    return Session({}, id=id, use_cookies=False, type='file', data_dir=sys.argv[1], **options)
s = load()
s['user'] = 'ann'
s.save()
running, other = load(s.id), load(s.id)
other.delete()
other.save()
running['x'] = 1
running.save()
print('back' if 'user' in load(s.id) else 'gone')
s = load(timeout=1)
s['user'] = 'ann'
s.save()
time.sleep(2)
print('read' if 'user' in load(s.id, timeout=1) else 'refused')
END
	/usr/bin/python3 "$tmp/ended.py" "$tmp/python"
}

# The request that runs holds the lock; the log-out waits for it.
php_peer() {
	cat >"$tmp/ended.php" <<'END'
<?php
session_save_path(getenv('SESSIONS'));
session_name('s');
session_start(['gc_probability' => 0]);
switch ($_GET['do']) {
case 'in': $_SESSION['user'] = 'ann'; break;
case 'run': touch(getenv('SESSIONS') . '/runs'); sleep(1); $_SESSION['x'] = 1; break;
case 'out': session_destroy(); exit;
}
echo "\n", isset($_SESSION['user']) ? 'there' : 'none';
END
	mkdir "$tmp/php"
	php in >/dev/null
	php run >/dev/null &
	until [ -e "$tmp/php/runs" ]; do sleep 0.1; done
	php out >/dev/null
	wait
	if [ "$(php look)" = none ]; then echo gone; else echo back; fi
	php in >/dev/null
	find "$tmp/php" -name 'sess_*' -exec touch -d '-30 days' {} +
	if [ "$(php look)" = none ]; then echo refused; else echo read; fi
}
php() {
	SESSIONS="$tmp/php" REDIRECT_STATUS=1 GATEWAY_INTERFACE=CGI/1.1 REQUEST_METHOD=GET SCRIPT_FILENAME="$tmp/ended.php" \
		QUERY_STRING="do=$1" HTTP_COOKIE=s=abcdefabcdefabcdefabcdefab php-cgi -q | tail -n 1
}

# As scripts do that read a file, and write it anew when they end.
by_hand() {
	file=$tmp/hand
	echo user=ann >"$file"
	running=$(cat "$file")
	rm "$file"
	printf '%s\n' "$running" x=1 >"$file"
	if grep -q ^user= "$file"; then echo back; else echo gone; fi
	find "$file" -exec touch -d '-1 hour' {} +
	if grep -q ^user= "$file"; then echo read; else echo refused; fi
}

# shellcheck disable=SC2046 # two words
{
	echo '| | a log-out during another request | a session that is too old |'
	echo '|---|---|---|'
	row cgisession $(ours)
	! perl -MCGI::Session -e 1 2>/dev/null || row 'Perl, CGI::Session' $(perl_peer)
	! command -v php-cgi >/dev/null 2>&1 || row php-cgi $(php_peer)
	! /usr/bin/python3 -c 'import beaker' 2>/dev/null || row 'Python, Beaker' $(python_peer)
	row 'shell by hand' $(by_hand)
}
