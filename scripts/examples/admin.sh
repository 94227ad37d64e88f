#!/bin/sh
# Lists the sessions that were used last, and ends one: a page for administrators.
#
# The web server says by REMOTE_USER whom it has authenticated: lighttpd with
# auth.require, Apache with AuthType and Require, nginx with auth_basic and
# "fastcgi_param REMOTE_USER $remote_user;". A client cannot set it, since its header
# fields have names that begin with HTTP_ (RFC 3875, section 4.1.18). Let the server
# ask by https only, and admit administrators alone.
most=200 # sessions on the page

if [ -z "${REMOTE_USER:-}" ]; then
	printf 'Status: 403 Forbidden\nContent-Type: text/plain\nCache-Control: no-store\n\n'
	echo 'The web server must authenticate you for this page.'
	exit
fi

# A session of the page's own, for the form's token. No cache keeps the page.
session=$(cgisession load --sh --cache-control no-store) || exit 1
. ./form.sh

# answer STATUS prints the header lines; busybox httpd wants Status before others.
answer() {
	echo "Status: $1"
	eval "$session"
}

# rows prints the sessions as rows of a table. What a client sent, users and notes, is
# text there. cgisession list prints them within quotes, after six other fields.
rows() {
	cgisession list | LC_ALL=C sort -r -k 3,3 | awk -v most="$most" -v csrf="$1" '
		$6 == "live" && n++ < most {
			line = $0
			gsub(/&/, "\\&amp;", line)
			gsub(/</, "\\&lt;", line)
			gsub(/>/, "\\&gt;", line)
			gsub(/\047/, "\\&#39;", line)
			for (i = 1; i <= 6; i++)
				if (!sub(/^[^ ]+ /, "", line))
					line = ""
			printf "<tr><td>%s", substr($1, 1, 12)
			for (i = 1; i <= 2; i++) { # the user, the note
				text = ""
				if (match(line, /^ *"([^"\\]|\\.)*"/)) {
					text = substr(line, RSTART, RLENGTH)
					line = substr(line, RSTART + RLENGTH)
				}
				gsub(/^ *"|"$/, "", text)
				gsub(/\\"/, "\\&quot;", text)
				printf "<td>%s", text
			}
			printf "<td>%s<td>%s", $2, $3
			printf "<td><form method=\"post\" action=\"admin.sh\">"
			printf "<input type=\"hidden\" name=\"csrf\" value=\"%s\">", csrf
			printf "<button name=\"handle\" value=\"%s\">End</button></form>\n", $1
		}'
}

message='' status='200 OK'
if [ "$REQUEST_METHOD" = POST ]; then
	read_form
	# Another site can make a browser send a form here, with the log-in that the
	# browser remembers, but it cannot know a token of this session.
	if ! field csrf | cgisession csrf --check-fd 0; then
		message='This form was too old. Please try again.' status='403 Forbidden'
	elif cgisession destroy -- "$(field handle)"; then # no option, whatever it begins with
		answer '303 See Other'
		printf 'Location: admin.sh\n\n'
		exit
	else
		message='This session cannot be ended: it is gone, or in use.' status='404 Not Found'
	fi
fi

answer "$status"
page 'Sessions'
cat <<END
<p>You are $(html "$REMOTE_USER"). $message</p>
<table>
<tr><th>Session<th>User<th>Note<th>Created<th>Last access<th>
$(rows "$(cgisession csrf)")
</table>
END
