#!/bin/sh
# Books a table in three steps: your name, your guests, your word.

eval "$(cgisession load --sh || echo exit 1)"
. ./form.sh

most=24 # seats

# Between lock and unlock nobody else changes this session, so what was read
# still holds when something is written. One call alone needs no lock: each is
# atomic in itself.
lock() {
	file=$(cgisession lock-path) && exec 9<"$file" || exit 1
	export CGISESSION_LOCK_FD=9
	cgisession lock --fd 9 || exit 1
}
unlock() {
	cgisession unlock --fd 9
	unset CGISESSION_LOCK_FD
	exec 9<&-
}

# state reads where the session stands into $step, $name and $seats.
state() {
	step='' name='' seats=''
	eval "$(cgisession get --sh step name seats || echo exit 1)"
	: "${step:=name}" "${seats:=0}"
}

# answer works one form into the session, if the form is for the step that the
# session is at: a form from an old tab, or sent twice, changes nothing.
answer() {
	case $step/$1 in
	name/name)
		name=$(field name)
		[ -z "$name" ] || cgisession set step=guests name="$name"
		;;
	guests/guests)
		guest=$(field guest)
		if [ -n "$guest" ] && [ "$seats" -lt $most ]; then
			cgisession append --text guests "$guest" >/dev/null &&
				cgisession set seats:=$((seats + 1))
		fi
		;;
	guests/enough) cgisession set step=confirm ;;
	confirm/confirm) cgisession set step=booked ;;
	*/again) cgisession unset step name seats guests ;;
	esac
}

if [ "$REQUEST_METHOD" = POST ]; then
	read_form # before the lock: a slow browser must not hold it
	lock
	state
	answer "$(field answer)"
	unlock
	printf 'Status: 303 See Other\nLocation: wizard.sh\n\n'
	exit
fi

# button ANSWER TEXT
button() { echo "<button name=\"answer\" value=\"$1\">$2</button>"; }

guests() {
	echo '<ol>'
	set --
	while [ $# -lt "$seats" ]; do
		set -- "$@" "/guests/$#"
	done
	[ $# -eq 0 ] || cgisession get --raw -- "$@" | while IFS= read -r guest; do
		echo "<li>$(html "$guest")</li>"
	done
	echo '</ol>'
}

# party prints how many come.
party() {
	case $seats in
	1) echo '1 guest' ;;
	*) echo "$seats guests" ;;
	esac
}

state
page 'A table'
echo '<form method="post" action="wizard.sh">'
case $step in
name)
	echo '<p><label>Your name <input name="name" autofocus></label></p>'
	button name Next
	;;
guests)
	echo "<p>Who comes with you, $(html "$name")? Up to $most guests.</p>"
	guests
	echo '<p><label>Guest <input name="guest" autofocus></label></p>'
	button guests Add
	button enough 'That is all'
	;;
confirm)
	echo "<p>A table for $(html "$name") and $(party):</p>"
	guests
	button confirm Book
	;;
booked) echo "<p>Booked for $(html "$name") and $(party). See you soon!</p>" ;;
esac
button again 'Start again'
echo '</form>'
