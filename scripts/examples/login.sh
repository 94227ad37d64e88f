#!/bin/sh
# Logs you in and out, in this browser or everywhere.

# Load the session, and one of its values into a shell variable.
user=''
eval "$(cgisession load --sh user || echo exit 1)"
. ./form.sh

log_in() {
	# A new id: knowing the one from before the log-in is of no use. The user's name
	# goes with the session, so that all of this user's sessions can be found.
	new=$(cgisession regenerate --user="$1" --sh) || exit 1
	see_other "$new"
	cgisession set user="$1" flash="Welcome, $1." || exit 1
}

log_out() {
	end=$(cgisession invalidate --expire --sh) || exit 1
	see_other "$end"
}

# Ends all sessions of this session's user, in whichever browser they are.
log_out_everywhere() {
	end=$(cgisession invalidate --expire --everywhere --sh) || exit 1
	see_other "$end"
}

# see_other CODE begins the answer, and runs the code that prints its header lines.
see_other() {
	echo 'Status: 303 See Other' # before any Set-Cookie: busybox httpd wants it first
	eval "$1"
}

# After a change, send the browser back to the page, so that a reload does not
# send the form again.
go_back() {
	printf 'Location: login.sh\n\n'
	exit
}

message='' name=''
if [ "$REQUEST_METHOD" = POST ]; then
	read_form # the body is still there: cgisession has left it alone
	name=$(field name)
	# Another site can make a browser send a form here, but it cannot know a token
	# of this session.
	if ! field csrf | cgisession csrf --check-fd 0; then # off the command line, which other users see
		message='This form was too old. Please try again.'
	elif [ "$(field action)" = log-out ]; then
		log_out
		go_back
	elif [ "$(field action)" = log-out-everywhere ]; then
		log_out_everywhere
		go_back
	elif [ -n "$name" ] && [ "$(field password)" = sesame ]; then
		log_in "$name"
		go_back
	else
		message='Wrong name or password.'
	fi
fi

# A one-time message: the first page after the log-in takes it.
[ -n "$message" ] || message=$(html "$(cgisession pop --raw flash)")

page 'Log in'
echo "<p>$message</p>"
if [ -n "$user" ]; then
	cat <<END
<p>You are logged in as <b>$(html "$user")</b>.</p>
<form method="post" action="login.sh">
<input type="hidden" name="csrf" value="$(cgisession csrf)">
<button name="action" value="log-out">Log out</button>
<button name="action" value="log-out-everywhere">Log out everywhere</button>
</form>
END
else
	cat <<END
<form method="post" action="login.sh">
<input type="hidden" name="csrf" value="$(cgisession csrf)">
<p><label>Name <input name="name" value="$(html "$name")" autocomplete="username"></label></p>
<p><label>Password <input name="password" type="password" autocomplete="current-password"></label>
(it is "sesame")</p>
<button name="action" value="log-in">Log in</button>
</form>
END
fi
